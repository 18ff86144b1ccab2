"""Which images of a set look alike: Hamming distances between the perceptual hashes of all pairs."""

from __future__ import annotations

import dataclasses

import numpy as np

from srledger.descriptors import HASH_BITS, hamming

NEAR_BITS = (8, 16, 32, 64)
CHUNK_IMAGES = 128  # rows of the distance matrix at a time: beside 10,000 images they take 40 MiB to count


@dataclasses.dataclass(frozen=True)
class Resemblance:
    """Distances between the images of a set, in bits of their hashes.

    Attributes:
        pairs: how many pairs were compared. median_bits: of all of them; None without pairs.
        near: (bits, how many pairs are at most so far apart).
        closest: (bits, image, image), nearest first, then by position; an image is its position in the set.
    """

    pairs: int
    median_bits: int | None
    near: list[tuple[int, int]]
    closest: list[tuple[int, int, int]]


def resemblances(hashes: np.ndarray, splits: np.ndarray, shown: int) -> dict[str, Resemblance]:
    """Compare all pairs ``within`` splits and ``across`` them.

    Args:
        hashes: uint64 ``N x 4``. splits: ``N``, equal for images of one split.
        shown: how many closest pairs to keep of each kind.
    """
    tallies = {kind: np.zeros(HASH_BITS + 1, dtype=np.int64) for kind in ("within", "across")}
    closest: dict[str, list[tuple[int, int, int]]] = {kind: [] for kind in tallies}
    for start in range(0, len(hashes), CHUNK_IMAGES):
        stop = min(start + CHUNK_IMAGES, len(hashes))
        distances = hamming(hashes[start:stop], hashes[start:])
        later = np.arange(start, len(hashes)) > np.arange(start, stop)[:, None]  # each pair once, none with itself
        same = splits[start:stop, None] == splits[start:]
        for kind, wanted in (("within", later & same), ("across", later & ~same)):
            tally = np.bincount(distances[wanted], minlength=HASH_BITS + 1)
            tallies[kind] += tally
            limit = int(np.searchsorted(tally.cumsum(), min(shown, tally.sum())))  # all pairs that could be shown
            rows, columns = np.nonzero(wanted & (distances <= limit))
            found = zip(distances[rows, columns].tolist(), (rows + start).tolist(), (columns + start).tolist(),
                        strict=True)  # fmt: skip
            closest[kind] = sorted([*closest[kind], *found])[:shown]
    return {kind: _summary(tally, closest[kind]) for kind, tally in tallies.items()}


def _summary(tally: np.ndarray, closest: list[tuple[int, int, int]]) -> Resemblance:
    up_to = tally.cumsum()
    pairs = int(up_to[-1])
    median = int(np.searchsorted(up_to, (pairs + 1) // 2)) if pairs else None
    return Resemblance(pairs, median, [(bits, int(up_to[bits])) for bits in NEAR_BITS], closest)
