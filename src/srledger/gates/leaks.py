"""Images of one split that show what an image of another split shows, re-encoded, resized or mirrored.

A crop, a shift of some pixels, a frame or a rotation makes another picture for this measure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from srledger.data import SPLITS
from srledger.datasets import open_pack
from srledger.descriptors import hamming, hashes_of, luma_of, read_descriptors, standardise, thumbnail
from srledger.packs import Pack

# Measured on aligned faces (the hardest set: all alike). JPEG of quality 10, a third of the size, brightness x 1.2:
# at most 28 bits apart, correlation at least 0.97; two pictures of different faces: at least 36 bits, at most 0.94.
LEAK_BITS = 40
LEAK_CORRELATION = 0.95
LEAST_CONTRAST = 2.0  # a blank picture has no hash
CHUNK_IMAGES = 256


@dataclasses.dataclass(frozen=True)
class _Split:
    """The images of a split that have a hash: ids, hashes (uint64 ``N x 4``), and where their pixels are."""

    ids: list[str]
    plain: np.ndarray
    mirrored: np.ndarray
    pack: Pack

    def thumbnails(self, positions: np.ndarray) -> np.ndarray:
        """float32 ``N x 32 x 32``, luma."""
        return np.stack([thumbnail(luma_of(np.asarray(self.pack.by_id(self.ids[k])))) for k in positions])


def leaks(folder: Path) -> dict[str, str]:
    """Image id -> the id of the same picture in another split, for every image of a dataset that has one."""
    table = read_descriptors(folder / "descriptors.parquet")
    ids, split = np.array(table["id"].to_pylist()), np.array(table["split"].to_pylist())
    plain, mirrored = hashes_of(table), hashes_of(table, "phash_mirrored")
    seen = table["contrast"].to_numpy() >= LEAST_CONTRAST
    splits = {}
    for name in SPLITS:
        chosen, pack = (split == name) & seen, open_pack(folder, name)
        assert pack is not None
        splits[name] = _Split(ids[chosen].tolist(), plain[chosen], mirrored[chosen], pack)
    found: dict[str, str] = {}
    for first, second in combinations(SPLITS, 2):
        for one, other in _same_pictures(splits[first], splits[second]):
            found.setdefault(one, other)
            found.setdefault(other, one)
    return found


def _same_pictures(first: _Split, second: _Split) -> Iterator[tuple[str, str]]:
    for start in range(0, len(first.ids), CHUNK_IMAGES):
        chunk = slice(start, start + CHUNK_IMAGES)
        bits = np.minimum(hamming(first.plain[chunk], second.plain), hamming(first.mirrored[chunk], second.plain))
        near = bits <= LEAK_BITS
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        if not len(rows):
            continue
        ours, theirs = first.thumbnails(start + rows), standardise(second.thumbnails(columns))
        correlation = np.maximum(*(standardise(images) @ theirs.T for images in (ours, ours[:, :, ::-1])))
        same = near[np.ix_(rows, columns)] & (correlation >= LEAK_CORRELATION)
        for k, m in np.argwhere(same):
            yield first.ids[start + rows[k]], second.ids[columns[m]]
