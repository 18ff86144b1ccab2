"""``http``: a public set, downloaded and checked once into the cache, then read as the source ``folder`` reads it.

Either ``entry: div2k``, a name of ``catalogue.yaml``, or ``files`` with the address and sha256 of each. A file that a
person has put into ``$SRLEDGER_DOWNLOADS`` is taken first, so that a set without a direct address can be used as well.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from srledger.data import Source, SourceImage
from srledger.data._catalogue import Entry, RemoteFile, entry_of
from srledger.data._fetched import demand_apart, make_tree
from srledger.data.folder import Config as FolderConfig
from srledger.data.folder import Folder
from srledger.errors import SrledgerError, nearest_name
from srledger.fetching.addresses import check_address
from srledger.plugins import PluginConfig

OWN_WORDS = {"root_env", "licence", "redistributable"}  # of the folder source: said here, or by the catalogue


class Config(PluginConfig):
    """Which set.

    Attributes:
        entry: a name of the catalogue; or ``files``, then ``licence`` must be stated.
        folder: how the unpacked tree is read: the words of the source ``folder`` (``path`` relative to the tree).
            Beside an ``entry`` they are laid over the entry's own.
        accept_licence: the licence of the entry has been read and is accepted.
        centre_square: take the central square of each image, its landmarks with it; null: as the entry says.
        max_bytes: of one download, and of what one archive unpacks to.
        allow_http: take unencrypted addresses too (the sha256 is checked all the same).
    """

    entry: str | None = None
    files: tuple[RemoteFile, ...] = ()
    folder: dict[str, Any] = Field(default_factory=dict)
    licence: str | None = None
    redistributable: bool = False
    accept_licence: bool = False
    centre_square: bool | None = None
    max_bytes: PositiveInt = 16 << 30
    allow_http: bool = False

    @model_validator(mode="after")
    def _is_one_whole_set(self) -> Self:
        try:
            entry = self.resolved()
            demand_apart(entry.files)
            for file in entry.files:
                if file.url:
                    check_address(file.url, self.allow_http)
        except SrledgerError as error:
            facts = [f"{fact}: {error.facts[fact]}" for fact in ("where", "nearest") if fact in error.facts]
            raise ValueError(error.problem + (f" ({', '.join(facts)})" if facts else "")) from None
        if entry.unavailable is None:
            self.folder_config(Path("/"))
        return self

    def resolved(self) -> Entry:
        """The catalogue's entry, or one made from ``files``."""
        if (self.entry is None) == (not self.files):
            raise ValueError("give either entry (a name of the catalogue) or files")
        if self.entry is not None:
            if self.licence is not None:
                raise ValueError("the catalogue states the licence of its entries")
            return entry_of(self.entry)
        if self.licence is None:
            raise ValueError("give the licence of the files")
        if not all(file.sha256 for file in self.files):
            raise ValueError("give the sha256 of every file: what can't be checked is not used")
        known = [file.model_copy(update={"source": "params.yaml"}) for file in self.files]
        return Entry(
            title="files", homepage=None, licence=self.licence, consent=False, redistributable=self.redistributable,
            files=tuple(known), folder={}, note="",
        )  # fmt: skip

    def folder_config(self, tree: Path) -> FolderConfig:
        """The settings of the source ``folder`` for the unpacked tree. Raises ValueError for a wrong word."""
        entry = self.resolved()
        allowed = sorted(set(FolderConfig.model_fields) - OWN_WORDS)
        for word in self.folder:
            if word not in allowed:
                nearest = nearest_name(word, allowed) or ", ".join(allowed)
                raise ValueError(f"folder: unknown key '{word}' (nearest: {nearest})")
        words = {**entry.folder, **self.folder}
        path = Path(str(words.get("path", ".")))
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("folder.path must lie below the unpacked tree")
        own = {"root_env": None, "licence": entry.licence, "redistributable": entry.redistributable}
        values = {**words, **own, "path": str(tree / path)}
        try:
            return FolderConfig.model_validate_json(json.dumps(values))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, ("folder", *first["loc"])))
            raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


class Http(Source):
    """The images of a downloaded set.

    Raises:
        SrledgerError: from the constructor for an entry that is unavailable or whose licence is not accepted, before
            a byte is fetched; from ``images()`` as ``downloads.fetch``, ``archives.extract`` and the source ``folder``,
            and for an unpacked set that somebody has edited since.
    """

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.entry = config.resolved()
        self.licence = self.entry.licence
        self.redistributable = self.entry.redistributable
        if self.entry.unavailable:
            raise SrledgerError(
                f"'{config.entry}' can't be downloaded by its name", where=self.entry.homepage,
                found=self.entry.unavailable,
                mend="source: folder, config: { path: /path/to/it, root_env: null, splits: { test: HR }, "
                f'lr_folder: LR, licence: "{self.entry.licence}" }}',
            )  # fmt: skip
        if self.entry.consent and not config.accept_licence:
            raise SrledgerError(
                f"the licence of '{config.entry}' has to be accepted first", where=self.entry.homepage,
                found=self.entry.licence, expected="accept_licence: true",
                mend=f"read it at {self.entry.homepage}, then set accept_licence: true in this data set's config",
            )  # fmt: skip

    def images(self) -> Iterator[SourceImage]:
        """See ``Source.images``; the first call downloads and unpacks, later ones check that nothing changed."""
        config = self.config
        tree = make_tree(
            self.entry.files, self.entry.arrangement, self.entry.homepage, config.max_bytes, config.allow_http
        )
        chosen = self.entry.centre_square if config.centre_square is None else config.centre_square
        for image in Folder(config.folder_config(tree)).images():
            yield centre_square(image) if chosen else image


def centre_square(image: SourceImage) -> SourceImage:
    """The central square of an image, its landmarks moved with it. An odd pixel is left out below or at the right.

    Raises:
        SrledgerError: a landmark lies outside the square, or the image brings an LR image of its own.
    """
    height, width = image.pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    landmarks = None if image.landmarks is None else image.landmarks - [left, top]
    outside = landmarks is not None and not ((landmarks >= -0.5) & (landmarks <= side - 0.5)).all()
    if outside or image.lr is not None:
        raise SrledgerError(
            "an image can't be cut to its central square", where=image.id,
            found="a landmark outside of it" if outside else "an LR image of its own",
            mend="set centre_square: false",
        )  # fmt: skip
    pixels = image.pixels[top : top + side, left : left + side].copy()
    return dataclasses.replace(image, pixels=pixels, landmarks=landmarks)
