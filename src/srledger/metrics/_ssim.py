"""The maps behind SSIM and MS-SSIM, filtered separably in float64."""

from __future__ import annotations

import torch

WINDOW_PX = 11
SIGMA_PX = 1.5


def gaussian_taps(sigma_px: float = SIGMA_PX, length_px: int = WINDOW_PX) -> list[float]:
    """The taps of a sampled Gaussian, summing to 1."""
    distance_px = torch.arange(length_px, dtype=torch.float64) - (length_px - 1) / 2
    taps = torch.exp(-0.5 * (distance_px / sigma_px).square())
    return (taps / taps.sum()).tolist()


def filter_valid(images: torch.Tensor, taps: list[float]) -> torch.Tensor:
    """Correlate the last two axes with ``taps`` x ``taps``, no padding: ``... x H-k+1 x W-k+1``.

    Sums of shifted views: exact to the last bit in any batch, and on the CPU faster than a convolution in float64.
    """
    for axis in (-2, -1):
        length = images.shape[axis] - len(taps) + 1
        filtered = images.narrow(axis, 0, length) * taps[0]
        for k, tap in enumerate(taps[1:], start=1):
            filtered += images.narrow(axis, k, length) * tap
        images = filtered
    return images


def ssim_maps(sr: torch.Tensor, hr: torch.Tensor, data_range: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Luminance and contrast-structure maps of Wang et al. 2004 (eq. 13 is their product).

    Args:
        sr, hr: float64 ``B x C x H x W`` whose values span ``data_range``.

    Returns:
        Two maps ``B x C x H-10 x W-10``. Window 11x11, Gaussian sigma 1.5, K1 = 0.01, K2 = 0.03, population
        covariances; variances that rounding made negative count as 0.
    """
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    moments = filter_valid(torch.stack([sr, hr, sr * sr, hr * hr, sr * hr]), gaussian_taps())
    mean_sr, mean_hr, square_sr, square_hr, product = moments
    variance_sr = (square_sr - mean_sr.square()).clamp(min=0)
    variance_hr = (square_hr - mean_hr.square()).clamp(min=0)
    covariance = product - mean_sr * mean_hr
    luminance = (2 * mean_sr * mean_hr + c1) / (mean_sr.square() + mean_hr.square() + c1)
    contrast = (2 * covariance + c2) / (variance_sr + variance_hr + c2)
    return luminance, contrast


def ssim_map(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """SSIM of every window of images in [0, 255]: float64 ``B x C x H-10 x W-10``."""
    luminance, contrast = ssim_maps(sr.to(torch.float64), hr.to(torch.float64), data_range=255.0)
    return luminance * contrast


def ssim(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Mean SSIM over pixels, then channels, of one pair in [0, 255]; a float64 scalar."""
    return ssim_map(sr, hr).mean()
