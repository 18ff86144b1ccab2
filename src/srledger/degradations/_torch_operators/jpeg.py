"""JPEG of a batch, each sample at its own quality, as libjpeg computes it; its lossless coding is left out.

Sources: ITU-T T.81 annex K (tables), JFIF 1.02 (colours), and libjpeg's whole numbers: 4:2:0 by means with alternating
bias, tables scaled by quality, a cosine transform ("islow") rounded after each of its two passes, chroma enlarged by
a triangle filter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from srledger.degradations._torch_operators.canvas import Canvas, pad_to

LUMA_TABLE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
CHROMA_TABLE = np.full((8, 8), 99)
CHROMA_TABLE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

COSINES = np.array([[math.cos((2 * x + 1) * u * math.pi / 16) / 2 for x in range(8)] for u in range(8)])
COSINES[0] /= math.sqrt(2)

PASS_SCALE = 4 * math.sqrt(8)  # what libjpeg keeps between the passes
MCU_PX = 16  # two blocks of luma, one of chroma


def through_jpeg(canvas: Canvas, qualities: Sequence[int]) -> Canvas:
    """Each sample after JPEG at its quality of 1 to 100; values are multiples of 1/255."""
    height, width = canvas.planes.shape[2:]
    levels = (pad_to(canvas, MCU_PX).clamp(0, 1) * 255).round()
    luma, blue, red = _to_ycc(levels).unbind(dim=1)
    luma = _quantised(luma, [_table(LUMA_TABLE, quality) for quality in qualities])
    chroma_tables = [_table(CHROMA_TABLE, quality) for quality in qualities]
    chroma = [
        _enlarged(_quantised(_halved(each, canvas.sizes_px), chroma_tables), canvas.sizes_px, (height, width))
        for each in (blue, red)
    ]
    return canvas.with_planes(_to_rgb(luma[:, :height, :width], *chroma) / 255)


def _table(base: np.ndarray, quality: int) -> np.ndarray:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * percent + 50) // 100, 1, 255)


def _to_ycc(rgb: torch.Tensor) -> torch.Tensor:
    red, green, blue = rgb.unbind(dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb = -0.168735892 * red - 0.331264108 * green + 0.5 * blue + 128
    cr = 0.5 * red - 0.418687589 * green - 0.081312411 * blue + 128
    return torch.stack([_rounded(luma), (cb - 0.5).ceil(), (cr - 0.5).ceil()], dim=1).clamp(0, 255)


def _to_rgb(luma: torch.Tensor, blue: torch.Tensor, red: torch.Tensor) -> torch.Tensor:
    cb, cr = blue - 128, red - 128
    rgb = [luma + _rounded(1.402 * cr), luma + _rounded(-0.344136286 * cb - 0.714136286 * cr)]
    return torch.stack([*rgb, luma + _rounded(1.772 * cb)], dim=1).clamp(0, 255)


def _halved(plane: torch.Tensor, sizes_px: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Means of 2 x 2 pixels; halves are rounded down in even columns and up in odd ones.

    Below a sample its last row of means is repeated: libjpeg widens before it takes means, and lengthens after.
    """
    total = plane[:, ::2, ::2] + plane[:, 1::2, ::2] + plane[:, ::2, 1::2] + plane[:, 1::2, 1::2]
    bias = 1 + torch.arange(total.shape[2], device=plane.device) % 2
    means = ((total + bias) / 4).floor()
    rows = [np.minimum(np.arange(means.shape[1]), (own + 1) // 2 - 1) for own, _ in sizes_px]
    at = torch.from_numpy(np.stack(rows)).to(plane.device)[:, :, None].expand(means.shape)
    return means.gather(1, at)


def _quantised(plane: torch.Tensor, tables: Sequence[np.ndarray]) -> torch.Tensor:
    """What is left of ``B x H x W`` levels when the cosine coefficients of their 8 x 8 blocks are rounded."""
    n, height, width = plane.shape
    cosines = torch.from_numpy(COSINES).to(plane)
    table = torch.from_numpy(np.stack(tables)).to(plane)[:, None, None]
    blocks = plane.reshape(n, height // 8, 8, width // 8, 8).transpose(2, 3) - 128
    rows = _rounded(_transformed(blocks, cosines) * PASS_SCALE)
    coefficients = _rounded(_transformed(rows.mT, cosines).mT * (8 / PASS_SCALE))  # eight times the true ones
    kept = coefficients.sign() * ((coefficients.abs() + 4 * table) / (8 * table)).floor() * table
    columns = _rounded(_transformed(kept.mT, cosines.mT).mT * PASS_SCALE)
    blocks = _rounded(_transformed(columns, cosines.mT) / PASS_SCALE) + 128
    return blocks.transpose(2, 3).reshape(n, height, width).clamp(0, 255)


def _transformed(blocks: torch.Tensor, cosines: torch.Tensor) -> torch.Tensor:
    """The last axis (8 values) times the transform; summed value by value, for a product of matrices may be TF32."""
    made = blocks[..., :1] * cosines[:, 0]
    for x in range(1, 8):
        made = made + blocks[..., x : x + 1] * cosines[:, x]
    return made


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """To whole numbers, halves up."""
    return (values + 0.5).floor()


def _enlarged(plane: torch.Tensor, sizes_px: Sequence[tuple[int, int]], size_px: tuple[int, int]) -> torch.Tensor:
    """Twice as large: 3/4 of the nearest and 1/4 of the next pixel along each axis, within each sample's own size.

    Samples of 4 px and less in width repeat their pixels, as libjpeg does.
    """
    narrow = [width <= 4 for _, width in sizes_px]
    samples = torch.arange(len(plane), device=plane.device)[:, None, None]
    (top, bottom), (left, right) = (
        [
            torch.from_numpy(each).to(plane.device)
            for each in _neighbours([own[axis] for own in sizes_px], length_px, narrow)
        ]
        for axis, length_px in enumerate(size_px)
    )
    rows = 3 * plane[samples, top[:, :, None], :].squeeze(2) + plane[samples, bottom[:, :, None], :].squeeze(2)
    near, far = (rows.gather(2, each[:, None, :].expand(-1, rows.shape[1], -1)) for each in (left, right))
    bias = 8 - torch.arange(size_px[1], device=plane.device) % 2
    return ((3 * near + far + bias) / 16).floor()


def _neighbours(lengths_px: Sequence[int], out_px: int, alike: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """For each sample and pixel of an enlarged axis its nearest pixel of the halved axis, and the one beyond.

    Both are the nearest at the sample's ends, and where ``alike``.
    """
    out = np.arange(out_px)
    last = (np.array(lengths_px)[:, None] + 1) // 2 - 1
    nearest = np.minimum(out // 2, last)
    beyond = np.clip(nearest + np.where(out % 2, 1, -1), 0, last)
    return nearest, np.where(np.array(alike)[:, None], nearest, beyond)
