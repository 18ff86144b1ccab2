"""Images of one split that show what an image of another split shows, re-encoded, resized or mirrored."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np

from srledger.data import SPLITS
from srledger.datasets import open_pack
from srledger.descriptors import hamming, hashes_of, luma_of, read_descriptors, thumbnail

# Measured on aligned faces (the hardest set: all alike). JPEG of quality 10, a third of the size, brightness x 1.2:
# at most 28 bits apart, correlation at least 0.97; two pictures of different faces: at least 36 bits, at most 0.94.
LEAK_BITS = 40
LEAK_CORRELATION = 0.95
LEAST_CONTRAST = 2.0  # a blank picture has no hash
CHUNK_IMAGES = 256


def leaks(folder: Path) -> dict[str, str]:
    """Image id -> the id of the same picture in another split, for every image of a dataset that has one."""
    table = read_descriptors(folder / "descriptors.parquet")
    ids, split = np.array(table["id"].to_pylist()), np.array(table["split"].to_pylist())
    plain, mirrored = hashes_of(table), hashes_of(table, "phash_mirrored")
    seen = table["contrast"].to_numpy() >= LEAST_CONTRAST
    found: dict[str, str] = {}
    for first, second in permutations(SPLITS, 2):
        here, there = np.flatnonzero((split == first) & seen), np.flatnonzero((split == second) & seen)
        for start in range(0, len(here), CHUNK_IMAGES):
            chunk = here[start : start + CHUNK_IMAGES]
            bits = np.minimum(hamming(plain[chunk], plain[there]), hamming(mirrored[chunk], plain[there]))
            for k, m in np.argwhere(bits <= LEAK_BITS):
                one, other = str(ids[chunk[k]]), str(ids[there[m]])
                if one not in found and _same_picture(folder, (first, one), (second, other)):
                    found[one] = other
    return found


def _same_picture(folder: Path, *images: tuple[str, str]) -> bool:
    first, second = (_thumbnail(folder, split, image_id) for split, image_id in images)
    return max(_correlation(first, second), _correlation(first[:, ::-1], second)) >= LEAK_CORRELATION


def _thumbnail(folder: Path, split: str, image_id: str) -> np.ndarray:
    pack = open_pack(folder, split)
    assert pack is not None
    return thumbnail(luma_of(np.asarray(pack.by_id(image_id))))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
