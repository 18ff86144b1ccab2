"""``folder``: images in a local folder, with landmarks, identities and LR files where it has them.

Every file is read and checked once before the first image is given, so that a bad file is found before anything is
written. ``_decode`` states how files become RGB uint8 (landmarks refer to the image after its EXIF rotation).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from srledger.data import SPLITS, Source, SourceImage
from srledger.data._decode import UnreadableImage, decode_rgb
from srledger.data._landmark_table import check_inside, read_faces
from srledger.errors import SrledgerError
from srledger.io import sha256_bytes, sha256_file
from srledger.plugins import PluginConfig

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
Split = Literal["train", "val", "test"]
log = logging.getLogger(__name__)


class Config(PluginConfig):
    """Where the images are.

    Attributes:
        path: folder of the set, relative to the folder that ``root_env`` names, or absolute when ``root_env`` is null.
        splits: subfolder of ``path`` for each split (``.`` is ``path`` itself); subfolders of these are not entered.
        landmarks_csv: file below ``path`` with columns ``file`` (relative to ``path``), ``left_eye_x`` ...
            ``mouth_right_y`` in pixels and, if known, ``identity``. Every image needs a row.
        lr_folder: folder relative to ``path`` with an LR file of the same stem for every image.
        sha256sums_sha256: hash of the ``SHA256SUMS`` file at the root; every file that is read is then checked
            against its line there.
        max_images: the first n of a split, in sorted order.
        skip_unreadable: leave broken files out (with a warning) where an error would stop the run.
        redistributable: may pictures made from it stand in a committed report?
    """

    path: str
    root_env: str | None = "SRLEDGER_MIRROR"
    splits: dict[Split, str] = Field(min_length=1)
    landmarks_csv: str | None = None
    lr_folder: str | None = None
    sha256sums_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    licence: str
    redistributable: bool = False
    max_images: dict[Split, PositiveInt] = Field(default_factory=dict)
    skip_unreadable: bool = False


class Folder(Source):
    """Images named by their path below ``path``: ``train/00001.jpg`` is ``train_00001``, ``baby.png`` is ``baby``.

    Raises:
        SrledgerError: from the constructor for what is wrong with folders and tables, from ``images()``, before the
            first image, for what is wrong with a file. Each names the file and how to mend it.
    """

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # A folder's licence is its owner's to state, so here these belong to the instance, not to the class.
        self.licence = config.licence
        self.redistributable = config.redistributable
        self.root, self.path = _locate(config)
        self._sums = _read_sums(self.root, config.sha256sums_sha256) if config.sha256sums_sha256 else None
        self._files = {split: self._list(split, config.splits[split]) for split in SPLITS if split in config.splits}
        table = self.path / (config.landmarks_csv or "")
        self._faces = read_faces(self._bytes(table), table, self.path) if config.landmarks_csv else None
        self._lr_files = _files_by_stem(self.path / config.lr_folder) if config.lr_folder else None
        _check_ids([file for files in self._files.values() for file in files], self.path)

    def images(self) -> Iterator[SourceImage]:
        """See ``Source.images``; decodes every file twice, to check all before giving the first."""
        chosen = [(split, file) for split in self._files for file in self._readable(split)]
        for split, file in chosen:
            yield self._load(split, file)

    def _readable(self, split: Split) -> list[Path]:
        limit = self.config.max_images.get(split, len(self._files[split]))
        chosen: list[Path] = []
        for file in self._files[split]:
            if len(chosen) == limit:
                break
            try:
                self._load(split, file)
            except UnreadableImage as error:
                if not self.config.skip_unreadable:
                    raise
                log.warning("left out: %s", error)
                continue
            chosen.append(file)
        return chosen

    def _load(self, split: str, file: Path) -> SourceImage:
        pixels = decode_rgb(self._bytes(file), file)
        identity, landmarks = None, None
        if self._faces is not None:
            face = self._faces.get(file.relative_to(self.path).as_posix())
            if face is None:
                raise SrledgerError(
                    "an image has no row in the landmarks file",
                    where=file,
                    mend=f"add its row to {self.config.landmarks_csv}",
                )
            check_inside(face, pixels, file, self.path / str(self.config.landmarks_csv))
            identity, landmarks = face.identity, face.landmarks
        lr = None
        if self._lr_files is not None:
            if file.stem not in self._lr_files:
                raise SrledgerError(
                    "an image has no LR file",
                    where=file,
                    expected=f"{file.stem}.* in {self.path / str(self.config.lr_folder)}",
                    mend="add the LR file, or leave lr_folder out",
                )
            lr_file = self._lr_files[file.stem]
            lr = decode_rgb(self._bytes(lr_file), lr_file)
        return SourceImage(_image_id(file, self.path), split, pixels, identity, landmarks, lr)

    def _bytes(self, file: Path) -> bytes:
        """A file's content, checked against SHA256SUMS when the config asks for it."""
        if not file.is_file():
            raise SrledgerError("there is no such file", where=file, mend="correct the data set's settings")
        data = file.read_bytes()
        if self._sums is not None:
            name = Path(os.path.relpath(file, self.root)).as_posix()
            if self._sums.get(name) != sha256_bytes(data):
                raise SrledgerError(
                    "a file is not the one that SHA256SUMS lists: the data changed",
                    where=file,
                    found=sha256_bytes(data),
                    expected=self._sums.get(name, "a line for this file"),
                    mend=f"cd {self.root} && sha256sum -c SHA256SUMS",
                )
        return data

    def _list(self, split: str, subfolder: str) -> list[Path]:
        folder = self.path / subfolder
        if ".." in Path(subfolder).parts or Path(subfolder).is_absolute():
            raise SrledgerError(
                "a split leads out of its data set",
                found=f"splits.{split}: {subfolder}",
                expected=f"a folder below {self.path}",
            )
        others = {other: self.path / name for other, name in self.config.splits.items() if other != split}
        shared = [other for other, place in others.items() if place.resolve() == folder.resolve()]
        if shared:
            raise SrledgerError(
                "two splits share their files",
                where=folder,
                found=f"{split} and {shared[0]}",
                expected="a subfolder of its own for each split",
                mend="move the files apart and edit splits",
            )
        files = _image_files(folder)
        if not files:
            raise SrledgerError(
                f"no images for the {split} split",
                where=folder,
                expected="files named " + ", ".join(sorted(SUFFIXES)),
                mend=f"put images there, or edit splits.{split}",
            )
        return files


