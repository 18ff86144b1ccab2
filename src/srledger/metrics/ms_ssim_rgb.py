"""MS-SSIM with the four scales of the landmark U-Net paper."""

from __future__ import annotations

import torch
from torch.nn import functional

from srledger.metrics import Metric
from srledger.metrics._images import measure_each, require_size
from srledger.metrics._ssim import WINDOW_PX, ssim_maps
from srledger.plugins import PluginConfig

BETAS = (0.0448, 0.2856, 0.3001, 0.2363)
LEAST_PX = 63  # torchmetrics' limit for a kernel of 7 and four scales: side // 9 must exceed 6


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class MsSsimRgb(Metric):
    """Multi-scale SSIM (Wang et al. 2003) as torchmetrics computes it for the published call.

    That call asks for a kernel of 7, but torchmetrics derives a Gaussian's length from its sigma alone: 11 taps for
    sigma 1.5. The 7 only sets the smallest image. The paper measures unclamped values in [-1, 1]; here it is [0, 1].
    """

    higher_is_better = True
    bounds = (0, 1)
    protocol = (
        "MS-SSIM, RGB, 8-bit in [0, 1], torchmetrics with kernel_size=7 (in effect 11x11 Gaussian sigma 1.5), "
        "4 scales, betas 0.0448 0.2856 0.3001 0.2363, relu; the paper's own range is unclamped [-1, 1]"
    )

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, LEAST_PX)
        return measure_each(ms_ssim, sr, hr)


def ms_ssim(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """MS-SSIM of one uint8 pair ``1 x C x H x W``; a float64 scalar in [0, 1]."""
    return ms_ssim_within(sr.to(torch.float64) / 255.0, hr.to(torch.float64) / 255.0, data_range=1.0)


def ms_ssim_within(sr: torch.Tensor, hr: torch.Tensor, data_range: float) -> torch.Tensor:
    """MS-SSIM of one float64 pair ``1 x C x H x W`` whose values span ``data_range``; a float64 scalar in [0, 1]."""
    border_px = WINDOW_PX // 2
    value = torch.ones((), dtype=torch.float64, device=sr.device)
    for scale, beta in enumerate(BETAS):
        coarsest = scale == len(BETAS) - 1
        if coarsest:  # only the SSIM of the last scale is meant over the whole image, its border mirrored
            sr, hr = (functional.pad(images, (border_px,) * 4, mode="reflect") for images in (sr, hr))
        luminance, contrast = ssim_maps(sr, hr, data_range)
        similarity = (luminance * contrast if coarsest else contrast).mean()
        value = value * torch.relu(similarity) ** beta
        sr, hr = functional.avg_pool2d(sr, 2), functional.avg_pool2d(hr, 2)
    return value
