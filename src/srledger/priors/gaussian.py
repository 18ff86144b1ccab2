"""A Gaussian around the middle of the image: faces are centred."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput


class Config(PluginConfig):
    """Width of the bump."""

    sigma: float = Field(default=0.25, gt=0, description="standard deviation as a part of each side")


class Gaussian(Prior):
    """The same map for every image of one size; it looks at nothing."""

    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``, 1 in the middle."""
        rows, columns = (_bump(side, self.config.sigma) for side in image.hr.shape[:2])
        return rows[:, None] * columns


def _bump(side_px: int, sigma: float) -> np.ndarray:
    return np.exp(-0.5 * ((np.arange(side_px) - (side_px - 1) / 2) / (sigma * side_px)) ** 2)
