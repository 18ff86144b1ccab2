"""What the metrics share: one image at a time, the luma conversions, sizes and files that are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from srledger.metrics import MetricUnavailable
from srledger.weights import not_at_hand

LUMA_YCBCR = (65.481, 128.553, 24.966)  # ITU-R BT.601 limited range, MATLAB's rgb2ycbcr and BasicSR's
LUMA_YIQ = (76.245, 149.685, 29.07)  # 255 x (0.299, 0.587, 0.114): full range, MATLAB's rgb2gray


def measure_each(
    measure_pair: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], sr: torch.Tensor, hr: torch.Tensor
) -> torch.Tensor:
    """``measure_pair`` of every pair ``1 x 3 x H x W``, as float64 ``B``.

    Image by image, since kernels choose their order of summation by the batch: so an image's value is the same to
    the last bit in any batch.
    """
    with torch.no_grad():
        values = [measure_pair(sr[k : k + 1], hr[k : k + 1]) for k in range(len(sr))]
        return torch.stack([value.reshape(()).to(torch.float64) for value in values])


def luma_ycbcr(images: torch.Tensor) -> torch.Tensor:
    """Y of YCbCr in [16, 235], float64 ``B x 1 x H x W``, of uint8 RGB ``B x 3 x H x W``; not rounded.

    The formula of BasicSR's ``to_y_channel`` and MATLAB's ``rgb2ycbcr``; BasicSR rounds it to float32 on the way,
    which moves a PSNR by less than 1e-4 dB.
    """
    return 16.0 + _weighted_sum(images, LUMA_YCBCR)


def luma_yiq(images: torch.Tensor) -> torch.Tensor:
    """Y of YIQ in [0, 255], float64 ``B x 1 x H x W``, of uint8 RGB ``B x 3 x H x W``; not rounded."""
    return _weighted_sum(images, LUMA_YIQ)


def _weighted_sum(images: torch.Tensor, weights: tuple[float, float, float]) -> torch.Tensor:
    red, green, blue = (images[:, k : k + 1].to(torch.float64) * (weights[k] / 255.0) for k in range(3))
    return red + green + blue


def require_size(images: torch.Tensor, least_px: int) -> None:
    """Raise MetricUnavailable when a side of ``images`` is shorter than ``least_px``."""
    height_px, width_px = images.shape[-2:]
    if min(height_px, width_px) < least_px:
        raise MetricUnavailable(f"images of {width_px}x{height_px} px are smaller than the {least_px} px it needs")


def weight_file(weights: Mapping[str, Path], name: str) -> Path:
    """The checked file of catalogue entry ``name``. Raises MetricUnavailable when it is not among ``weights``."""
    if name not in weights:
        raise MetricUnavailable(not_at_hand(name))
    return weights[name]
