"""Gaussian bumps on the data set's own landmarks: the oracle of every detected heatmap."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput


class Config(PluginConfig):
    """Width of the bumps."""

    sigma_of_side: float = Field(default=0.06, gt=0, description="standard deviation as a part of the image's side")


class LandmarkGauss(Prior):
    """Pixelwise maximum of one isotropic Gaussian per landmark."""

    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``. Raises SrledgerError when the image has no landmarks."""
        if image.landmarks is None:
            raise SrledgerError(
                "the prior landmark_gauss needs landmarks", where=f"image {image.id}", found="none in the data set",
                expected="five landmarks per image", mend="use the prior `uniform`, or a data set with landmarks",
            )  # fmt: skip
        height, width = image.hr.shape[:2]
        sigma_px = self.config.sigma_of_side * width
        x = np.arange(width)[None, :]
        y = np.arange(height)[:, None]
        squares = [((x - cx) ** 2 + (y - cy) ** 2) / sigma_px**2 for cx, cy in image.landmarks]
        return np.exp(-0.5 * np.min(squares, axis=0)).astype(np.float16)
