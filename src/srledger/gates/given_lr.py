"""Does an LR file that a set brought belong to its HR image? What can't be made again is compared with bicubic."""

from __future__ import annotations

import numpy as np

from srledger.descriptors import luma_of
from srledger.imresize import imresize_uint8

FARTHEST_SHIFT_PX = 2
FITS = 0.01  # share of the variance that may differ by tone curve and kernel alone
CLEARLY = 0.8  # another reading has to leave less than this share of the squared difference
ZOOM = 0.9


def misfit(hr: np.ndarray, lr: np.ndarray) -> str | None:
    """How ``lr`` would have to be read to fit ``hr`` better than as it is; None when it fits best as it is.

    Args:
        hr, lr: uint8 ``H x W x 3`` and ``h x w x 3``.
    """
    height, width = lr.shape[:2]
    reduced, given = _standard(luma_of(imresize_uint8(hr, height, width))), _standard(luma_of(lr))
    as_it_is = _difference(reduced, given)
    if as_it_is < FITS:
        return None
    others = {
        "mirrored": given[:, ::-1],
        "upside down": given[::-1],
        "turned by half": given[::-1, ::-1],
        "negative": -given,
        "blue for red": _standard(luma_of(lr[..., ::-1])),
    }
    found = {name: _difference(reduced, image) for name, image in others.items()}
    for down, right in np.ndindex(2 * FARTHEST_SHIFT_PX + 1, 2 * FARTHEST_SHIFT_PX + 1):
        down, right = down - FARTHEST_SHIFT_PX, right - FARTHEST_SHIFT_PX
        if (down, right) != (0, 0):
            found[f"shifted by {right}, {down} px"] = _difference(reduced, np.roll(given, (-down, -right), (0, 1)))
    top, left = (round(side * (1 - ZOOM) / 2) for side in hr.shape[:2])
    if top and left:
        inner = np.ascontiguousarray(hr[top:-top, left:-left])
        found["cut at its borders"] = _difference(_standard(luma_of(imresize_uint8(inner, height, width))), given)
    best = min(found, key=lambda name: found[name])
    return best if found[best] < CLEARLY * as_it_is else None


def _standard(luma: np.ndarray) -> np.ndarray:
    """Zero mean, unit deviation: exposure and contrast are no question of place."""
    return (luma - luma.mean()) / max(float(luma.std()), 1e-6)


def colour_difference(hr: np.ndarray, lr: np.ndarray) -> float:
    """The largest difference of the mean of a channel, in grey levels."""
    return float(np.abs(hr.mean(axis=(0, 1)) - lr.mean(axis=(0, 1))).max())


def _difference(reduced: np.ndarray, given: np.ndarray) -> float:
    """Mean square, without the border that a shift brings in from the other side."""
    border = FARTHEST_SHIFT_PX if min(given.shape) > 4 * FARTHEST_SHIFT_PX else 0
    inner = slice(border, -border or None)
    return float(np.square(reduced[inner, inner] - given[inner, inner]).mean())
