"""Unpacking archives that were not made here: only plain files, only below one folder, only so many bytes.

One member that is not what it should be condemns the whole archive: nothing of it is kept. What is checked is what
the archive says of itself and, while it is unpacked, what it really holds. Archives inside archives stay closed.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

from srledger.errors import SrledgerError
from srledger.layout import fresh_folder

Kind = Literal["zip", "tar", "none"]
READ_BYTES = 1 << 20
FEW_BYTES = 1 << 20  # so little is no bomb, however well it was compressed
BROKEN: tuple[type[Exception], ...] = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,  # zipfile: a compression that it does not know
    ValueError,  # tarfile and zipfile: a header that contradicts itself
)
ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
DECOMPRESSORS: dict[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": gzip.open,  # type: ignore[dict-item]
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


def kind_of(name: str) -> Kind:
    """The kind of an archive by its file name; ``none`` is a single file."""
    if re.search(r"\.(tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$", name, re.IGNORECASE):
        return "tar"
    return "zip" if name.lower().endswith(".zip") else "none"


def extract(
    archive: Path,
    folder: Path,
    *,
    wanted: Callable[[str], bool] = lambda name: True,
    max_files: int = 1_000_000,
    max_bytes: int = 64 << 30,
    max_ratio: float = 200,
    kind: Kind | None = None,
) -> list[str]:
    """Unpack ``archive`` (zip; tar, plain or compressed by gzip, bzip2 or xz; or a single file) into a new ``folder``.

    Args:
        wanted: whether a member, by its name with ``/`` between its parts, is to be unpacked.
        max_files: more members, wanted or not, are refused.
        max_bytes: more bytes in all members together are refused.
        max_ratio: more bytes than so many times the archive's own size are refused.
        kind: None: by the file's name.

    Returns:
        The names of what was unpacked, sorted. Files have mode 0644, folders 0755; times and owners are not taken over.

    Raises:
        SrledgerError: the archive is torn, unsafe or too large, or holds nothing wanted. ``folder`` is as it was.
    """
    kind = kind_of(archive.name) if kind is None else kind
    open_members = {"zip": _zip_members, "tar": _tar_members, "none": _single_member}[kind]
    with fresh_folder(folder) as part:
        part.chmod(0o755)
        room = _Room(archive, max_files, max_bytes, max_ratio)
        try:
            done = []
            for name, size_bytes, content in open_members(archive, room, part, wanted):
                if _unpack(part, name, content, room) != size_bytes:
                    raise _unsafe(archive, "an archive says two things of one member", name)
                done.append(name)
        except BROKEN as error:
            raise _unsafe(archive, "an archive can't be read", f"{type(error).__name__}: {error}") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SrledgerError("the disk is full", where=folder, mend="make room and try again") from error
            if error.errno is not None:  # the machine's, not the archive's
                raise
            raise _unsafe(archive, "an archive can't be read", str(error)) from error
        if not done:
            raise _unsafe(archive, "an archive holds nothing of what is wanted", "no such member")
    return sorted(done)


def _unsafe(archive: Path, problem: str, found: str, expected: str | None = None) -> SrledgerError:
    return SrledgerError(problem, where=archive, found=found, expected=expected)


class _Room:
    """What an archive may still take: members, names, bytes."""

    def __init__(self, archive: Path, max_files: int, max_bytes: int, max_ratio: float) -> None:
        self.archive = archive
        self.max_files = max_files
        self.max_bytes = min(max_bytes, max(FEW_BYTES, int(max_ratio * archive.stat().st_size)))
        self.members = 0
        self._unpacked_bytes = 0
        self._files: dict[str, str] = {}  # by ``name_key``
        self._folders: dict[str, str] = {}

    def enter(self, name: str, *, is_folder: bool) -> None:
        """Admit a member by its name. Raises SrledgerError."""
        self.members += 1
        if self.members > self.max_files:
            raise _unsafe(self.archive, "an archive has too many members", f"more than {self.max_files}")
        check_name(name, self.archive)
        parts = name.rstrip("/").split("/")
        for k in range(1, len(parts) + is_folder):
            self._claim("/".join(parts[:k]), self._folders, self._files)
        if not is_folder:
            if name_key(name) in self._files:
                raise self._twice(name, self._files[name_key(name)])
            self._claim(name, self._files, self._folders)

    def _claim(self, name: str, own: dict[str, str], others: dict[str, str]) -> None:
        key = name_key(name)
        if key in others or own.setdefault(key, name) != name:
            raise self._twice(name, others.get(key, own.get(key, "")))

    def _twice(self, name: str, other: str) -> SrledgerError:
        found = f"{name!r} and {other!r}"
        return _unsafe(self.archive, "two members of an archive would have one name", found)

    def take(self, size_bytes: int) -> None:
        """Count unpacked bytes. Raises SrledgerError when there are too many."""
        self._unpacked_bytes += size_bytes
        self.check(self._unpacked_bytes)

    def check(self, total_bytes: int) -> None:
        """Raise SrledgerError when so many bytes in all are too many."""
        if total_bytes > self.max_bytes:
            found = f"{total_bytes} bytes or more"
            raise _unsafe(self.archive, "an archive unpacks to too much", found, f"{self.max_bytes} bytes at most")


def name_key(name: str) -> str:
    """``name`` as the least careful file system compares it: in either case, however its accents are coded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check_name(name: str, archive: Path) -> None:
    """Raise SrledgerError unless ``name`` is a plain path below the folder that it is unpacked into, on any system."""
    parts = name.removesuffix("/").split("/")
    bad = (
        not name.isprintable()
        or "\\" in name
        or re.match(r"[A-Za-z]:", name)
        or any(part in ("", ".", "..") or len(part.encode(errors="surrogatepass")) > 255 for part in parts)
    )
    if bad:
        raise _unsafe(
            archive, "a member of an archive has an unsafe name", ascii(name[:200]), "a plain path inside the archive"
        )


