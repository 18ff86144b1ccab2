"""SSIM, the mean of the three RGB channels."""

from __future__ import annotations

import torch

from srledger.metrics import Metric
from srledger.metrics._images import measure_each, require_size
from srledger.metrics._ssim import WINDOW_PX, ssim
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class SsimRgb(Metric):
    """Structural similarity (Wang et al. 2004) per channel, averaged."""

    higher_is_better = True
    bounds = (-1, 1)
    protocol = (
        "SSIM, mean over RGB channels, 8-bit, 11x11 Gaussian sigma 1.5, valid region, "
        "C1 = (0.01*255)^2, C2 = (0.03*255)^2"
    )

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, WINDOW_PX)
        return measure_each(ssim, sr, hr)
