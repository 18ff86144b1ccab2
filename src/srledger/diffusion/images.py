"""Between the pictures of the pipeline, in [0, 1], and those of a diffusion method, in [-1, 1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def symmetric(images: torch.Tensor) -> torch.Tensor:
    """[0, 1] to [-1, 1]."""
    return images * 2 - 1


def upsample(lr: torch.Tensor, scale_factor: int) -> torch.Tensor:
    """``lr`` (``B x 3 x h x w`` in [0, 1]) enlarged by the antialiased cubic kernel (a = -0.5), clamped to [0, 1].

    float32 even under autocast: it is what a sampler starts from, and what stands where nothing is sampled.
    """
    size = (lr.shape[-2] * scale_factor, lr.shape[-1] * scale_factor)
    with torch.autocast(lr.device.type, enabled=False):
        return F.interpolate(lr.float(), size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
