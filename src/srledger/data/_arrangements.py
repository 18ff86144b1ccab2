"""Trees of published archives, put into the form that the source ``folder`` reads."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from srledger.data import SPLITS
from srledger.data._landmark_table import COORDINATES
from srledger.errors import SrledgerError
from srledger.io import atomic_open

FFHQ_TRAIN_IMAGES = 60_000  # the official split: these first


def arrange_celeba(tree: Path) -> None:
    """Official CelebA: images into ``train``, ``val``, ``test`` by the partition; identities and landmarks as a table.

    The landmarks are the published ones, in pixels of the 178 x 218 px files.
    """
    split_of = {name: SPLITS[int(part)] for name, part in _rows(tree / "list_eval_partition.txt", 2)}
    identity_of = {row[0]: row[1] for row in _rows(tree / "identity_CelebA.txt", 2)}
    points_of = {name: points for name, *points in _rows(tree / "list_landmarks_align_celeba.txt", 11, skip_lines=2)}
    images = _images(tree, ".jpg")
    for known in (split_of, identity_of, points_of):
        if missing := sorted(set(images) - set(known)):
            raise SrledgerError("an image stands in no row of an official table", where=tree.name, found=missing[0])
    _move(images, {name: split_of[name] for name in images}, tree)
    with atomic_open(tree / "landmarks.csv", "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["file", "identity", *COORDINATES])
        table.writerows([f"{split_of[name]}/{name}", identity_of[name], *points_of[name]] for name in sorted(images))


def arrange_ffhq(tree: Path) -> None:
    """FFHQ thumbnails: ``00000.png`` ... into ``train`` and ``val`` by number, in whatever folders they lie."""
    images = _images(tree, ".png")
    unnumbered = [name for name in images if not Path(name).stem.isdecimal()]
    if unnumbered:
        raise SrledgerError("an image of FFHQ has no number", where=tree.name, found=unnumbered[0])
    splits = {name: "train" if int(Path(name).stem) < FFHQ_TRAIN_IMAGES else "val" for name in images}
    _move(images, splits, tree)


ARRANGEMENTS: dict[str, Callable[[Path], None]] = {"celeba": arrange_celeba, "ffhq": arrange_ffhq}


def _rows(table: Path, columns: int, skip_lines: int = 0) -> Iterator[list[str]]:
    """The rows of an official table: words between spaces."""
    with table.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            words = line.split()
            if number <= skip_lines or not words:
                continue
            if len(words) != columns:
                raise SrledgerError(
                    "an official table has an odd row", where=f"{table.name}:{number}", found=f"{len(words)} columns",
                    expected=f"{columns} columns",
                )  # fmt: skip
            yield words


def _images(tree: Path, suffix: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(tree.rglob(f"*{suffix}")):
        if found.setdefault(path.name, path) != path:
            raise SrledgerError("two images of a set have one name", where=tree.name, found=path.name)
    return found


def _move(images: dict[str, Path], splits: dict[str, str], tree: Path) -> None:
    """Put the images into folders of their splits, and drop what else there was."""
    arranged = tree / ".arranged"
    for split in SPLITS:
        (arranged / split).mkdir(parents=True)
    for name, path in images.items():
        path.replace(arranged / splits[name] / name)
    for rest in tree.iterdir():
        if rest != arranged:
            shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    for split in SPLITS:
        (arranged / split).replace(tree / split)
    arranged.rmdir()
