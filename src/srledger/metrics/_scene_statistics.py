"""Statistics of natural scenes: the 18 numbers that NIQE reads off a block, and its distance (Mittal et al. 2013)."""

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


def block_maps(luma: np.ndarray, block_px: int, window: np.ndarray) -> np.ndarray:
    """36 features of each whole block of luma ``H x W``, 18 a scale: ``rows x columns x 36``; ``block_px`` is even."""
    rows, columns = luma.shape[0] // block_px, luma.shape[1] // block_px
    luma = luma[: rows * block_px, : columns * block_px]
    scales = []
    for side in (block_px, block_px // 2):
        contrast = normalise_contrast(luma, lambda values: ndimage.correlate(values, window, mode="nearest"))
        blocks = contrast.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
        scales.append(np.array([block_features(block) for block in blocks]))
        luma = halve_bicubic(luma)
    return np.concatenate(scales, axis=1).reshape(rows, columns, -1)


def distance_to_model(features: np.ndarray, mean: np.ndarray, covariance: np.ndarray, least_blocks: int) -> float:
    """How far ``blocks x 36`` lie from a Gaussian model of pristine ones (eq. 10); NaN for too few whole ones.

    A flat block has features that are not numbers: it counts where the others of its features are.
    """
    whole = features[~np.isnan(features).any(axis=1)]
    if len(whole) < least_blocks:
        return float("nan")
    difference = mean - np.nanmean(features, axis=0)
    pooled = (covariance + np.cov(whole, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(pooled) @ difference))
