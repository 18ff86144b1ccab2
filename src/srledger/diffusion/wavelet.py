"""DiffBIR's "wavelet" colour fix: details of one image over the low frequencies of another.

The literature has two fixes of this name. This is the one of DiffBIR and StableSR, by blurs whose taps move apart (an
undecimated wavelet transform); VOSR's is one Gaussian blur.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

DIFFBIR_LEVELS, DIFFBIR_SIDE_PX = 5, 512


def diffbir_wavelet_fix(images: torch.Tensor, reference: torch.Tensor, levels: int) -> torch.Tensor:
    """``images`` with the low frequencies of ``reference`` in place of their own, float32 ``B x C x H x W``.

    Args:
        images, reference: of one shape, in the same range.
        levels: blurs one after another, the taps of each twice as far apart as those before; DiffBIR has 5.
    """
    with torch.autocast(images.device.type, enabled=False):
        images, reference = images.float(), reference.float()
        return images - low_frequencies(images, levels) + low_frequencies(reference, levels)


def low_frequencies(images: torch.Tensor, levels: int) -> torch.Tensor:
    """``images`` blurred by (1 2 1) x (1 2 1) / 16 with taps 1, 2, 4, ... px apart; border pixels go on outside."""
    taps = torch.tensor([1.0, 2.0, 1.0], device=images.device)
    kernel = (taps[:, None] * taps / 16).expand(images.shape[1], 1, 3, 3)
    for apart in (2**level for level in range(levels)):
        padded = F.pad(images, (apart, apart, apart, apart), mode="replicate")
        images = F.conv2d(padded, kernel, groups=images.shape[1], dilation=apart)
    return images


def levels_of(side_px: int) -> int:
    """As many levels as blur a smaller image as far against its side as 5 levels blur one of 512 px: 2 at 64 px."""
    return min(DIFFBIR_LEVELS, max(1, round(DIFFBIR_LEVELS - math.log2(DIFFBIR_SIDE_PX / side_px))))
