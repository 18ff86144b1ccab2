"""PSNR as the landmark U-Net's authors compute it."""

from __future__ import annotations

import torch

from srledger.metrics._images import measure_each
from srledger.metrics._psnr import CAP_DB
from srledger.metrics._yolo_repo import DATA_RANGE, IMAGES, YoloRepoMetric, signed
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class PsnrYoloRepo(YoloRepoMetric):
    """PSNR with peak 2; equal to that on [0, 1] but for values that clamping would have moved."""

    bounds = (0, None)
    unit = "dB"
    digits = 2
    protocol = f"PSNR, {IMAGES}, peak 2, one MSE over the three channels, at most 100 dB (equal images)"

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        return measure_each(psnr_signed, sr, hr)


def psnr_signed(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """10 log10(2^2 / MSE) in dB of one pair in [0, 1] seen in [-1, 1], at most CAP_DB; a float64 scalar."""
    mse = (signed(sr) - signed(hr)).square().mean()
    return torch.clamp(10.0 * torch.log10(DATA_RANGE**2 / mse), max=CAP_DB)
