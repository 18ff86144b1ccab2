"""Canny edges of the enlarged LR image, closed and blurred into a map."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput
from srledger.priors._maps import enlarged, stretched


class Config(PluginConfig):
    """Scales of the detector and of the map."""

    sigma_px: float = Field(default=1.5, gt=0, description="of Canny's Gaussian, in pixels of the enlarged LR image")
    spread_of_side: float = Field(default=0.03, gt=0, description="deviation of the blur, as a part of the side")


class CannyEdges(Prior):
    """1 where edges are dense. An image without any edge gets zeros (which the gate stops). Reads LR alone."""

    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``."""
        from scipy.ndimage import binary_closing, gaussian_filter
        from skimage.feature import canny

        size = (image.hr.shape[0], image.hr.shape[1])
        luma = np.tensordot((0.299, 0.587, 0.114), enlarged(image.lr, None, size), axes=1)
        edges = binary_closing(canny(luma, sigma=self.config.sigma_px), np.ones((3, 3)))
        return stretched(gaussian_filter(edges.astype(float), self.config.spread_of_side * size[1]))
