"""SIFT keypoints of the enlarged LR image: a Gaussian at each, as wide as the keypoint."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput
from srledger.priors._maps import enlarged, stretched


class Config(PluginConfig):
    """Width of the bumps."""

    spread: float = Field(default=2.0, gt=0, description="standard deviation of a bump in units of its keypoint's")


class Sift(Prior):
    """The sum of the bumps. An image without keypoints gets zeros (which the gate stops). Reads LR alone."""

    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``."""
        from skimage.feature import SIFT

        size = (image.hr.shape[0], image.hr.shape[1])
        luma = np.tensordot((0.299, 0.587, 0.114), enlarged(image.lr, None, size), axes=1)
        detector = SIFT()
        try:
            detector.detect(luma)
        except RuntimeError:  # scikit-image's word for "no keypoint"
            return np.zeros(size)
        rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
        found = np.zeros(size)
        for (y, x), sigma in zip(np.asarray(detector.positions), np.asarray(detector.sigmas), strict=True):
            found += np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2) / (self.config.spread * sigma) ** 2)
        return stretched(found)
