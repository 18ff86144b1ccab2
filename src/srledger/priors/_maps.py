"""What the priors share: stretching, resizing, and how several heads become one map."""

from __future__ import annotations

from typing import Literal

import numpy as np

from srledger.imresize import imresize

LEAST_SPAN = 1e-6  # a map that spans less says nothing; stretching it would show rounding errors
Choice = Literal["max", "avg", 0, 1, 2, 3, 4, 5]


def stretched(values: np.ndarray) -> np.ndarray:
    """Each map (the last two axes) stretched to [0, 1]; a flat one becomes zeros."""
    low, high = values.min(axis=(-2, -1), keepdims=True), values.max(axis=(-2, -1), keepdims=True)
    span = high - low
    return np.where(span > LEAST_SPAN, (values - low) / np.maximum(span, LEAST_SPAN), 0.0)


def chosen(heads: np.ndarray, choice: Choice) -> np.ndarray:
    """One map ``h x w`` of ``heads x h x w``: a head, or the mean or pixelwise maximum of the stretched heads."""
    if isinstance(choice, int):
        return heads[choice]
    each = stretched(heads)
    return each.max(axis=0) if choice == "max" else each.mean(axis=0)


def enlarged(lr: np.ndarray, side_px: int | None, hr_size: tuple[int, int]) -> np.ndarray:
    """LR as an encoder sees it: float64 ``3 x H x W`` in [0, 1], bicubic, the longer side ``side_px`` (None: as HR)."""
    height, width = hr_size
    if side_px is not None:
        height, width = (max(1, round(side_px * side / max(hr_size))) for side in hr_size)
    return np.clip(imresize(np.moveaxis(lr, -1, 0) / 255.0, height, width), 0, 1)


def as_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``h x w`` brought to ``size`` (bilinear) and then stretched, so that each map spans [0, 1] as it is used."""
    rows, columns = (_bilinear(before, after) for before, after in zip(values.shape, size, strict=True))
    return stretched(rows @ values @ columns.T)


def _bilinear(in_px: int, out_px: int) -> np.ndarray:
    """The matrix that resizes one axis between pixel centres; past the border the edge is held."""
    places = np.clip((np.arange(out_px) + 0.5) * in_px / out_px - 0.5, 0, in_px - 1)
    below = np.minimum(np.floor(places).astype(int), max(in_px - 2, 0))
    weights = np.zeros((out_px, in_px))
    weights[np.arange(out_px), below] = 1 - (places - below)
    weights[np.arange(out_px), np.minimum(below + 1, in_px - 1)] += places - below
    return weights
