"""From files on the web, or downloaded by a person, to one checked tree of images in the cache.

A set has a folder there, which appears as a whole: ``tree``, and the sha256 of every file of it in ``files.json``.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from srledger.data._arrangements import ARRANGEMENTS
from srledger.data._catalogue import Entry, RemoteFile, entry_of
from srledger.data._content import digest_files, relative_name, sha256_plain
from srledger.data._naming import shown
from srledger.data._refusals import Refusal, Refused, refusals_error
from srledger.errors import SrledgerError
from srledger.fetching.archives import extract, name_key
from srledger.fetching.downloads import fetch
from srledger.io import read_json, sha256_file, sha256_json, write_json
from srledger.layout import cache_folder, fresh_folder
from srledger.progress import Progress

TREE, DIGESTS = "tree", "files.json"
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
    if (set_folder(entry.files, entry.arrangement) / DIGESTS).is_file():
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


def demand_apart(files: Sequence[RemoteFile]) -> None:
    """Raise SrledgerError where a file would overwrite another, or lie in the folder that an archive fills."""
    paths = [str(PurePosixPath(file.place, file.file_name if file.archive == "none" else "")) for file in files]
    claims = sorted((PurePosixPath(name_key(path)).parts, path) for path in paths)
    for parts, path in claims:
        if not parts:
            raise SrledgerError(f"'{path}' is the whole set: give every archive a folder of its own (into)")
        if any(part.startswith(".") for part in parts):
            raise SrledgerError(f"'{path}': names with a dot before them are kept for folders that are being filled")
    # Sorted by its parts, a path stands right before one that lies inside of it.
    for (outer, path), (inner, other) in itertools.pairwise(claims):
        if inner[: len(outer)] == outer:
            raise SrledgerError(
                f"'{path}' and '{other}' would take one place: give every archive a folder of its own (into) and every "
                "single file a name of its own (name)"
            )


def set_folder(files: Sequence[RemoteFile], arrangement: str | None) -> Path:
    """Where the set of these files stands, or will stand: named by what decides its content."""
    content = [[file.sha256, file.file_name, file.archive, file.place, file.members] for file in files]
    return cache_folder("datasets") / sha256_json([content, arrangement])


def make_tree(
    files: Sequence[RemoteFile], arrangement: str | None, homepage: str | None, max_bytes: int, allow_http: bool
) -> Path:
    """The folder with all files unpacked and arranged; one that is there already is checked, file by file.

    Raises:
        SrledgerError: as ``obtain`` and ``archives.extract``; for two files with one place; for a tree that is not as
            it was made, with the names of what changed.
    """
    from filelock import FileLock

    home = set_folder(files, arrangement)
    if (home / DIGESTS).is_file():
        return _checked_tree(home)
    paths = [obtain(file, homepage, max_bytes, allow_http) for file in files]
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.with_suffix(".lock")):
        if (home / DIGESTS).is_file():
            return _checked_tree(home)
        with fresh_folder(home) as part:
            tree = part / TREE
            for file, path in zip(files, paths, strict=True):
                _place(file, path, tree / file.place, max_bytes)
            if arrangement is not None:
                ARRANGEMENTS[arrangement](tree)
            write_json(part / DIGESTS, digest_files(tree, _files_of(tree)))
    return home / TREE


def _place(file: RemoteFile, path: Path, folder: Path, max_bytes: int) -> None:
    target = folder / file.file_name if file.archive == "none" else folder
    if target.exists():
        raise SrledgerError(
            "a file of a set would overwrite another", where=f"{file.place}/{file.file_name}",
            mend="give every archive a folder of its own (into) and every single file a name of its own (name)",
        )  # fmt: skip
    if file.archive == "none":
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    else:
        wanted = functools.partial(re.fullmatch, file.members)
        extract(path, folder, kind=file.archive, wanted=lambda name: wanted(name) is not None, max_bytes=max_bytes)


def _files_of(tree: Path) -> list[Path]:
    """All entries but real folders, sorted: a link to a folder is none that was unpacked."""
    return sorted(path for path in tree.rglob("*") if path.is_symlink() or not path.is_dir())


def _checked_tree(home: Path) -> Path:
    """The tree of a set, every file as it was when the tree was made. Raises SrledgerError."""
    tree, mend = home / TREE, f"rm -r {home} and run again: the set is unpacked anew"
    try:
        expected = dict(read_json(home / DIGESTS))
    except (TypeError, ValueError):
        raise SrledgerError("the hashes of an unpacked set can't be read", where=home / DIGESTS, mend=mend) from None
    reasons = dict.fromkeys(expected, "it is gone")
    files = _files_of(tree)
    with Progress("check an unpacked set", len(files)) as progress:
        for done, file in enumerate(files, start=1):
            name = relative_name(tree, file)
            reason = _what_changed(file, expected.get(name))
            if reason is None:
                del reasons[name]
            else:
                reasons[name] = reason
            progress.advance(done)
    if reasons:
        raise refusals_error([Refusal(shown(name), reasons[name]) for name in sorted(reasons)], tree, mend)
    return tree


def _what_changed(file: Path, expected_sha256: str | None) -> str | None:
    """What is wrong with a file of a tree, or None."""
    if expected_sha256 is None:
        return "it was not there when the set was unpacked"
    try:
        found = sha256_plain(file)
    except Refused as refused:
        return str(refused)
    return None if found == expected_sha256 else "it changed since the set was unpacked"
