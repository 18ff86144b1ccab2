"""Attribution-guided factorisation of a convolutional encoder's strongest units, as attention heads (YODA's ResNet).

A ResNet has no heads: head k is the map of the (k + 1)-th largest of the pooled deepest layer, per image.
"""

from __future__ import annotations

import numpy as np

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput
from srledger.priors._maps import Choice, as_map, chosen, enlarged

UNITS = 6


class Config(PluginConfig):
    """Whose units, and which map of them."""

    encoder: str
    map: Choice = "max"


class ResnetAgf(Prior):
    """A unit's map, or the mean or maximum over the six. Reads LR alone."""

    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``."""
        import torch

        from srledger.priors._factorisation import attribution_maps

        size = (image.hr.shape[0], image.hr.shape[1])
        seen = torch.from_numpy(enlarged(image.lr, self.encoder.size_px, size)).float()
        which = self.config.map
        ranks = range(UNITS) if isinstance(which, str) else (which,)
        maps = attribution_maps(self.encoder, seen, ranks).double().numpy()
        return as_map(chosen(maps, which) if isinstance(which, str) else maps[0], size)