def _locate(config: Config) -> tuple[Path, Path]:
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


def _read_sums(root: Path, expected_sha256: str) -> Mapping[str, str]:
    """SHA256SUMS as a mapping of relative path to hash; its own hash must be the expected one."""
    file = root / "SHA256SUMS"
    if not file.is_file():
        raise SrledgerError("there is no SHA256SUMS file", where=file, mend="make it, or set sha256sums_sha256: null")
    found = sha256_file(file)
    if found != expected_sha256:
        raise SrledgerError(
            "the data changed: SHA256SUMS is not the one this run was set up for",
            where=file,
            found=found,
            expected=expected_sha256,
            mend="restore the data, or set sha256sums_sha256 to the new hash and run everything again",
        )
    lines = file.read_text(encoding="utf-8").splitlines()
    return {
        name.removeprefix("./"): digest
        for digest, name in (re.split(r" [ *]", line, maxsplit=1) for line in lines if line)
    }


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SrledgerError("there is no such folder", where=folder, mend="correct the data set's splits or lr_folder")
    found = (file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return sorted(file for file in found if file.suffix.lower() in SUFFIXES)


def _files_by_stem(folder: Path) -> dict[str, Path]:
    files = _image_files(folder)
    _check_ids(files, folder)
    return {file.stem: file for file in files}


def _image_id(file: Path, path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", file.relative_to(path).with_suffix("").as_posix())


def _check_ids(files: list[Path], path: Path) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        other = seen.setdefault(_image_id(file, path), file)
        if other != file:
            raise SrledgerError(
                "two images would have one name",
                where=file,
                found=other,
                expected=f"one file for '{_image_id(file, path)}'",
                mend="rename or remove one of them",
            )
