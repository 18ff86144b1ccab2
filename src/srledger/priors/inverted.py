"""Control: one minus another prior: attention to what that one leaves out."""

from __future__ import annotations

import numpy as np

from srledger.plugins import PluginConfig
from srledger.priors import Prior, PriorInput


class Config(PluginConfig):
    """Whose maps."""

    of: str


class Inverted(Prior):
    """``1 - A``."""

    config: Config

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``."""
        return 1 - self.base.map_of(image)
