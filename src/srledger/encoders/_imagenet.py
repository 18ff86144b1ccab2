"""What networks trained on ImageNet share: the input's standardisation, and how a published checkpoint is read."""

from __future__ import annotations

from pathlib import Path

import torch

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def standardised(images: torch.Tensor) -> torch.Tensor:
    """RGB ``B x 3 x H x W`` in [0, 1] by ImageNet's mean and deviation."""
    mean, deviation = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (images - mean) / deviation


def read_published(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a PyTorch checkpoint; nothing but tensors is ever unpacked."""
    tensors: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors
