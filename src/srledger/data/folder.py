"""``folder``: images in a local folder, with landmarks, identities and LR files where it has them.

Every entry of a split's folder is read, left out on purpose (``ignore``), or refused by name; symbolic links to files
are followed, wherever they lead. ``_decode`` states how files become RGB uint8 (landmarks refer to the image after its
EXIF rotation).
"""

from __future__ import annotations

import functools
import logging
import shlex
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from srledger.data import Source, SourceImage
from srledger.data._content import Contents, files_sha256, read_sums, relative_name, sha256_plain
from srledger.data._decode import UnreadableImage, decode_rgb, silence_pillow
from srledger.data._folder_files import FolderFiles, locate
from srledger.data._landmark_table import Face, check_inside, read_faces
from srledger.data._naming import image_id, shown
from srledger.data._read_ahead import in_order
from srledger.data._refusals import Refusal, Refused, refusals_error
from srledger.data._splits import Split
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig

log = logging.getLogger(__name__)


class Config(PluginConfig):
    """Where the images are.

    Attributes:
        path: folder of the set, relative to the folder that ``root_env`` names, or absolute when ``root_env`` is null.
        splits: subfolder of ``path`` for each split (``.`` is ``path`` itself).
        split_shares: instead of ``splits``: the images lie in ``path`` itself and are drawn into splits with these
            shares (sum 1), by their identity where it is known, else each by its file name.
        split_seed: another draw of ``split_shares``.
        identity_folders: images stand one level deeper, in subfolders whose names are the identities.
        subfolders: images stand one level deeper, in subfolders that say nothing of who is shown.
        box_px: the part of every image that is taken: left, top, right and bottom edge in its pixels. Faces of one
            alignment come to another's places by it.
        landmarks_csv: file below ``path`` with columns ``file`` (relative to ``path``), ``left_eye_x`` ...
            ``mouth_right_y`` in pixels and, if known, ``identity``. Every image needs a row.
        lr_folder: folder relative to ``path`` with an LR file for every image: it has the name of the image in its
            split's folder, but for the suffix. LR files without an image are not read.
        ignore: glob patterns of names (of files and folders) that are left out on purpose.
        max_megapixels: a larger picture is refused by its header, before a pixel is decoded.
        sha256sums_sha256: hash of the ``SHA256SUMS`` file at the root; every file that is read is then checked
            against its line there.
        files_sha256: hash over all files of the set, whatever ``max_images`` says (see ``_content.files_sha256``).
        max_images: the first n of a split, in sorted order.
        skip_unreadable: leave refused files out (with a warning for each) where an error would stop the run.
        redistributable: may pictures made from it stand in a committed report?
    """

    path: str
    root_env: str | None = "SRLEDGER_MIRROR"
    splits: dict[Split, str] | None = Field(default=None, min_length=1)
    split_shares: dict[Split, PositiveFloat] | None = Field(default=None, min_length=1)
    split_seed: int = 0
    identity_folders: bool = False
    # Unset, these two are left out of records: sets of before they were there keep their hashes.
    subfolders: bool = Field(default=False, exclude_if=lambda value: not value)
    box_px: tuple[int, int, int, int] | None = Field(default=None, exclude_if=lambda value: value is None)
    landmarks_csv: str | None = None
    lr_folder: str | None = None
    ignore: tuple[str, ...] = (".*", "Thumbs.db", "desktop.ini")
    max_megapixels: PositiveFloat = Field(default=64, allow_inf_nan=False)
    sha256sums_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    files_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    licence: str
    redistributable: bool = False
    max_images: dict[Split, PositiveInt] = Field(default_factory=dict)
    skip_unreadable: bool = False

    @model_validator(mode="after")
    def _one_kind_of_split(self) -> Self:
        if (self.splits is None) == (self.split_shares is None):
            raise ValueError("give either splits (a folder for each) or split_shares (a part for each)")
        if self.split_shares is not None and not abs(sum(self.split_shares.values()) - 1) < 1e-6:
            raise ValueError(f"split_shares have the sum {sum(self.split_shares.values()):g}, not 1")
        return self

    @model_validator(mode="after")
    def _what_belongs_together(self) -> Self:
        if self.subfolders and self.identity_folders:
            raise ValueError("give either identity_folders or subfolders: is a subfolder a person or not?")
        if self.box_px is not None:
            left, top, right, bottom = self.box_px
            if not (0 <= left < right and 0 <= top < bottom):
                raise ValueError("box_px is [left, top, right, bottom], and holds pixels: 0 <= left < right, ...")
            if self.lr_folder is not None:
                raise ValueError("box_px can't be taken from LR files: they have pixels of their own")
        return self

    @property
    def max_file_bytes(self) -> int:
        """More than the largest picture can need: four uncompressed 16-bit channels, and 64 MiB beside them."""
        return int(self.max_megapixels * 8e6) + (64 << 20)


