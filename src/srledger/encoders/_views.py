"""Views of training images for self-distillation: random crops, flips, colours and blur, all from one generator."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

LUMA = (0.299, 0.587, 0.114)
BLUR_TAPS = (1.0, 4.0, 6.0, 4.0, 1.0)  # binomial: sigma 1 px
LEAST_ASPECT = 3 / 4


def random_crop(
    images: torch.Tensor, size_px: int, area: tuple[float, float], generator: torch.Generator
) -> torch.Tensor:
    """A box of its own from each of ``B x 3 x H x W``, resized to ``size_px`` square and flipped by chance.

    ``area`` is the range of the box's share of the image; its aspect ratio lies in [3/4, 4/3].
    """
    count = len(images)
    share, aspect, x, y, flip = torch.rand(5, count, generator=generator, device=images.device)
    share = area[0] + (area[1] - area[0]) * share
    stretch = torch.exp((2 * aspect - 1) * -math.log(LEAST_ASPECT)).sqrt()
    width, height = ((share.sqrt() * side).clamp(max=1) for side in (stretch, 1 / stretch))
    boxes = torch.zeros(count, 2, 3, device=images.device)
    boxes[:, 0, 0] = width * torch.where(flip < 0.5, 1.0, -1.0)
    boxes[:, 1, 1] = height
    boxes[:, 0, 2] = (2 * x - 1) * (1 - width)
    boxes[:, 1, 2] = (2 * y - 1) * (1 - height)
    grid = F.affine_grid(boxes, [count, 3, size_px, size_px], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def recoloured(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Brightness, contrast and saturation each by a factor in 1 +- ``strength``; one in five becomes grey."""
    brightness, contrast, saturation, grey = torch.rand(
        4, len(images), 1, 1, 1, generator=generator, device=images.device
    )
    luma = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    images = images * (1 + strength * (2 * brightness - 1))
    mean = (images * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    images = mean + (images - mean) * (1 + strength * (2 * contrast - 1))
    greys = (images * luma).sum(dim=1, keepdim=True)
    kept = torch.where(grey < 0.2, 0.0, 1 + strength * (2 * saturation - 1))
    return (greys + (images - greys) * kept).clamp(0, 1)


def blurred(images: torch.Tensor, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Some of the images (``chance`` of 1) blurred by a Gaussian of 1 px, by a share of their own."""
    drawn, share = torch.rand(2, len(images), 1, 1, 1, generator=generator, device=images.device)
    taps = torch.tensor(BLUR_TAPS, device=images.device) / sum(BLUR_TAPS)
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    smooth = F.conv2d(padded, taps.view(1, 1, 1, 5).expand(3, 1, 1, 5), groups=3)
    smooth = F.conv2d(smooth, taps.view(1, 1, 5, 1).expand(3, 1, 5, 1), groups=3)
    return torch.lerp(images, smooth, torch.where(drawn < chance, share, 0.0))


def solarised(images: torch.Tensor, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Some of the images (``chance`` of 1) with their bright half turned over."""
    drawn = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)
    return torch.where((drawn < chance) & (images > 0.5), 1 - images, images)
