"""Pictures that show the same in other pixels: re-encoded, resized, mirrored. The limits are those of the gate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from srledger.descriptors import HASH_BITS, describe, hamming, luma_of, standardise, thumbnail
from srledger.gates.leaks import LEAK_BITS, LEAK_CORRELATION, LEAST_CONTRAST

MANY_PIXELS = 1 << 24  # the luma of more would need too much memory
ROWS_AT_ONCE = 16  # compared with all others: what fits a processor's cache
THUMBNAILS_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class Look:
    """What an image is compared by, 2 KiB.

    Attributes:
        hashes: uint64 ``2 x 4``, of the image and of its mirror image.
        luma: float16 ``32 x 32``.
        contrast: standard deviation of luma, 0 to 255.
    """

    hashes: np.ndarray
    luma: np.ndarray
    contrast: float


def look_of(pixels: np.ndarray) -> Look:
    """The look of a uint8 ``H x W x 3`` image."""
    factor = math.ceil(math.sqrt(pixels.shape[0] * pixels.shape[1] / MANY_PIXELS))
    if factor > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce(factor))
    luma = luma_of(pixels)
    small = thumbnail(luma)
    found = describe(np.repeat(small[..., None], 3, axis=2))  # the hash of a picture is that of its thumbnail
    hashes = np.stack([found.phash, found.phash_mirrored]).view(np.uint64).reshape(2, HASH_BITS // 64)
    return Look(hashes, small.astype(np.float16), float(luma.std()))


def alike(looks: Sequence[Look], others: Sequence[Look]) -> Iterator[tuple[int, bool] | None]:
    """For each of ``looks`` in turn: the index of the first of ``others`` that shows the same, and whether mirrored."""
    hashes = np.array([look.hashes[0] for look in others], np.uint64).reshape(-1, HASH_BITS // 64)
    seen = np.array([look.contrast >= LEAST_CONTRAST for look in others], bool)
    for start in range(0, len(looks), ROWS_AT_ONCE):
        rows = looks[start : start + ROWS_AT_ONCE]
        ours = np.stack([look.hashes for look in rows])
        bits = np.minimum(hamming(ours[:, 0], hashes), hamming(ours[:, 1], hashes))
        for look, near in zip(rows, (bits <= LEAK_BITS) & seen, strict=True):
            blank = look.contrast < LEAST_CONTRAST
            yield None if blank else _first_match(look, others, np.flatnonzero(near).tolist())


def _first_match(look: Look, others: Sequence[Look], near: Sequence[int]) -> tuple[int, bool] | None:
    """The first of ``others[near]`` whose thumbnail is that of ``look``, and whether as in a mirror."""
    ours = standardise(np.stack([look.luma, look.luma[:, ::-1]]))
    for start in range(0, len(near), THUMBNAILS_AT_ONCE):
        part = near[start : start + THUMBNAILS_AT_ONCE]
        correlations = ours @ standardise(np.stack([others[m].luma for m in part])).T
        matches = np.flatnonzero(correlations.max(axis=0) >= LEAK_CORRELATION)
        if len(matches):
            first = matches[0]
            return part[first], bool(correlations[1, first] > correlations[0, first])
    return None
