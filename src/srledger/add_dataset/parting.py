"""Which images of a folder make the set's splits, so that no split shows what another shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from srledger.add_dataset.copies import identical, lookalikes
from srledger.add_dataset.place import Place
from srledger.add_dataset.survey import Seen
from srledger.data._landmark_table import read_faces
from srledger.data._splits import draw_split
from srledger.errors import SrledgerError

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SEEDS_TRIED = 1000


def part(place: Place, images: list[Seen]) -> tuple[int | None, dict[str, str]]:
    """The seed by which splits are drawn (None where they are folders), and the images to leave out, with the reason.

    Raises:
        SrledgerError: too few images, or a split of which none is left; a landmarks file with errors.
    """
    groups = _groups(place, images)
    left_out = identical(place, images, groups)
    seed: int | None = None
    while True:
        kept = [seen for seen in images if seen.name not in left_out]
        drawn = 0 if place.splits else _split_seed({groups[seen.name] for seen in kept}, place.path)
        if drawn == seed:
            break
        seed = drawn  # what is left out now may empty a split of this draw, then another seed is tried
        split_of = {seen.name: place.split_of(seen) or _draw(groups[seen.name], seed) for seen in kept}
        left_out |= lookalikes(kept, split_of)
    _demand_every_split(place, kept, left_out)
    return (None if place.splits else seed), left_out


def _groups(place: Place, images: list[Seen]) -> dict[str, str]:
    """What must not be parted by a draw of splits, by image; the rule is that of the ``folder`` source."""
    if place.identity_folders:
        return {seen.name: seen.folder.rpartition("/")[2] for seen in images}
    faces = {}
    if place.landmarks_csv:
        table = place.path / place.landmarks_csv
        faces = read_faces(table.read_bytes(), table, place.path)
    identities = {name: face.identity for name, face in faces.items()}
    return {seen.name: identities.get(seen.name) or seen.name for seen in images}


def _split_seed(groups: set[str], folder: Path) -> int:
    """The first seed that leaves no split empty: with few images the first draw may."""
    for seed in range(SEEDS_TRIED) if len(groups) >= len(SHARES) else ():
        if {_draw(group, seed) for group in groups} == set(SHARES):
            return seed
    raise SrledgerError(
        "too few images for splits", where=folder, found=f"{len(groups)} that can be parted",
        expected=f"at least {len(SHARES)}: one for each of {', '.join(SHARES)}",
    )  # fmt: skip


def _draw(group: str, seed: int) -> str:
    return draw_split(group, SHARES, seed)  # type: ignore[arg-type]


def _demand_every_split(place: Place, kept: list[Seen], left_out: Mapping[str, str]) -> None:
    for split, folder in (place.splits or {}).items():
        if split not in {place.split_of(seen) for seen in kept}:
            name = next((name for name in left_out if (place.seen / name).is_relative_to(place.path / folder)), None)
            raise SrledgerError(
                f"no image of the {split} split can be used", where=place.path / folder,
                found=f"{name}: {left_out[name]}" if name else "none that fits the task",
                mend="put other images there, or take the folder away",
            )  # fmt: skip
