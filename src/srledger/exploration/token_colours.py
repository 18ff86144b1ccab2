"""Tokens as a person can look at them: their first three principal components are red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

COLOURS = 3


def coloured(grids: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Grids ``h x w x D`` as colours: uint8 ``h x w x 3`` each.

    The components are those of all cells of all grids together, and each is stretched over all of them: one colour
    means one thing in all images, and nothing beside images of another call. A component's sign is such that its
    largest loading is positive. What is no number counts as 0; a component that says nothing is black.
    """
    cells = [np.nan_to_num(grid.astype(np.float64), posinf=0, neginf=0).reshape(-1, grid.shape[2]) for grid in grids]
    together = np.concatenate(cells)
    together -= together.mean(axis=0)
    _, axes = np.linalg.eigh(together.T @ together)  # ascending
    axes = axes[:, ::-1][:, :COLOURS]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    found = np.zeros((len(together), COLOURS))
    found[:, : axes.shape[1]] = together @ axes
    low, span = found.min(axis=0), np.ptp(found, axis=0)
    heard = span > 1e-6 * span.max()  # less is what rounding left
    shares = np.where(heard, (found - low) / np.where(heard, span, 1), 0)
    pixels = np.rint(shares * 255).astype(np.uint8)
    ends = np.cumsum([len(one) for one in cells])
    return [
        part.reshape(*grid.shape[:2], COLOURS) for part, grid in zip(np.split(pixels, ends[:-1]), grids, strict=True)
    ]


def enlarged_cells(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """A grid ``h x w x ...`` that covers an image, on its pixels: each pixel has the value of the cell it lies in."""
    rows, columns = (
        np.arange(length) * cells // length for length, cells in zip((height, width), grid.shape, strict=False)
    )
    return grid[rows[:, None], columns]
