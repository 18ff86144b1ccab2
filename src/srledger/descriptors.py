"""What an image looks like, in a few numbers: brightness, contrast, sharpness, and a perceptual hash.

The hash is a DCT hash of 256 bits: the signs, about their median, of the 16 x 16 lowest frequencies of a 32 x 32 luma
thumbnail (Zauner 2010 with a larger grid: aligned faces share their lowest frequencies). A mirrored image has the odd
columns negated, so both hashes come from one transform.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import laplace

from srledger.io import write_table

LUMA_BT601 = np.array([0.299, 0.587, 0.114], np.float32)
THUMBNAIL_PX = 32
HASH_SIDE = 16
HASH_BITS = HASH_SIDE**2


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """One image.

    Attributes:
        phash, phash_mirrored: uint8 ``32``, of the image and of its mirror image.
        brightness, contrast: mean and standard deviation of luma, 0 to 255.
        sharpness: variance of the Laplacian of luma.
    """

    phash: np.ndarray
    phash_mirrored: np.ndarray
    brightness: float
    contrast: float
    sharpness: float


def luma_of(pixels: np.ndarray) -> np.ndarray:
    """Full-range BT.601 luma, float32 ``H x W`` of uint8 ``H x W x 3``."""
    return pixels.astype(np.float32) @ LUMA_BT601


def thumbnail(luma: np.ndarray, size_px: int = THUMBNAIL_PX) -> np.ndarray:
    """float32 ``size_px x size_px``: mean luma of each field (proportions are given up, as in every such hash)."""
    return np.asarray(Image.fromarray(luma).resize((size_px, size_px), Image.Resampling.BOX), np.float32)


def standardise(thumbnails: np.ndarray) -> np.ndarray:
    """Images ``N x ...`` as float32 vectors ``N x M`` of mean 0 and length 1, so that a product is a correlation.

    An even image stays 0: like nothing.
    """
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, lengths, out=flat, where=lengths > 1e-6)


def describe(pixels: np.ndarray) -> Descriptor:
    """The descriptor of a uint8 ``H x W x 3`` image."""
    luma = luma_of(pixels)
    frequencies = dctn(thumbnail(luma), norm="ortho")[:HASH_SIDE, :HASH_SIDE]
    mirrored = frequencies * np.where(np.arange(HASH_SIDE) % 2, -1, 1)
    return Descriptor(
        _bits(frequencies), _bits(mirrored), float(luma.mean()), float(luma.std()), float(laplace(luma).var())
    )


def _bits(frequencies: np.ndarray) -> np.ndarray:
    values = frequencies.ravel()
    return np.packbits(values > np.median(values[1:]))  # without the mean, which says nothing of the picture


def write_descriptors(path: Path, ids: Sequence[str], splits: Sequence[str], found: Sequence[Descriptor]) -> None:
    """Write descriptors as parquet, a line per image in the manifest's order; hashes as 64 hex digits."""
    columns = {
        "id": pa.array(ids, pa.string()),
        "split": pa.array(splits, pa.string()),
        "phash": pa.array([one.phash.tobytes().hex() for one in found], pa.string()),
        "phash_mirrored": pa.array([one.phash_mirrored.tobytes().hex() for one in found], pa.string()),
    }
    for name in ("brightness", "contrast", "sharpness"):
        columns[name] = pa.array([getattr(one, name) for one in found], pa.float32())
    write_table(path, pa.table(columns))


def read_descriptors(path: Path) -> pa.Table:
    """The table that ``write_descriptors`` wrote."""
    return pq.read_table(path)


def hashes_of(table: pa.Table, column: str = "phash") -> np.ndarray:
    """uint64 ``N x 4`` of a column of hex hashes."""
    return np.frombuffer(bytes.fromhex("".join(table[column].to_pylist())), np.uint64).reshape(-1, HASH_BITS // 64)


def hamming(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """uint16 ``N x M``: how many bits differ between each of ``first`` (``N x 4``) and of ``second`` (``M x 4``)."""
    return np.bitwise_count(first[:, None] ^ second[None]).sum(-1, dtype=np.uint16)
