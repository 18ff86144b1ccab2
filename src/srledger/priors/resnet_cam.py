"""Class activation maps of a convolutional encoder's strongest units: gradient times activation, as attention heads.

A ResNet has no heads. Units 0 to 5 are the six largest of the pooled deepest layer (per image); the map of one is the
mean of two: its own activation, and the next layer's activations weighted by its gradient. The paper uses
attribution-guided factorisation instead, so rows on this prior are a CAM substitute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput
from srledger.priors._maps import Choice, as_map, chosen, enlarged, stretched

if TYPE_CHECKING:
    import torch

UNITS = 6


class Config(PluginConfig):
    """Whose units, and which map of them."""

    encoder: str
    map: Choice = "max"


class ResnetCam(Prior):
    """A unit's map, or the mean or maximum over the six. Reads LR alone."""

    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``."""
        import torch

        size = (image.hr.shape[0], image.hr.shape[1])
        seen = torch.from_numpy(enlarged(image.lr, self.encoder.size_px, size)).float()[None].requires_grad_()
        with torch.enable_grad():
            maps = self.encoder(seen)[-2:]
            units = maps[-1].mean(dim=(0, 2, 3)).topk(UNITS).values
            of_units = [stretched(_unit_map(unit, maps)) for unit in units]
        return as_map(chosen(np.stack(of_units), self.config.map), size)


def _unit_map(unit: torch.Tensor, maps: list[torch.Tensor]) -> np.ndarray:
    """``h x w`` of the shallower of the two layers."""
    import torch

    gradients = torch.autograd.grad(unit, maps, retain_graph=True)
    shallow, deep = (
        (gradient * values).sum(dim=(0, 1)).clamp_min(0).detach().double().numpy()
        for gradient, values in zip(gradients, maps, strict=True)
    )
    return stretched(shallow) + as_map(deep, shallow.shape)