Members = Iterator[tuple[str, int, IO[bytes]]]  # name, size in bytes, content


def _single_member(archive: Path, room: _Room, part: Path, wanted: Callable[[str], bool]) -> Members:
    room.enter(archive.name, is_folder=False)
    with archive.open("rb") as file:
        yield archive.name, archive.stat().st_size, file


def _zip_members(archive: Path, room: _Room, part: Path, wanted: Callable[[str], bool]) -> Members:
    with archive.open("rb") as file, zipfile.ZipFile(file) as opened:
        infos = opened.infolist()
        for info in infos:
            room.enter(info.orig_filename, is_folder=info.is_dir())
            _check_zip_member(archive, info)
        room.check(sum(info.file_size for info in infos))
        _check_local_headers(archive, file, infos)
        for info in infos:
            if not info.is_dir() and wanted(info.filename):
                with opened.open(info) as member:
                    yield info.filename, info.file_size, member


def _check_zip_member(archive: Path, info: zipfile.ZipInfo) -> None:
    mode = info.external_attr >> 16
    if info.flag_bits & 0x1:
        raise _unsafe(archive, "a member of an archive is encrypted", info.filename)
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR) or stat.S_ISDIR(mode) > info.is_dir():
        raise _unsafe(archive, "a member of an archive is no plain file", info.filename)
    if info.compress_type not in ZIP_METHODS:
        raise _unsafe(archive, "a member of an archive is packed in an unknown way", info.filename)


def _check_local_headers(archive: Path, file: IO[bytes], infos: list[zipfile.ZipInfo]) -> None:
    """What stands before each member must agree with the directory at the end, and members must not overlap."""
    free_from = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        file.seek(info.header_offset)
        header = file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise _unsafe(archive, "an archive is torn", f"no header before {info.filename}")
        flags, method = struct.unpack("<2H", header[6:10])
        packed, unpacked, name_bytes, extra_bytes = struct.unpack("<2I2H", header[18:30])
        sizes_follow, is_zip64 = flags & 0x8, 0xFFFFFFFF in (packed, unpacked)
        agree = (packed, unpacked) == (info.compress_size, info.file_size) or is_zip64
        if sizes_follow and packed == unpacked == 0:
            agree = True
        if not agree or method != info.compress_type:
            raise _unsafe(archive, "an archive says two things of one member", info.filename)
        if info.header_offset < free_from:
            raise _unsafe(archive, "two members of an archive share their bytes", info.filename)
        free_from = info.header_offset + 30 + name_bytes + extra_bytes + info.compress_size


class _Counted(io.RawIOBase):
    """A stream that counts what is read from it, member or not: padding and headers can be bombs too."""

    def __init__(self, stream: IO[bytes], room: _Room) -> None:
        self._stream, self._room, self._read_bytes = stream, room, 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._read_bytes += len(data)
        overhead = FEW_BYTES + 4096 * self._room.members
        self._room.check(self._read_bytes - overhead)
        return data


def _tar_members(archive: Path, room: _Room, part: Path, wanted: Callable[[str], bool]) -> Members:
    with contextlib.ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(archive.open("rb"))
        beginning = stream.read(6)
        stream.seek(0)
        for magic, decompressed in DECOMPRESSORS.items():
            if beginning.startswith(magic):
                stream = stack.enter_context(decompressed(stream))
        counted = _Counted(stream, room)
        opened = stack.enter_context(tarfile.open(fileobj=counted, mode="r|"))
        for member in opened:
            name = member.name.removeprefix("./")  # as `tar czf x.tgz .` names them
            if member.isdir() and name in (".", ""):
                continue
            room.enter(name, is_folder=member.isdir())
            if not (member.isdir() or member.isreg()) or member.issparse():
                raise _unsafe(archive, "a member of an archive is no plain file", name)
            tarfile.data_filter(member, str(part))
            if member.isreg() and wanted(name):
                content = opened.extractfile(member)
                assert content is not None
                yield name, member.size, content
        while counted.read(READ_BYTES):
            pass  # to the end, where a compressed stream has its checksum


def _unpack(part: Path, name: str, content: IO[bytes], room: _Room) -> int:
    """Write one member; how many bytes it really had."""
    target = part / name
    for folder in reversed(target.relative_to(part).parents[:-1]):
        (part / folder).mkdir(mode=0o755, exist_ok=True)
        (part / folder).chmod(0o755)
    with target.open("xb") as file:
        while data := content.read(READ_BYTES):
            room.take(len(data))
            file.write(data)
        size_bytes = file.tell()
    target.chmod(0o644)
    return size_bytes
