"""Which files a ``folder`` set has: of each split, of LR, of tables; and which entries are refused at sight."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from srledger.data import SPLITS
from srledger.data._landmark_table import Face
from srledger.data._listing import Lister, places
from srledger.data._naming import image_id, plain, shown, without_suffix
from srledger.data._refusals import Refusal
from srledger.data._splits import Split, draw_split
from srledger.errors import SrledgerError

if TYPE_CHECKING:
    from srledger.data.folder import Config


class FolderFiles:
    """The files of a set, by their part in it; no image is opened.

    Attributes:
        images: of each split, sorted.
        lr_of: the LR file of an image, where there is one; None for a set that brings no LR files.
        refusals: entries that are no files.

    Raises:
        SrledgerError: a folder that is missing, shared by two splits or without images, or names that collide.
    """

    def __init__(self, config: Config, root: Path, path: Path, faces: Mapping[str, Face]) -> None:
        self.config = config
        self.path = path
        self._faces = faces
        named = [*(config.splits or {}).values(), *filter(None, [config.landmarks_csv, config.lr_folder])]
        sums = [root / "SHA256SUMS"] if config.sha256sums_sha256 else []
        known = places([*(path / name for name in named), *sums])
        lister = Lister(path, config.ignore, known, config.identity_folders or config.subfolders)
        self.refusals: list[Refusal] = []
        self.images = self._drawn(lister) if config.split_shares is not None else self._by_folder(lister)
        self._demand_images()
        every = {file: split for split, files in self.images.items() for file in files}
        _demand_apart({file: image_id(file.relative_to(path)) for file in every}, "images would have one name")
        self.lr_of = self._pair(lister, every) if config.lr_folder else None

    def all(self) -> list[Path]:
        """Images, their LR files and the landmarks file, sorted."""
        images = {file for files in self.images.values() for file in files}
        tables = {self.path / self.config.landmarks_csv} if self.config.landmarks_csv else set()
        return sorted(images | set((self.lr_of or {}).values()) | tables)

    def folder_identity(self, file: Path) -> str | None:
        """The identity that the image's folder names, where folders name identities."""
        return plain(file.parent.name) if self.config.identity_folders else None

    def lr_name(self, split: Split, file: Path) -> str:
        """The name of an image's LR file in ``lr_folder``, but for the suffix."""
        return without_suffix(file.relative_to(self._home(split)))

    def _home(self, split: Split) -> Path:
        return self.path / self.config.splits[split] if self.config.splits else self.path

    def _by_folder(self, lister: Lister) -> dict[Split, list[Path]]:
        splits = self.config.splits or {}
        taken: dict[Path, Split] = {}
        for split, name in splits.items():
            folder = self.path / name
            if ".." in Path(name).parts or Path(name).is_absolute():
                raise SrledgerError(
                    "a split leads out of its data set",
                    found=f"splits.{split}: {name}",
                    expected=f"a folder below {self.path}",
                )
            if taken.setdefault(folder.resolve(), split) != split:
                raise SrledgerError(
                    "two splits share their files",
                    where=folder,
                    found=f"{taken[folder.resolve()]} and {split}",
                    expected="a subfolder of its own for each split",
                    mend="move the files apart and edit splits, or draw them with split_shares",
                )
        return {split: self._listed(lister, self._home(split)) for split in _in_order(splits)}

    def _drawn(self, lister: Lister) -> dict[Split, list[Path]]:
        shares = self.config.split_shares or {}
        images: dict[Split, list[Path]] = {split: [] for split in _in_order(shares)}
        for file in self._listed(lister, self.path):
            name = file.relative_to(self.path).as_posix()
            identity = self._faces[name].identity if name in self._faces else None
            group = self.folder_identity(file) or identity or plain(name)
            images[draw_split(group, shares, self.config.split_seed)].append(file)
        return images

    def _listed(self, lister: Lister, folder: Path) -> list[Path]:
        files, refusals = lister.files(folder)
        self.refusals += refusals
        return files

    def _demand_images(self) -> None:
        for split, files in self.images.items():
            if not files and not self.refusals:  # refused entries are told first, they may be all there is
                drawn = self.config.split_shares is not None
                raise SrledgerError(
                    f"no images for the {split} split",
                    where=shown(self._home(split)),
                    found=f"{sum(map(len, self.images.values()))} images in all" if drawn else None,
                    expected="at least one image",
                    mend="more images, a larger share or another split_seed"
                    if drawn
                    else f"put images there, or edit splits.{split}",
                )

    def _pair(self, lister: Lister, every: Mapping[Path, Split]) -> dict[Path, Path]:
        folder = self.path / str(self.config.lr_folder)
        lr_names = {file: without_suffix(file.relative_to(folder)) for file in self._listed(lister, folder)}
        names = {file: self.lr_name(split, file) for file, split in every.items()}
        _demand_apart(lr_names, "LR files would belong to one image")
        _demand_apart(names, "images would share one LR file")
        by_name = {name: file for file, name in lr_names.items()}
        return {file: by_name[name] for file, name in names.items() if name in by_name}


def locate(config: Config) -> tuple[Path, Path]:
    """The root (where SHA256SUMS stands) and the set's folder below it."""
    name = config.root_env
    if name is None:
        root = path = Path(config.path)
        if not path.is_absolute():
            raise SrledgerError(
                "a path without root_env must be absolute",
                found=config.path,
                mend="give the whole path, or set root_env",
            )
        mend = "correct the data set's path"
    else:
        mend = f"export {name}=/path/to/folder (the official CelebA can be downloaded from its project page)"
        if not os.environ.get(name):
            raise SrledgerError(
                f"{name} is not set, so the images can't be found",
                expected=f"a folder with {config.path} in it",
                mend=mend,
            )
        root = Path(os.environ[name])
        path = root / config.path
    if not path.is_dir():
        raise SrledgerError("there is no such folder", where=path, mend=mend)
    return root, path


def _in_order(splits: Mapping[Split, object]) -> list[Split]:
    return sorted(splits, key=SPLITS.index)


def _demand_apart(names: Mapping[Path, str], what: str) -> None:
    """Raise SrledgerError where two files have one name."""
    seen: dict[str, Path] = {}
    for file, name in names.items():
        other = seen.setdefault(name, file)
        if other != file:
            raise SrledgerError(
                f"two {what}",
                where=shown(file),
                found=shown(other),
                expected=f"one file for '{shown(name)}'",
                mend="rename or remove one of them",
            )
