"""Bicubic interpolation (the antialiased kernel of the degradation, upwards): the baseline of every table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from srledger.imresize import imresize
from srledger.methods import Method
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Nothing to set."""


class Bicubic(Method):
    """No network, no parameters."""

    trainable = False

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """MATLAB-compatible bicubic upscaling by the scale factor."""
        images = lr.permute(0, 2, 3, 1).cpu().numpy().astype(np.float64)
        return torch.from_numpy(np.stack([imresize(image, self.scale_factor) for image in images])).permute(0, 3, 1, 2)
