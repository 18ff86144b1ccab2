"""Control: what another prior would give, were it the same everywhere. As much of an image, and no attention."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput


class Config(PluginConfig):
    """Whose mean, and above which bound."""

    of: str
    lower_bound: float = Field(default=0.3, ge=0, le=1, description="the method's own l: values below it count as it")


class Constant(Prior):
    """Per image, the value c at which a mask of max(c, l) covers as many pixel steps as the base's max(A, l)."""

    constant = True
    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``1 x 1``."""
        return np.maximum(self.base.map_of(image), self.config.lower_bound).mean(keepdims=True)
