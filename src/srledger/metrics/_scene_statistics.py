"""Statistics of natural scenes: the 18 numbers that NIQE reads off a block (Mittal et al. 2013)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy import ndimage
from scipy.special import gamma

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # horizontal, vertical and the two diagonals


def normalise_contrast(luma: np.ndarray, blur: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(luma - local mean) / (local deviation + 1), eq. 1; luma ``H x W`` in [0, 255]."""
    mean = blur(luma)
    deviation = np.sqrt(np.abs(blur(luma * luma) - mean * mean))
    return (luma - mean) / (deviation + 1.0)


def halve_bicubic(luma: np.ndarray) -> np.ndarray:
    """MATLAB's ``imresize(luma, 0.5)`` of ``H x W`` with even sides: bicubic stretched twofold, mirrored border."""
    distance = np.abs(np.arange(8) - 3.5) / 2
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    taps = np.where(distance <= 1, near, far)
    taps /= taps.sum()
    for axis in (0, 1):
        luma = ndimage.correlate1d(luma, taps, axis=axis, mode="reflect")
    return luma[1::2, 1::2]  # scipy centres 8 taps half a pixel to the left


@functools.cache
def _shape_table() -> tuple[np.ndarray, np.ndarray]:
    """Shapes from 0.2 to 10 and the moment ratio each gives, the table BasicSR and the authors search."""
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))


def fit_asymmetric_gaussian(values: np.ndarray) -> tuple[float, float, float]:
    """Shape and left and right scale of an asymmetric generalised Gaussian, by moments (eq. 3 to 7).

    The scales are NaN where one side is empty (a flat block).
    """
    shapes, ratios = _shape_table()
    left, right = _root_mean_square(values[values < 0]), _root_mean_square(values[values > 0])
    with np.errstate(invalid="ignore"):
        skew = left / right
        ratio = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
        ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = float(shapes[np.argmin((ratios - ratio) ** 2)])
    spread = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * spread, right * spread


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")


def block_features(block: np.ndarray) -> list[float]:
    """18 features of a contrast-normalised block: its own fit, and those of its products with four neighbours.

    Neighbours wrap around inside the block, as in the reference code.
    """
    shape, left, right = fit_asymmetric_gaussian(block)
    features = [shape, (left + right) / 2]
    for shift in NEIGHBOURS:
        shape, left, right = fit_asymmetric_gaussian(block * np.roll(block, shift, axis=(0, 1)))
        mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)  # eq. 8
        features += [shape, mean, left, right]
    return features
