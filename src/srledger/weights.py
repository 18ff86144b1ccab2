"""The weights catalogue: name -> file, where it comes from, its sha256 and licence; and how a name becomes a file.

A file is looked for in the folder named by ``SRLEDGER_WEIGHTS``, then ``$SRLEDGER_MIRROR/weights``, then the cache
(``$SRLEDGER_CACHE/weights``); only ``fetch`` goes to the network. No file is used before its sha256 has been checked.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator, model_validator

from srledger.errors import SrledgerError, unknown_name
from srledger.fetching.addresses import check_address
from srledger.io import sha256_file
from srledger.layout import cache_folder

CATALOGUE_FILE = Path(__file__).with_name("weights.yaml")
MAX_BYTES = 8 << 30  # larger than any network here
ATTEMPTS = 3  # a name that can't be had must not hold up the others for long

FullHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
HashPrefix = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,63}$")]


class Entry(BaseModel):
    """One file of the catalogue. Exactly one of ``sha256`` and ``sha256_prefix`` is given; ``needs`` names the entries
    without which it is of no use.

    ``sha256: unknown`` stands for a file that nobody here could check yet: it is not used before its hash is entered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    url: str | None
    sha256: FullHash | Literal["unknown"] | None = None
    sha256_prefix: HashPrefix | None = None
    licence: str
    size_bytes: int | None
    note: str
    needs: tuple[str, ...] = ()

    @field_validator("file")
    @classmethod
    def _stays_inside(cls, file: str) -> str:
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise ValueError("must be a path below a weights folder")
        return file

    @field_validator("url")
    @classmethod
    def _is_https(cls, url: str | None) -> str | None:
        if url is not None:
            try:
                check_address(url)
            except SrledgerError as error:
                raise ValueError(f"must be an https address: {error.problem}") from None
        return url

    @model_validator(mode="after")
    def _has_one_hash(self) -> Self:
        if (self.sha256 is None) == (self.sha256_prefix is None):
            raise ValueError("give sha256 or sha256_prefix, one of them")
        return self

    @property
    def expected_hash(self) -> str:
        """The hash, or the beginning of it, that the file must have."""
        return self.sha256 or self.sha256_prefix or ""


@dataclasses.dataclass(frozen=True)
class Resolved:
    """What became of a name: a checked file, or the reason why there is none (fit to stand in a report)."""

    path: Path | None
    reason: str = ""


@functools.cache
def catalogue(file: Path = CATALOGUE_FILE) -> Mapping[str, Entry]:
    """All entries of a catalogue file. Raises pydantic.ValidationError when an entry is not whole."""
    from ruamel.yaml import YAML

    entries = YAML(typ="safe", pure=True).load(file)
    return {name: Entry.model_validate(fields) for name, fields in entries.items()}


def of_unknown_hash(name: str) -> str:
    """The reason for a file that can't be checked: what is not checked is not used."""
    return f"the sha256 of weights '{name}' is not known (enter it in {CATALOGUE_FILE.name})"


def not_at_hand(name: str) -> str:
    """The reason that stands in a report: the same on every machine."""
    return f"weights '{name}' are not at hand (make weights)"


def search_folders() -> Iterator[Path]:
    """The folders that may hold weights, in the order of their say."""
    if own := os.environ.get("SRLEDGER_WEIGHTS"):
        yield Path(own)
    if mirror := os.environ.get("SRLEDGER_MIRROR"):
        yield Path(mirror) / "weights"
    yield cache_folder("weights")


def resolve(name: str, entries: Mapping[str, Entry] | None = None) -> Resolved:
    """The checked file of ``name``, without going to the network.

    Raises:
        SrledgerError: no such name, or a file of that name has another sha256 (it is never used).
    """
    entry = _entry(name, entries)
    if entry.sha256 == "unknown":
        return Resolved(None, of_unknown_hash(name))
    for folder in search_folders():
        for path in dict.fromkeys((folder / entry.file, folder / PurePosixPath(entry.file).name)):
            if path.is_file():
                _check(name, entry, path)
                return Resolved(path)
    return Resolved(None, not_at_hand(name))


def resolve_all(names: Iterable[str], entries: Mapping[str, Entry] | None = None) -> dict[str, Path]:
    """The files of those ``names`` that are at hand, as the plug-ins take them. Raises as ``resolve``."""
    found = {name: resolve(name, entries).path for name in names}
    return {name: path for name, path in found.items() if path is not None}


def fetch(
    names: Iterable[str], entries: Mapping[str, Entry] | None = None, timeout_s: float = 30
) -> dict[str, Resolved]:
    """Like ``resolve`` for each name, but what is missing is downloaded into the cache.

    A name that can't be had (no public address, no network) comes back with its reason, so one of them does not
    hold up the others. Raises SrledgerError for an unknown name and for a file with another sha256.
    """
    return {name: _fetch_one(name, entries, timeout_s) for name in names}


def _fetch_one(name: str, entries: Mapping[str, Entry] | None, timeout_s: float) -> Resolved:
    entry = _entry(name, entries)
    at_hand = resolve(name, entries)
    if at_hand.path is not None or entry.sha256 == "unknown":
        return at_hand
    if entry.url is None:
        return Resolved(
            None, f"weights '{name}' have no public address: put {entry.file} into the folder SRLEDGER_WEIGHTS"
        )

    from srledger.fetching import downloads

    target = cache_folder("weights") / entry.file
    try:
        downloads.fetch(
            entry.url, target, entry.expected_hash, entry.size_bytes, MAX_BYTES, timeout_s=timeout_s, attempts=ATTEMPTS
        )
    except downloads.Unreachable as error:
        return Resolved(None, f"weights '{name}' could not be downloaded ({error.kind})")
    return Resolved(target)


def _entry(name: str, entries: Mapping[str, Entry] | None) -> Entry:
    entries = catalogue() if entries is None else entries
    if name not in entries:
        raise unknown_name("weights", name, entries, where=CATALOGUE_FILE.name)
    return entries[name]


@functools.lru_cache(maxsize=256)
def _hash_once(path: Path, size_bytes: int, changed_ns: int) -> str:
    """The sha256 of a file as it was at a moment: a file that changes is hashed again."""
    return sha256_file(path)


def file_hash(path: Path) -> str:
    """Hex sha256 of a weights file, computed once in a process as long as the file stays the same."""
    stat = path.stat()
    return _hash_once(path, stat.st_size, stat.st_mtime_ns)


def _check(name: str, entry: Entry, path: Path) -> None:
    found = file_hash(path)
    if not found.startswith(entry.expected_hash):
        raise SrledgerError(
            f"weights '{name}' are not the file they should be", where=path, found=f"sha256 {found}",
            expected=f"sha256 {entry.expected_hash}" + ("" if entry.sha256 else "..."),
            mend=f"rm {path} && make weights",
        )  # fmt: skip
