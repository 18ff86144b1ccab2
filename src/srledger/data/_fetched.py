"""From files on the web, or downloaded by a person, to one checked tree of images in the cache."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from srledger.data._arrangements import ARRANGEMENTS
from srledger.data._catalogue import Entry, RemoteFile, entry_of
from srledger.errors import SrledgerError
from srledger.fetching.archives import extract
from srledger.fetching.downloads import fetch
from srledger.io import sha256_file, sha256_json
from srledger.layout import cache_folder, fresh_folder

State = Literal["at hand", "can be downloaded", "needs consent", "unavailable"]


def status_of(name: str, entries: Mapping[str, Entry] | None = None, accept_licence: bool = False) -> tuple[State, str]:
    """What can be done with a catalogue entry here, and a reason that names no machine. No file is hashed for it.

    Raises:
        SrledgerError: no such entry.
    """
    entry = entry_of(name, entries)
    if entry.unavailable:
        return "unavailable", entry.unavailable
    if entry.consent and not accept_licence:
        return "needs consent", f"{entry.licence} (accept_licence: true)"
    if tree_folder(entry.files, entry.arrangement).is_dir():
        return "at hand", "downloaded and unpacked"
    missing = [file for file in entry.files if not any(path.is_file() for path in places(file))]
    if not missing:
        return "at hand", "downloaded"
    by_hand = [file.file_name for file in missing if file.url is None]
    if by_hand:
        return "unavailable", f"to be downloaded by a person from {entry.homepage}: {', '.join(by_hand)}"
    sizes = [file.size_bytes for file in missing]
    size = "" if None in sizes else f", {sum(filter(None, sizes)) / 2**20:.1f} MiB"
    return "can be downloaded", f"{len(missing)} file{'s' * (len(missing) > 1)}{size}"


def downloads_folders() -> Iterator[Path]:
    """Where files lie that a person downloaded: ``$SRLEDGER_DOWNLOADS``, then the cache."""
    if own := os.environ.get("SRLEDGER_DOWNLOADS"):
        yield Path(own)
    yield cache_folder("downloads")


def places(file: RemoteFile) -> Iterator[Path]:
    """Where a file may lie already: by its name where a person puts it, by its hash where ``obtain`` does."""
    for folder in downloads_folders():
        yield folder / file.file_name
    yield cache_folder("downloads") / str(file.sha256) / file.file_name


def obtain(file: RemoteFile, homepage: str | None, max_bytes: int, allow_http: bool) -> Path:
    """The checked file: one that lies here already, else downloaded. Raises SrledgerError."""
    assert file.sha256 is not None
    for path in places(file):
        if path.is_file():
            found = sha256_file(path)
            if found != file.sha256:
                raise SrledgerError(
                    "a downloaded file is not the one it should be", where=path, found=f"sha256 {found}",
                    expected=f"sha256 {file.sha256}", mend="download it again, or move it elsewhere",
                )  # fmt: skip
            return path
    if file.url is None:
        raise SrledgerError(
            "a file has to be downloaded by a person", where=homepage or file.file_name,
            found=f"no {file.file_name} in " + " or ".join(map(str, downloads_folders())),
            expected=f"{file.file_name} with sha256 {file.sha256}",
            mend=f"download it from {homepage or 'its page'} and put it into {next(downloads_folders())}",
        )  # fmt: skip
    *_, target = places(file)
    return fetch(file.url, target, file.sha256, file.size_bytes, max_bytes, allow_http=allow_http)


def tree_folder(files: Sequence[RemoteFile], arrangement: str | None) -> Path:
    """Where the unpacked tree of these files stands, or will stand: named by what decides its content."""
    content = [[file.sha256, file.file_name, file.archive, file.place, file.members] for file in files]
    return cache_folder("datasets") / sha256_json([content, arrangement])


def make_tree(
    files: Sequence[RemoteFile], arrangement: str | None, homepage: str | None, max_bytes: int, allow_http: bool
) -> Path:
    """The folder with all files unpacked and arranged; it is there whole or not at all. Raises SrledgerError."""
    from filelock import FileLock

    tree = tree_folder(files, arrangement)
    if tree.is_dir():
        return tree
    paths = [obtain(file, homepage, max_bytes, allow_http) for file in files]
    tree.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(tree.with_suffix(".lock")):
        if tree.is_dir():
            return tree
        with fresh_folder(tree) as part:
            for file, path in zip(files, paths, strict=True):
                _place(file, path, part / file.place, max_bytes)
            if arrangement is not None:
                ARRANGEMENTS[arrangement](part)
    return tree


def _place(file: RemoteFile, path: Path, folder: Path, max_bytes: int) -> None:
    if file.archive == "none":
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / file.file_name)
    else:
        wanted = functools.partial(re.fullmatch, file.members)
        extract(path, folder, kind=file.archive, wanted=lambda name: wanted(name) is not None, max_bytes=max_bytes)
