"""Gradient magnitude similarity deviation."""

from __future__ import annotations

import torch
from torch.nn import functional

from srledger.metrics import Metric
from srledger.metrics._images import luma_yiq, measure_each, require_size
from srledger.plugins import PluginConfig

STABILITY = 170.0  # c of the paper, for gradients of levels in [0, 255]
LEAST_PX = 16


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class Gmsd(Metric):
    """The spread of gradient similarity over an image (Xue et al. 2014); 0 for equal images."""

    higher_is_better = False
    bounds = (0, None)
    protocol = (
        "GMSD, Y of YIQ in 0-255 rounded (MATLAB rgb2gray), 2x2 mean then step 2, Prewitt, c = 170 (Xue et al. 2014)"
    )

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, LEAST_PX)
        return measure_each(gmsd, sr, hr)


def gradient_magnitude(images: torch.Tensor) -> torch.Tensor:
    """Prewitt gradient magnitude of the rounded luma at half size, ``B x 1 x H/2 x W/2``, of uint8 RGB images."""
    halved = functional.avg_pool2d(luma_yiq(images).round(), 2)
    across = torch.tensor([[1.0, 0.0, -1.0]] * 3, dtype=torch.float64, device=images.device) / 3.0
    kernels = torch.stack([across, across.T])[:, None]
    return functional.conv2d(halved, kernels, padding=1).square().sum(dim=1, keepdim=True).sqrt()


def gmsd(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """GMSD of one uint8 pair ``1 x 3 x H x W``: equations 1 to 6 of the paper; a float64 scalar."""
    gradient_sr, gradient_hr = gradient_magnitude(sr), gradient_magnitude(hr)
    similarity = (2 * gradient_sr * gradient_hr + STABILITY) / (gradient_sr.square() + gradient_hr.square() + STABILITY)
    return similarity.std()
