"""The three resizing filters of the papers' chains, none of them antialiased: area, bilinear and bicubic.

They are torch's ``F.interpolate(size=..., align_corners=False)``: ``area`` averages the input pixels that an output
pixel touches, ``bicubic`` has a = -0.75, and pixels past the border repeat the edge. Aliasing is part of these
degradations; where an HR image is reduced for measurement, ``srledger.imresize`` is used.
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np

from srledger.degradations._operators.draws import Record, choose, uniform

Mode = Literal["area", "bilinear", "bicubic"]
Direction = Literal["up", "down", "keep"]

MODES: dict[Mode, float] = {"area": 1 / 3, "bilinear": 1 / 3, "bicubic": 1 / 3}
CUBIC_A = -0.75


class Resize(Record):
    """A drawn resizing: ``factor`` above 1 enlarges."""

    direction: Direction
    factor: float
    mode: Mode


def draw_resize(
    rng: np.random.Generator, probabilities: tuple[float, float, float], factors: tuple[float, float]
) -> Resize:
    """Up U(1, high), down U(low, 1) or keep 1, by the probabilities in this order; the mode is any of the three."""
    directions: tuple[Direction, ...] = ("up", "down", "keep")
    direction = choose(rng, dict(zip(directions, probabilities, strict=True)))
    within = {"up": (1.0, factors[1]), "down": (factors[0], 1.0), "keep": (1.0, 1.0)}[direction]
    return Resize(direction=direction, factor=uniform(rng, within), mode=choose(rng, MODES))


def resize(planes: np.ndarray, height_px: int, width_px: int, mode: Mode) -> np.ndarray:
    """Resize the last two axes; not clipped, for bicubic overshoots."""
    for axis, out_px in ((-2, height_px), (-1, width_px)):
        positions, weights = taps_of(mode, planes.shape[axis], out_px)
        shape = (-1, 1) if axis == -2 else (-1,)
        resized: np.ndarray | float = 0.0
        for k in range(positions.shape[1]):  # tap by tap: a product of matrices has other bits with other threads
            resized = resized + weights[:, k].reshape(shape) * planes.take(positions[:, k], axis)
        planes = np.asarray(resized)
    return planes


@functools.lru_cache(maxsize=256)
def taps_of(mode: Mode, in_px: int, out_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels make each pixel of a resized axis, and by what weights; read-only and shared between calls.

    Returns:
        int64 and float64 ``out_px x taps``; weights sum to 1 over the taps, and a tap that is not needed has 0.
    """
    out = np.arange(out_px)[:, None]
    if mode == "area":
        first, end = out * in_px // out_px, -(-(out + 1) * in_px // out_px)
        positions = first + np.arange((end - first).max())
        weights = (positions < end) / (end - first)
    else:
        centres = (out + 0.5) * in_px / out_px - 0.5
        reach = 1 if mode == "bilinear" else 2
        positions = np.floor(centres).astype(np.int64) + np.arange(1 - reach, reach + 1)
        distances = np.abs(centres - positions)
        weights = 1 - distances if mode == "bilinear" else _cubic(distances)
    positions = np.clip(positions, 0, in_px - 1)
    positions.setflags(write=False)
    weights.setflags(write=False)
    return positions, weights


def _cubic(distance: np.ndarray) -> np.ndarray:
    a, d = CUBIC_A, distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, far)
