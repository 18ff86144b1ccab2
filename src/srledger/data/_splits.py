"""Splits by shares: which split a group of images is drawn into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from srledger.seeds import seed_for

Split = Literal["train", "val", "test"]
SEEDS = 2**63  # seed_for draws from so many


def draw_split(group: str, shares: Mapping[Split, float], split_seed: int) -> Split:
    """The split of a group (an identity, or a file by its name).

    Every group is drawn by itself: another one that comes or goes moves none of the others, and a split's part of
    the images is its share on average.

    Args:
        shares: by split, with sum 1.
    """
    place = seed_for("split", group, split_seed) / SEEDS
    named = [split for split in get_args(Split) if split in shares]
    reached = 0.0
    for split in named[:-1]:
        reached += shares[split]
        if place < reached:
            return split
    return named[-1]
