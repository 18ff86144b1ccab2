"""SSIM on the Y channel of YCbCr, as the super-resolution literature reports it."""

from __future__ import annotations

import torch

from srledger.metrics import Metric
from srledger.metrics._images import luma_ycbcr, measure_each, require_size
from srledger.metrics._ssim import WINDOW_PX, ssim
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class SsimYYcbcr(Metric):
    """Structural similarity (Wang et al. 2004) of the limited-range luma."""

    higher_is_better = True
    bounds = (-1, 1)
    protocol = (
        "SSIM, Y of YCbCr (BT.601, 16-235, MATLAB/BasicSR) from 8-bit RGB, not rounded, 11x11 Gaussian sigma 1.5, "
        "valid region, C1 = (0.01*255)^2, C2 = (0.03*255)^2"
    )

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, WINDOW_PX)
        return measure_each(lambda a, b: ssim(luma_ycbcr(a), luma_ycbcr(b)), sr, hr)
