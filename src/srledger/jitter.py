"""Jitter: HR images that are moved, so that no two faces of a task stand in the same place.

The dataset's image is resampled once, to the task's size and to its new place together, by the kernel of ``imresize``:
an image that is moved by nothing is the image that ``imresize_uint8`` makes, to the last bit.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from srledger.imresize import KERNEL_WIDTH, cubic
from srledger.seeds import numpy_generator

if TYPE_CHECKING:
    from srledger.entries import Jitter

JITTER_SEED = 0
DIGITS = 6  # a move is rounded to what is recorded of it, and so can be made again from the record


@dataclasses.dataclass(frozen=True)
class Move:
    """A zoom about the image's centre, then a shift; a positive one moves the picture right or down.

    Attributes:
        zoom: how much larger things become; beyond the border the image is mirrored.
        shift_x, shift_y: parts of the side.
    """

    zoom: float
    shift_x: float
    shift_y: float

    def points(self, points: np.ndarray, in_px: int, out_px: int) -> np.ndarray:
        """Where points of the image stand in the moved one; float64 ``N x 2`` (x, y) in pixels, maybe outside of it.

        ``in_px`` and ``out_px`` are the sides of the two squares.
        """
        centred = (points + 0.5) / in_px - 0.5
        return (centred * self.zoom + 0.5 + [self.shift_x, self.shift_y]) * out_px - 0.5

    def image(self, pixels: np.ndarray, out_px: int) -> np.ndarray:
        """The moved image: uint8 ``out_px x out_px x C`` of a uint8 square ``H x H x C``, smoothed where it shrinks.

        Rounded half up after each axis, rows first, as ``imresize_uint8`` rounds squares.
        """
        in_px = pixels.shape[0]
        rows = _weights(in_px, out_px, self.zoom, self.shift_y)
        columns = _weights(in_px, out_px, self.zoom, self.shift_x)
        planes = np.moveaxis(pixels, -1, 0).astype(np.float64)
        planes = _round_half_up(_round_half_up(rows @ planes) @ columns.T)
        return np.ascontiguousarray(np.moveaxis(planes, 0, -1).astype(np.uint8))


def draw_move(jitter: Jitter, image_id: str) -> Move:
    """The move of an image: a function of its id and the limits, whatever its task, split or neighbours."""
    rng = numpy_generator("jitter", image_id, JITTER_SEED)
    zoom, shift_x, shift_y = rng.uniform(-1, 1, 3)
    return Move(
        round(1 + jitter.scale * float(zoom), DIGITS),
        round(jitter.shift * float(shift_x), DIGITS),
        round(jitter.shift * float(shift_y), DIGITS),
    )


def _weights(in_px: int, out_px: int, zoom: float, shift: float) -> np.ndarray:
    """float64 ``out_px x in_px``: ``imresize.resize_weights`` for pixels that stand elsewhere. Rows sum to 1."""
    scale = out_px * zoom / in_px
    shrink = min(scale, 1.0)
    centres = (np.arange(out_px) + 0.5) / scale - 0.5 + in_px * (0.5 - (0.5 + shift) / zoom)
    taps = int(np.ceil(KERNEL_WIDTH / shrink)) + 2
    source = np.floor(centres - KERNEL_WIDTH / shrink / 2).astype(np.int64)[:, None] + np.arange(taps)
    values = cubic(shrink * (centres[:, None] - source))
    values /= values.sum(axis=1, keepdims=True)
    mirror = np.concatenate([np.arange(in_px), np.arange(in_px)[::-1]])
    weights = np.zeros((out_px, in_px))
    np.add.at(weights, (np.arange(out_px)[:, None], mirror[source % (2 * in_px)]), values)
    return weights


def _round_half_up(planes: np.ndarray) -> np.ndarray:
    return np.floor(np.clip(planes, 0, 255) + 0.5)
