"""Content of local files, and the hashes that say whether a set is still the one that a run was set up for."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from srledger.data._naming import shown
from srledger.data._refusals import Refused
from srledger.errors import SrledgerError
from srledger.io import sha256_bytes, sha256_file

KINDS = {
    stat.S_IFDIR: "a folder, where a file is expected (identity_folders: true enters one level)",
    stat.S_IFIFO: "a fifo, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}


def stat_mode(file: Path) -> int:
    """``st_mode`` of what a name leads to, over symbolic links. Raises Refused."""
    try:
        return file.stat().st_mode
    except FileNotFoundError as error:
        raise Refused("a symbolic link that leads nowhere" if file.is_symlink() else "no such file") from error
    except OSError as error:  # a loop of links, no permission for a folder on the way
        raise Refused(os_reason(error)) from error


def demand_plain(mode: int) -> None:
    """Raise Refused unless ``st_mode`` is a plain file's: to open a fifo may block, to open a device may act."""
    if not stat.S_ISREG(mode):
        raise Refused(KINDS.get(stat.S_IFMT(mode), "not a plain file"))


def os_reason(error: OSError) -> str:
    """Why the system did not give a file: ``it can't be read: permission denied``."""
    return f"it can't be read: {(error.strerror or str(error)).lower()}"


class Contents:
    """Reads the files of one set and remembers their hashes; may be used by several threads.

    Args:
        root: where ``SHA256SUMS`` stands.
        sums: its hashes by name relative to ``root``, or None where files are not checked.
        max_bytes: a larger file is refused before it is read.
        keep_digests: take the hash of every file, also without ``sums``.
    """

    def __init__(self, root: Path, sums: Mapping[str, str] | None, max_bytes: int, *, keep_digests: bool) -> None:
        self.digests: dict[Path, str] = {}
        self._root = root
        self._sums = sums
        self._max_bytes = max_bytes
        self._keep_digests = keep_digests or sums is not None

    def read(self, file: Path) -> bytes:
        """The content of a plain file. Raises Refused when it is none, too large, or not the one of the sums."""
        with _opened(file) as opened:
            size_bytes = os.fstat(opened.fileno()).st_size
            if size_bytes > self._max_bytes:
                raise Refused(f"{size_bytes} bytes, more than a picture of max_megapixels needs ({self._max_bytes})")
            data = opened.read()
        if self._keep_digests:
            digest = self.digests[file] = sha256_bytes(data)
            expected = None if self._sums is None else self._sums.get(relative_name(self._root, file), "no line for it")
            if expected not in (None, digest):
                raise Refused(f"the data changed: sha256 {digest}, SHA256SUMS has {expected}", must_stop=True)
        return data


@contextmanager
def _opened(file: Path) -> Iterator[BufferedReader]:
    demand_plain(stat_mode(file))
    try:
        with file.open("rb") as opened:
            yield opened
    except OSError as error:
        raise Refused(os_reason(error)) from error


def sha256_plain(file: Path) -> str:
    """sha256 of a plain file of any size. Raises Refused."""
    with _opened(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def digest_files(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """sha256 of each file by its name relative to ``folder``. Raises SrledgerError for one that can't be read."""
    digests: dict[str, str] = {}
    for file in files:
        try:
            digests[relative_name(folder, file)] = sha256_plain(file)
        except Refused as refused:
            raise SrledgerError(f"a file can't be used: {refused}", where=shown(file)) from refused
    return digests


def files_sha256(digests: Mapping[str, str]) -> str:
    """One hash for a set of files: what ``sha256sum FILE ... | LC_ALL=C sort | sha256sum`` prints in its folder.

    It is the hash of the sorted lines ``<sha256>  <name>``; a line whose name has a line break or backslash is
    escaped as ``sha256sum`` does.

    Args:
        digests: sha256 by relative name, as ``digest_files`` gives them.
    """
    lines = []
    for name, digest in digests.items():
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        mark = "\\" if escaped != name else ""
        lines.append(os.fsencode(f"{mark}{digest}  {escaped}\n"))
    return sha256_bytes(b"".join(sorted(lines)))


def relative_name(folder: Path, file: Path) -> str:
    """The name of ``file`` relative to ``folder``, with ``..`` where it lies outside."""
    return Path(os.path.relpath(file, folder)).as_posix()


def read_sums(root: Path, expected_sha256: str) -> Mapping[str, str]:
    """``SHA256SUMS`` of ``root`` as a mapping of relative name to hash; its own hash must be the expected one."""
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
