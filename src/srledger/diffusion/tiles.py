"""Large images in tiles: velocities of overlapping windows of the latents, blended at every step.

Noise, latents and decoding are of the whole image; only the network sees windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from srledger.diffusion.flow import Velocity

VARIANCE = 0.01  # of the weights, in sides of the window


class Window(NamedTuple):
    """A part of the latents: rows ``top`` to ``bottom``, columns ``left`` to ``right``, ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, latents: torch.Tensor) -> torch.Tensor:
        """The window of ``... x h x w``."""
        return latents[..., self.top : self.bottom, self.left : self.right]


WindowVelocity = Callable[[torch.Tensor, torch.Tensor, Window], torch.Tensor]  # z of the window, t, window


def windows_over(height: int, width: int, side: int | None, overlap: float, step: int) -> list[Window]:
    """Windows that cover latents ``height x width``; ``side`` None, or as large as they are: one window.

    Args:
        side: of a window, a multiple of ``step``.
        overlap: least share of a window that the next one sees too.
        step: windows begin at multiples of it; it divides height and width.
    """
    rows, columns = (_starts(length, side, overlap, step) for length in (height, width))
    return [
        Window(top, min(top + (side or height), height), left, min(left + (side or width), width))
        for top in rows
        for left in columns
    ]


def _starts(length: int, side: int | None, overlap: float, step: int) -> list[int]:
    if side is None or side >= length:
        return [0]
    cells, of_side = length // step, side // step
    stride = max(1, of_side - math.ceil(of_side * overlap))
    count = math.ceil((cells - of_side) / stride) + 1
    return [k * (cells - of_side) // (count - 1) * step for k in range(count)]


def weights_of(height: int, width: int, windows: Sequence[Window]) -> list[torch.Tensor]:
    """What each window counts for at each of its places, float32; at a place they sum to 1.

    Gaussian bells about the middles of the windows; where one window is alone, it is exactly 1.
    """
    bells = [torch.outer(_bell(one.bottom - one.top), _bell(one.right - one.left)) for one in windows]
    total = torch.zeros(height, width, dtype=torch.float64)
    for window, bell in zip(windows, bells, strict=True):
        window.of(total).add_(bell)
    return [(bell / window.of(total)).float() for window, bell in zip(windows, bells, strict=True)]


def _bell(length: int) -> torch.Tensor:
    apart = (torch.arange(length, dtype=torch.float64) - (length - 1) / 2) / length
    return (-apart.square() / (2 * VARIANCE)).exp()


def blended(velocity: WindowVelocity, windows: Sequence[Window], height: int, width: int) -> Velocity:
    """The velocity of whole latents from those of its windows, which are asked one after another."""
    weights = weights_of(height, width, windows)

    def whole(z: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(z)
        for window, weight in zip(windows, weights, strict=True):
            window.of(total).add_(velocity(window.of(z), time, window) * weight.to(z.device))
        return total

    return whole
