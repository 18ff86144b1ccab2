"""MATLAB's ``imresize`` (bicubic, antialiased) as two matrix products.

The LR images of the classical benchmarks were made by it. Pillow's bicubic rounds its weights and its intermediate
image to 8 bits, and torch's uses a = -0.75 unless antialiased; both give other LR images and so other PSNR values.
Source: MATLAB's documentation of ``imresize`` and R. Keys, "Cubic convolution interpolation for digital image
processing", IEEE TASSP 1981 (a = -0.5).
"""

from __future__ import annotations

import functools

import numpy as np

KERNEL_WIDTH = 4.0  # Keys' cubic is zero outside (-2, 2)


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5, elementwise."""
    near, far = np.abs(x) <= 1, (np.abs(x) > 1) & (np.abs(x) <= 2)
    x1, x2, x3 = np.abs(x), np.abs(x) ** 2, np.abs(x) ** 3
    return (1.5 * x3 - 2.5 * x2 + 1) * near + (-0.5 * x3 + 2.5 * x2 - 4 * x1 + 2) * far


@functools.lru_cache(maxsize=64)
def resize_weights(in_px: int, out_px: int) -> np.ndarray:
    """The matrix that resizes one axis: ``resized = resize_weights(in_px, out_px) @ values``.

    When reducing, the kernel is widened by ``in_px / out_px`` (antialiasing); past the border the image is mirrored
    with its edge pixel repeated. Rows sum to 1.

    Returns:
        float64 ``out_px x in_px``, read-only and shared between calls.

    Raises:
        ValueError: a length below 1.
    """
    if in_px < 1 or out_px < 1:
        raise ValueError(f"can't resize {in_px} px to {out_px} px")
    scale = out_px / in_px
    shrink = min(scale, 1.0)
    centres = (np.arange(out_px) + 0.5) / scale - 0.5
    taps = int(np.ceil(KERNEL_WIDTH / shrink)) + 2
    source = np.floor(centres - KERNEL_WIDTH / shrink / 2).astype(np.int64)[:, None] + np.arange(taps)
    values = cubic(shrink * (centres[:, None] - source))
    values /= values.sum(axis=1, keepdims=True)
    mirror = np.concatenate([np.arange(in_px), np.arange(in_px)[::-1]])
    weights = np.zeros((out_px, in_px))
    np.add.at(weights, (np.arange(out_px)[:, None], mirror[source % (2 * in_px)]), values)
    weights.setflags(write=False)
    return weights


def imresize(images: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """Resize the last two axes; any scale, up or down, each axis by its own.

    Args:
        images: float ``... x H x W`` (channels, if any, stand before H: a batch is ``B x 3 x H x W``), any range.

    Returns:
        float64 ``... x height_px x width_px``; not clipped, for the kernel overshoots at edges.
    """
    rows = resize_weights(images.shape[-2], height_px)
    columns = resize_weights(images.shape[-1], width_px)
    return rows @ (images @ columns.T)


def imresize_uint8(image: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """Resize one 8-bit image, bit for bit as MATLAB does for ``uint8`` input.

    MATLAB resizes one axis after the other (the one that shrinks more first, rows when they shrink alike) and rounds
    half up to 8 bits after EACH; a single rounding at the end changes a tenth of the values by one grey level.

    Args:
        image: uint8 ``H x W x C``.

    Returns:
        uint8 ``height_px x width_px x C``.
    """
    rows = resize_weights(image.shape[0], height_px)
    columns = resize_weights(image.shape[1], width_px)
    planes = np.moveaxis(image, -1, 0).astype(np.float64)
    if height_px / image.shape[0] <= width_px / image.shape[1]:
        planes = _round_half_up(_round_half_up(rows @ planes) @ columns.T)
    else:
        planes = _round_half_up(rows @ _round_half_up(planes @ columns.T))
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1).astype(np.uint8))


def _round_half_up(planes: np.ndarray) -> np.ndarray:
    return np.floor(np.clip(planes, 0, 255) + 0.5)
