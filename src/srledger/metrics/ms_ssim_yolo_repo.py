"""MS-SSIM as the landmark U-Net's authors compute it."""

from __future__ import annotations

import torch

from srledger.metrics._images import measure_each, require_size
from srledger.metrics._yolo_repo import DATA_RANGE, IMAGES, YoloRepoMetric, signed
from srledger.metrics.ms_ssim_rgb import LEAST_PX, ms_ssim_within
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class MsSsimYoloRepo(YoloRepoMetric):
    """The measure of ``ms_ssim_rgb`` on the authors' own range of values."""

    bounds = (0, 1)
    protocol = (
        f"MS-SSIM, {IMAGES}, torchmetrics with kernel_size=7 (in effect 11x11 Gaussian sigma 1.5), data range 2, "
        "4 scales, betas 0.0448 0.2856 0.3001 0.2363, relu"
    )

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, LEAST_PX)
        return measure_each(lambda a, b: ms_ssim_within(signed(a), signed(b), DATA_RANGE), sr, hr)
