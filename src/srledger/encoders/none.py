"""No network: what a row names that builds on none."""

from __future__ import annotations

import torch

from srledger.encoders import Encoder
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Nothing to set."""


class NoEncoder(Encoder):
    """Holds the place of an encoder in the graph, as ``uniform`` does among the priors. It is never built."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """No maps."""
        return []
