"""What a transformer's class token looks at: its last block's attention to the patches of the enlarged LR image."""

from __future__ import annotations

import numpy as np

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput
from srledger.priors._maps import Choice, as_map, chosen, enlarged


class Config(PluginConfig):
    """Whose attention, and which map of it."""

    encoder: str
    map: Choice = "max"


class DinoAttention(Prior):
    """A head, or the mean or maximum over heads of their stretched maps (YODA, section 3.1). Reads LR alone."""

    needs_attention = True
    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``."""
        import torch

        size = (image.hr.shape[0], image.hr.shape[1])
        seen = torch.from_numpy(enlarged(image.lr, self.encoder.size_px, size)).float()[None]
        with torch.no_grad():
            heads = self.encoder.attention(seen)[0].double().numpy()
        return as_map(chosen(heads, self.config.map), size)
