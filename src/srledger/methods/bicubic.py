"""Bicubic interpolation (the antialiased kernel of the degradation, upwards): the baseline of every table."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from srledger.imresize import imresize
from srledger.methods import Method, hr_shape
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Nothing to set."""


class Bicubic(Method):
    """No network, no parameters."""

    trainable = False
    any_scale_factor = True

    @classmethod
    def network_evaluations(cls, config: PluginConfig) -> int:
        """There is none."""
        return 0

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """MATLAB-compatible bicubic upscaling by the scale factor."""
        return torch.from_numpy(imresize(lr.double().cpu().numpy(), *hr_shape(lr, self.scale_factor)))
