"""How a folder of images is laid out: splits, HR and LR, people, a landmarks file."""

from __future__ import annotations

import dataclasses
import glob
import os
import shlex
from collections import Counter
from pathlib import Path, PurePosixPath

from srledger.add_dataset.survey import (
    Seen,
    Survey,
    factor_of,
    has_identity_folders,
    hr_subfolder,
    is_lr_name,
    landmark_table,
    pairs_of,
    split_subfolders,
    subfolders_of,
    survey_folder,
)
from srledger.errors import SrledgerError

MADE_BY_PROJECT = ("data", "runs", "results", "reports", "scratch", "private", ".dvc", ".git")
FOLDERS_TRIED = 100
FEWEST_IMAGES = 3  # one for each split


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the images stand.

    Attributes:
        seen: the folder that was looked at; names of images are relative to it.
        path: the set's folder: the same, or the one above where LR images lie beside it.
        splits: split -> subfolder of ``path``; None when images lie in ``path`` itself and splits are to be drawn.
        lr_factor: how many times smaller the images of ``lr_folder`` are.
        notes: what a person should know of how the folder was read.
    """

    seen: Path
    path: Path
    splits: dict[str, str] | None
    identity_folders: bool = False
    landmarks_csv: str | None = None
    lr_folder: str | None = None
    lr_factor: int | None = None
    notes: tuple[str, ...] = ()

    def split_of(self, image: Seen) -> str | None:
        """The split whose folder an image stands in; None where splits are drawn, or in none of them."""
        for split, name in (self.splits or {}).items():
            if (self.seen / image.name).is_relative_to(self.path / name):
                return split
        return None

    @property
    def _homes(self) -> list[Path]:
        return [self.path / name for name in (self.splits or {"": "."}).values()]

    def reads(self, image: Seen) -> bool:
        """Whether a file lies where HR images are read, at the right depth."""
        file = self.seen / image.name
        return (file.parent.parent if self.identity_folders else file.parent) in self._homes

    def images(self, survey: Survey) -> list[Seen]:
        """The HR images."""
        return [image for image in survey.images if self.reads(image)]

    def broken(self, survey: Survey) -> list[Seen]:
        """Files among them that are named like images and can't be read."""
        return [image for image in survey.broken if self.reads(image)]

    def patterns_of_others(self, survey: Survey) -> list[str]:
        """Patterns for what stands among the images and is none: ``*.txt``, a folder of thumbnails."""
        named = (*(self.splits or {}).values(), self.lr_folder, self.landmarks_csv)
        known = {self.path / name for name in named if name}
        patterns = set()
        used = Counter(Path(image.name).suffix for image in survey.images)
        for file in survey.others:
            path, suffix = self.seen / file.name, Path(file.name).suffix
            if path not in known and any(path.is_relative_to(home) for home in self._homes):
                patterns.add(f"*{glob.escape(suffix)}" if suffix and not used[suffix] else glob.escape(path.name))
        for home in self._homes:
            people = {(self.seen / image.name).parent for image in survey.images} if self.identity_folders else set()
            patterns |= {glob.escape(folder.name) for folder in subfolders_of(home) if folder not in known | people}
        return sorted(patterns)