class Folder(Source):
    """Images named by their path below ``path``: ``train/00001.jpg`` is ``train_00001``, ``baby.png`` is ``baby``.

    Attributes:
        left_out: (name relative to ``path``, reason) of every refused file, sorted; filled when ``images()`` has run.
            Names are escaped as Python's ``repr`` escapes them.

    Raises:
        SrledgerError: from the constructor for what is wrong with folders and tables, from ``images()`` for what is
            wrong with files. Each names the files and how to mend it.
    """

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # A folder's licence is its owner's to state, so here these belong to the instance, not to the class.
        self.licence = config.licence
        self.redistributable = config.redistributable
        self.left_out: list[tuple[str, str]] = []
        self.root, self.path = locate(config)
        self._sums = read_sums(self.root, config.sha256sums_sha256) if config.sha256sums_sha256 else None
        self._faces = self._read_faces(self.path / config.landmarks_csv) if config.landmarks_csv else None
        self._files = FolderFiles(config, self.root, self.path, self._faces or {})

    def images(self) -> Iterator[SourceImage]:
        """See ``Source.images``. Files are checked as they come, each decoded once.

        When one has been refused no further image is given; the rest are still looked at, and an error at the end
        names all that was refused. So what was given counts only when the iteration has ended without an error.
        """
        silence_pillow()
        contents = self._contents()
        refusals = list(self._files.refusals)
        stopped = any(map(self._stops, refusals))
        empty: list[str] = []
        for split, files in self._files.images.items():
            wanted, given = self.config.max_images.get(split, len(files)), 0
            with closing(in_order(functools.partial(self._load, contents, split), files)) as loaded:
                for _, result in loaded:
                    if isinstance(result, Refusal):
                        refusals.append(result)
                        stopped = stopped or self._stops(result)
                        continue
                    if not stopped:
                        yield result
                    given += 1
                    if given == wanted:
                        break
            if not given:
                empty.append(split)
        self._conclude(sorted(refusals), empty)
        self._check_files(contents)

    def watched_files(self) -> list[Path]:
        """Every file of the set, and ``SHA256SUMS`` where it is used."""
        return [*self.files(), *([self.root / "SHA256SUMS"] if self._sums is not None else [])]

    def files(self) -> list[Path]:
        """Images, their LR files and the landmarks file, sorted: what ``files_sha256`` is taken over."""
        return self._files.all()

    @property
    def _home(self) -> Path:
        """The folder that a person knows the set by: benchmarks beside each other share ``path``."""
        splits = list((self.config.splits or {}).values())
        return self.path / splits[0] if len(splits) == 1 else self.path

    def _contents(self) -> Contents:
        keep = self.config.files_sha256 is not None
        return Contents(self.root, self._sums, self.config.max_file_bytes, keep_digests=keep)

    def _read_faces(self, table: Path) -> dict[str, Face]:
        try:
            return read_faces(self._contents().read(table), table, self.path)
        except Refused as refused:
            raise SrledgerError(
                f"the landmarks file can't be used: {refused}", where=shown(table), mend="correct landmarks_csv"
            ) from refused

    def _load(self, contents: Contents, split: Split, file: Path) -> SourceImage | Refusal:
        """One image, or why it is refused; runs in several threads."""
        name = file.relative_to(self.path)
        try:
            pixels = self._pixels(contents, file)
            identity, landmarks = self._files.folder_identity(file), None
            if self._faces is not None:
                table = str(self.config.landmarks_csv)
                face = self._faces.get(name.as_posix())
                if face is None:
                    raise Refused(f"no row in the landmarks file {shown(table)}")
                check_inside(face, pixels, table)
                if None not in (identity, face.identity) and identity != face.identity:
                    raise Refused(f"{shown(table)}:{face.row} says another identity than its folder")
                identity, landmarks = identity or face.identity, face.landmarks
            pixels, landmarks = self._boxed(pixels, landmarks)
            lr = None if self._files.lr_of is None else self._lr_pixels(contents, split, file)
            return SourceImage(image_id(name), split, pixels, identity, landmarks, lr)
        except Refused as refused:
            return Refusal(shown(name.as_posix()), str(refused), refused.must_stop)

    def _boxed(self, pixels: np.ndarray, landmarks: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """The part of an image that ``box_px`` takes, and its landmarks there, which may lie outside of it."""
        if self.config.box_px is None:
            return pixels, landmarks
        left, top, right, bottom = self.config.box_px
        height, width = pixels.shape[:2]
        if right > width or bottom > height:
            raise Refused(f"{width} x {height} px, which do not hold box_px {list(self.config.box_px)}")
        return pixels[top:bottom, left:right], None if landmarks is None else landmarks - [left, top]

    def _lr_pixels(self, contents: Contents, split: Split, file: Path) -> np.ndarray:
        lr_file = (self._files.lr_of or {}).get(file)
        if lr_file is None:
            raise Refused(f"no LR file, {shown(f'{self.config.lr_folder}/{self._files.lr_name(split, file)}')}.*")
        try:
            return self._pixels(contents, lr_file)
        except Refused as refused:
            lr_name = shown(relative_name(self.path, lr_file))
            raise Refused(f"its LR file {lr_name}: {refused}", must_stop=refused.must_stop) from refused

    def _pixels(self, contents: Contents, file: Path) -> np.ndarray:
        data = contents.read(file)
        try:
            return decode_rgb(data, file, self.config.max_megapixels)
        except UnreadableImage as error:
            raise Refused(error.problem) from error

    def _stops(self, refusal: Refusal) -> bool:
        return refusal.must_stop or not self.config.skip_unreadable

    def _conclude(self, refusals: list[Refusal], empty: list[str]) -> None:
        self.left_out = [(refusal.name, refusal.reason) for refusal in refusals]
        if any(map(self._stops, refusals)):
            mend = "replace or remove it, name it in `ignore`, or go on without it by skip_unreadable: true"
            if any(refusal.must_stop for refusal in refusals):
                mend = f"cd {self.root} && sha256sum -c SHA256SUMS"
            raise refusals_error(refusals, self.path, mend)
        for name, reason in self.left_out:
            log.warning("left out: %s: %s", name, reason)
        if empty:
            raise SrledgerError(
                f"no image of the {empty[0]} split can be used",
                where=shown(self.path),
                found=f"{len(refusals)} files left out",
                mend="replace the files that the warnings name",
            )

    def _check_files(self, contents: Contents) -> None:
        """Raise SrledgerError unless the set's files are those that ``files_sha256`` was taken over."""
        expected = self.config.files_sha256
        if expected is None:
            return
        digests: dict[str, str] = {}
        for file in self.files():
            with suppress(Refused):  # a file that nobody may read has no hash, so the set's differs
                digests[relative_name(self.path, file)] = contents.digests.get(file) or sha256_plain(file)
        found = files_sha256(digests)
        if found != expected:
            raise SrledgerError(
                "the set changed: its files are not those that this run was set up for",
                where=shown(self.path),
                found=found,
                expected=expected,
                mend="restore the files, or accept what they and the entry are now by "
                f"`srledger add-dataset {shlex.quote(shown(self._home))} --update` (the new value is {found})",
            )
