"""The dataset catalogue: name -> files, where their hashes were published, licence, and how the tree is read."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, NonNegativeInt, model_validator

from srledger.errors import SrledgerError, unknown_name
from srledger.fetching.archives import Kind, check_name
from srledger.plugins import PluginConfig

CATALOGUE_FILE = Path(__file__).with_name("catalogue.yaml")


class RemoteFile(PluginConfig):
    """A file of a set.

    Attributes:
        url: https address; null when a person has to download it.
        sha256: what it must have; null only in an entry that is unavailable.
        size_bytes: its exact size where known.
        archive: how it is unpacked; ``none``: it is used as it is.
        name: of the file; null: as in ``url``.
        into: folder of the tree that it goes into; null: an archive into its name without the ending, a file into
            the tree's top.
        members: regular expression; only members of the archive that match it as a whole are unpacked.
        source: where the sha256 was published.
    """

    url: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    size_bytes: NonNegativeInt | None = None
    archive: Kind = "none"
    name: str | None = None
    into: str | None = None
    members: str = ".*"
    source: str | None = None

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        if "/" in self.file_name:
            raise ValueError("a file's name is not a path")
        try:
            re.compile(self.members)
        except re.error as error:
            raise ValueError(f"members is no regular expression: {error}") from None
        for name in (self.file_name, self.place):
            try:
                check_name(name, Path()) if name != "." else None
            except SrledgerError:
                raise ValueError(f"{name!r} is not a plain name below the set's folder (give url or name)") from None
        return self

    @property
    def file_name(self) -> str:
        """Its name in a downloads folder."""
        return self.name or unquote(PurePosixPath(urlsplit(self.url or "").path).name)

    @property
    def place(self) -> str:
        """The folder of the tree that it goes into."""
        return self.into or ("." if self.archive == "none" else self.file_name.partition(".")[0])


class Entry(PluginConfig):
    """A set of the catalogue.

    Attributes:
        consent: its licence must be accepted before a byte is fetched.
        redistributable: may pictures made from it stand in a committed report?
        folder: settings of the source ``folder``; ``path`` is relative to the unpacked tree.
        arrangement: how the tree is put into splits (see ``_arrangements``); null: as it is.
        centre_square: take the central square of each image.
        unavailable: why it can't be had by its name.
    """

    title: str
    homepage: str | None
    licence: str
    consent: bool
    redistributable: bool
    files: tuple[RemoteFile, ...]
    folder: dict[str, Any]
    arrangement: Literal["celeba", "ffhq"] | None = None
    centre_square: bool = False
    unavailable: str | None = None
    note: str

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.unavailable is None and not self.files:
            raise ValueError("no files, and no word why")
        if self.unavailable is None and not all(file.sha256 and file.source for file in self.files):
            raise ValueError("a file without a published sha256 makes its set unavailable")
        return self


@functools.cache
def catalogue(file: Path = CATALOGUE_FILE) -> Mapping[str, Entry]:
    """All entries of a catalogue file. Raises pydantic.ValidationError when an entry is not whole."""
    from ruamel.yaml import YAML

    entries = YAML(typ="safe", pure=True).load(file)
    return {name: Entry.model_validate_json(json.dumps(fields)) for name, fields in entries.items()}


def entry_of(name: str, entries: Mapping[str, Entry] | None = None) -> Entry:
    """An entry by name. Raises SrledgerError with the nearest name."""
    entries = catalogue() if entries is None else entries
    if name not in entries:
        raise unknown_name("dataset entry", name, entries, where=CATALOGUE_FILE.name)
    return entries[name]