def check_folder(folder: Path, root: Path) -> Path:
    """The folder's absolute path.

    Raises:
        SrledgerError: it isn't there, or can't be a data set because the project itself writes in it.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - a link is kept as the user named it
    if not folder.is_dir():
        problem = "a file, where a folder is wanted" if folder.exists() else "there is no such folder"
        raise SrledgerError(problem, where=folder, expected="a folder with images")
    real, root = folder.resolve(), root.resolve()
    if root.is_relative_to(real):
        raise SrledgerError("the folder contains the project", where=folder, expected="a folder with images alone")
    if any(real.is_relative_to((root / name).resolve()) for name in MADE_BY_PROJECT):
        raise SrledgerError(
            "the project itself writes and deletes in this folder", where=folder,
            expected="a folder outside " + ", ".join(f"{name}/" for name in MADE_BY_PROJECT),
            mend="copy the images to a folder of their own",
        )  # fmt: skip
    return folder


def find_place(survey: Survey) -> Place:
    """Read the folder's structure from the names in it.

    Raises:
        SrledgerError: no images, or subfolders that are neither splits nor people.
    """
    if not survey.images:
        broken = [f"{file.name}: {file.problem}" for file in survey.broken[:3]]
        raise SrledgerError(
            "there are no images in the folder", where=survey.folder,
            found="; ".join(broken) or f"{len(survey.files)} other files", expected="PNG, JPEG, ... files",
        )  # fmt: skip
    place = _pair_beside(survey) or _split_folders(survey) or _one_folder(survey)
    table = landmark_table(survey)
    if table is None or place.path != survey.folder:
        return place
    return dataclasses.replace(place, landmarks_csv=table)


def _pair_beside(survey: Survey) -> Place | None:
    """A benchmark such as ``Set5`` with ``Set5_LRx4`` beside it, or ``HR`` with ``LR``."""
    folder = survey.folder
    if survey.subfolders() or is_lr_name(folder.name):
        return None
    start = "" if folder.name.lower() == "hr" else folder.name
    for beside in subfolders_of(folder.parent):
        if beside.name.startswith(start) and beside != folder and is_lr_name(beside.name):
            pairs = pairs_of(survey.images, survey_folder(beside).images)
            factor = factor_of(pairs) if pairs else None
            if factor:
                notes = (f"a benchmark, all of it is the test split; its LR images are those in {beside}",)
                splits = {"test": folder.name}
                return Place(folder, folder.parent, splits, lr_folder=beside.name, lr_factor=factor, notes=notes)
    return None


def _split_folders(survey: Survey) -> Place | None:
    splits = split_subfolders(survey)
    notes = []
    hr, lr = hr_subfolder(survey), [name for name in survey.subfolders() if is_lr_name(name)]
    if splits and "test" not in splits:
        if "val" not in splits:
            raise SrledgerError(
                "there is a folder to train on and none to measure on", where=survey.folder, found=splits["train"],
                expected="train, val and test", mend=_advice(survey, splits["train"]),
            )  # fmt: skip
        splits["test"] = splits.pop("val")
        notes.append(f"no test folder: {splits['test']} is measured on, and nothing is kept for validation")
    if not splits and hr and lr:
        splits = {"test": hr}
        notes.append("HR and LR without splits: a benchmark, all of it is the test split")
    if not splits:
        return None
    place = Place(survey.folder, survey.folder, splits, has_identity_folders(survey, list(splits.values())))
    unused = [image for image in survey.images if not place.reads(image) and not is_lr_name(image.name.split("/")[0])]
    if unused:
        notes.append(f"{len(unused)} images stand in no split's folder and are not used, {unused[0].name} first")
    return _with_lr(place, survey, lr, notes)


def _one_folder(survey: Survey) -> Place:
    lr = [name for name in survey.subfolders() if is_lr_name(name)]
    people = has_identity_folders(survey, ["."])
    if stray := _strays(survey):
        raise SrledgerError(
            "the subfolders are neither splits nor people", where=survey.folder, found=", ".join(stray[:8]),
            expected="train, val and test; or a subfolder for each of many people; or images and no subfolders",
            mend=_advice(survey, "."),
        )  # fmt: skip
    return _with_lr(Place(survey.folder, survey.folder, None, people), survey, lr, [])


def _strays(survey: Survey) -> list[str]:
    """Subfolders that are neither people nor LR images."""
    people = has_identity_folders(survey, ["."])
    return [] if people else [name for name in survey.subfolders() if not is_lr_name(name)]


def _advice(survey: Survey, below: str) -> str:
    """A command that takes a part of the folder: the subfolder with the most images that can stand by itself."""
    homes = Counter(parent for seen in survey.below(below) for parent in PurePosixPath(seen.name).parents)
    by_size = sorted(homes, key=lambda home: (-homes[home], home.as_posix()))
    for home in [home for home in by_size if home.as_posix() != "."][:FOLDERS_TRIED]:
        if _stands_alone(survey.inside(home.as_posix())):
            return f"rename them, or add one by itself: srledger add-dataset {shlex.quote(str(survey.folder / home))}"
    return "put the images into one folder, or into train, val and test"


def _stands_alone(survey: Survey) -> bool:
    if is_lr_name(survey.folder.name):
        return False
    try:
        splits = split_subfolders(survey)
    except SrledgerError:
        return False
    return bool({"val", "test"} & set(splits)) or (
        not splits and len(survey.images) >= FEWEST_IMAGES and not _strays(survey)
    )


def _with_lr(place: Place, survey: Survey, lr: list[str], notes: list[str]) -> Place:
    """The place with the first LR folder that has an image for each HR image."""
    for name in lr:
        pairs = pairs_of(place.images(survey), survey.below(name))
        factor = factor_of(pairs) if pairs else None
        if factor:
            return dataclasses.replace(place, lr_folder=name, lr_factor=factor, notes=tuple(notes))
    why = "its images don't have the names of the HR images, or aren't smaller by one whole factor"
    notes += [f"{name} is not used: {why}" for name in lr]
    return dataclasses.replace(place, notes=tuple(notes))
