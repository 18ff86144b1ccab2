"""PSNR over the three channels of RGB."""

from __future__ import annotations

import torch

from srledger.metrics import Metric
from srledger.metrics._images import measure_each
from srledger.metrics._psnr import psnr_db
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class PsnrRgb(Metric):
    """Peak signal-to-noise ratio, one MSE over all pixels and channels."""

    higher_is_better = True
    bounds = (0, None)
    unit = "dB"
    digits = 2
    protocol = "PSNR, RGB, 8-bit, peak 255, one MSE over the three channels, at most 100 dB (equal images)"

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        return measure_each(psnr_db, sr, hr)
