"""The prior that says nothing: one everywhere. A method under it is the method without a prior."""

from __future__ import annotations

import numpy as np

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput


class Config(PluginConfig):
    """Nothing to set."""


class Uniform(Prior):
    """One for every pixel."""

    constant = True

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``1 x 1``, value one; it is spread over the image when it is read."""
        return np.ones((1, 1), np.float16)
