"""SSIM as the landmark U-Net's authors compute it."""

from __future__ import annotations

import torch
from torch.nn import functional

from srledger.metrics._images import measure_each, require_size
from srledger.metrics._ssim import WINDOW_PX, ssim_maps
from srledger.metrics._yolo_repo import DATA_RANGE, IMAGES, YoloRepoMetric, signed
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class SsimYoloRepo(YoloRepoMetric):
    """SSIM by torchmetrics' defaults. Its luminance term is not shift-invariant: it is not the SSIM of [0, 1]."""

    bounds = (-1, 1)
    protocol = (
        f"SSIM, {IMAGES}: mean over channels, 11x11 Gaussian sigma 1.5, data range 2, whole image with its border "
        "mirrored (torchmetrics' defaults)"
    )

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, WINDOW_PX)
        return measure_each(ssim_signed, sr, hr)


def ssim_signed(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """SSIM of one pair ``1 x 3 x H x W`` in [0, 1], seen in [-1, 1]; a float64 scalar."""
    border_px = (WINDOW_PX // 2,) * 4
    padded = [functional.pad(signed(images), border_px, mode="reflect") for images in (sr, hr)]
    luminance, contrast = ssim_maps(padded[0], padded[1], DATA_RANGE)
    return (luminance * contrast).mean()
