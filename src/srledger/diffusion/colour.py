"""Colour fixes: what of its colours a sampled image takes over from the enlarged LR image.

Three fixes of the literature, two of which their authors call "wavelet"; here each has a name of its own.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from srledger.diffusion.borders import reflected
from srledger.diffusion.wavelet import diffbir_wavelet_fix, levels_of

ColourFix = Literal["none", "adain_rgb", "gaussian_swap", "wavelet"]
LEAST_STD = 1e-5
SWAP_SIGMA_PX = 5.0


def fix_colours(images: torch.Tensor, reference: torch.Tensor, fix: ColourFix) -> torch.Tensor:
    """``images`` with colours of ``reference``, float32 ``B x 3 x H x W``; both of one shape, in [0, 1].

    ``adain_rgb``: mean and standard deviation of each channel. ``gaussian_swap``: what a Gaussian of 5 px leaves, which
    VOSR's code calls wavelet. ``wavelet``: StableSR's, by blurs whose taps move apart (5 of them at 512 px).
    """
    with torch.autocast(images.device.type, enabled=False):
        images, reference = images.float(), reference.float()
        if fix == "adain_rgb":
            return adain_rgb(images, reference)
        if fix == "gaussian_swap":
            return images - gaussian_blur(images, SWAP_SIGMA_PX) + gaussian_blur(reference, SWAP_SIGMA_PX)
        if fix == "wavelet":
            return diffbir_wavelet_fix(images, reference, levels_of(min(images.shape[-2:])))
        return images


def adain_rgb(images: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """``images`` with the mean and the (unbiased) standard deviation of each channel of ``reference``."""
    mean, own_mean = (one.mean(dim=(2, 3), keepdim=True) for one in (reference, images))
    std, own_std = (one.std(dim=(2, 3), keepdim=True) + LEAST_STD for one in (reference, images))
    return (images - own_mean) / own_std * std + mean


def gaussian_blur(images: torch.Tensor, sigma_px: float) -> torch.Tensor:
    """``B x C x H x W`` blurred by taps up to 4 sigma, mirrored at the border: OpenCV's for floating point images."""
    reach = round(4 * sigma_px)
    taps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = (-taps.square() / (2 * sigma_px**2)).exp()
    kernel = (kernel / kernel.sum()).to(images)
    channels = images.shape[1]
    padded = reflected(images, reach, reach, reach, reach)
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
