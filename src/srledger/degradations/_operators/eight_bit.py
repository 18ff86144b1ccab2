"""Into 8 bits, out of them, and through JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def planes_of(pixels: np.ndarray) -> np.ndarray:
    """float64 ``3 x H x W`` in [0, 1] of a uint8 ``H x W x 3`` image."""
    return np.moveaxis(pixels, -1, 0) / 255.0


def pixels_of(planes: np.ndarray) -> np.ndarray:
    """uint8 ``H x W x 3``: clipped and rounded."""
    return np.ascontiguousarray(np.moveaxis(np.round(np.clip(planes, 0, 1) * 255), 0, -1).astype(np.uint8))


def through_jpeg(planes: np.ndarray, quality: int) -> np.ndarray:
    """The image after libjpeg at a quality of 1 to 100, chroma halved in both directions (4:2:0)."""
    file = io.BytesIO()
    Image.fromarray(pixels_of(planes)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file) as image:
        return planes_of(np.asarray(image))
