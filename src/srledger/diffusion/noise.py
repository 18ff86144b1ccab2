"""Noise by image: a stream of its own for each, so that no image depends on the batch it is made in."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from srledger.seeds import torch_generator


class ImageNoise:
    """Standard normal noise for the images of a batch.

    Args:
        use: what the draws are for; two uses of one seed never share a stream.
        seeds: one per image.
        sample: which of several samples of an image.
        device: where the noise goes. It is drawn on the CPU, so that it is the same everywhere.
    """

    def __init__(self, use: str, seeds: Sequence[int], sample: int, device: torch.device) -> None:
        self.generators = [torch_generator("diffusion", use, seed, sample) for seed in seeds]
        self.device = device

    def draw(self, shape: Sequence[int]) -> torch.Tensor:
        """The next draw, float32 of ``shape`` (B first)."""
        images = [torch.randn(tuple(shape[1:]), generator=generator) for generator in self.generators]
        return torch.stack(images).to(self.device)
