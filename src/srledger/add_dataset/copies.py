"""Images that bring one picture into two splits: all but one of each are left out of the set."""

from __future__ import annotations

from collections.abc import Mapping

from srledger.add_dataset.likeness import Look, alike
from srledger.add_dataset.place import Place
from srledger.add_dataset.survey import Seen
from srledger.data import SPLITS
from srledger.progress import Progress

KEPT_FIRST = tuple(reversed(SPLITS))  # what is measured on is kept before what is trained on


def identical(place: Place, images: list[Seen], groups: Mapping[str, str]) -> dict[str, str]:
    """Images that would bring the same pixels into two splits, and why they are left out.

    Args:
        groups: what a draw of splits does not part, by image: any two of them may come into two splits.
    """

    def home(seen: Seen) -> str:
        return place.split_of(seen) or groups[seen.name]

    left_out: dict[str, str] = {}
    first: dict[str, Seen] = {}
    order = {split: k for k, split in enumerate(KEPT_FIRST)}
    for seen in sorted(images, key=lambda seen: (order.get(place.split_of(seen) or "", 0), seen.name)):
        kept = first.setdefault(str(seen.content), seen)
        if home(kept) != home(seen):
            left_out[seen.name] = f"the same picture as {kept.name}"
    return left_out


def lookalikes(images: list[Seen], split_of: Mapping[str, str]) -> dict[str, str]:
    """Images that show what an image of another split shows, and why they are left out.

    Args:
        split_of: the split of each image, by name.
    """
    by_split = {split: [seen for seen in images if split_of[seen.name] == split] for split in KEPT_FIRST}
    left_out: dict[str, str] = {}
    kept: list[tuple[str, Look]] = []
    done = 0
    with Progress("look for copies between splits", len(images)) as progress:
        for split_images in by_split.values():
            ours = [(seen.name, seen.look) for seen in split_images if seen.look]
            matches = alike([look for _, look in ours], [look for _, look in kept])
            for (name, _), match in zip(ours, matches, strict=True):
                if match:
                    left_out[name] = f"looks like {kept[match[0]][0]}{', mirrored' if match[1] else ''}"
                progress.advance(done := done + 1)
            kept += [(name, look) for name, look in ours if name not in left_out]
    return left_out
