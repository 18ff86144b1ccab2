"""PSNR on the Y channel of YCbCr, as the super-resolution literature reports it."""

from __future__ import annotations

import torch

from srledger.metrics import Metric
from srledger.metrics._images import luma_ycbcr, measure_each
from srledger.metrics._psnr import psnr_db
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class PsnrYYcbcr(Metric):
    """PSNR of Y with the peak at 255 though Y spans 219 levels: hence 20 log10(255/219) = 1.322 dB above YIQ's."""

    higher_is_better = True
    bounds = (0, None)
    unit = "dB"
    digits = 2
    protocol = (
        "PSNR, Y of YCbCr (BT.601, 16-235, MATLAB/BasicSR) from 8-bit RGB, not rounded, peak 255, "
        "at most 100 dB (equal images)"
    )

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        return measure_each(lambda a, b: psnr_db(luma_ycbcr(a), luma_ycbcr(b)), sr, hr)
