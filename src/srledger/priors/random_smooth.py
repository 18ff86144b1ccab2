"""Control: smooth noise with the values of another prior's map, pixel for pixel: its histogram, and no meaning."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput
from srledger.seeds import numpy_generator


class Config(PluginConfig):
    """Whose values, and how smooth the noise is that orders them."""

    of: str
    smoothness_of_side: float = Field(default=0.12, gt=0, description="standard deviation of the blur of white noise")
    seed: int = Field(default=0, ge=0)


class RandomSmooth(Prior):
    """The base's values, sorted, laid out in the order of a blurred noise field that the image's id seeds."""

    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``."""
        from scipy.ndimage import gaussian_filter

        size = (image.hr.shape[0], image.hr.shape[1])
        noise = numpy_generator("random_smooth", image.id, self.config.seed).standard_normal(size)
        noise = gaussian_filter(noise, [self.config.smoothness_of_side * side for side in size])
        values = np.broadcast_to(self.base.map_of(image), size)
        found = np.empty(size)
        found.flat[np.argsort(noise, axis=None, kind="stable")] = np.sort(values, axis=None)
        return found
