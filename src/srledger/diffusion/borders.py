"""Images continued beyond their borders by reflection, as far as it takes."""

from __future__ import annotations

import torch


def reflected(images: torch.Tensor, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    """``... x H x W`` continued by mirrors through the middle of its border pixels, again and again if need be."""
    height, width = images.shape[-2:]
    rows, columns = _mirrored(height, top, bottom, images.device), _mirrored(width, left, right, images.device)
    return images[..., rows[:, None], columns] if top or bottom or left or right else images


def to_multiple(images: torch.Tensor, side: int) -> torch.Tensor:
    """``... x H x W`` continued below and to the right until ``side`` divides H and W."""
    height, width = images.shape[-2:]
    return reflected(images, 0, -height % side, 0, -width % side)


def _mirrored(length: int, before: int, after: int, device: torch.device) -> torch.Tensor:
    positions = torch.arange(-before, length + after, device=device)
    period = max(2 * (length - 1), 1)
    positions = positions % period
    return torch.minimum(positions, period - positions).clamp(max=length - 1)
