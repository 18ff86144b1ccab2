"""Archives made to harm: every one is refused whole, and the good ones come out as plain files."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from srledger.errors import SrledgerError
from srledger.fetching.archives import extract, kind_of

FILES = {"set/train/a.png": b"first", "set/train/b.png": b"second", "set/readme.txt": b"words"}
UNSAFE_NAMES = [
    "/etc/passwd", "../a", "a/../../b", "a/./b", "a//b", "..\\a", "a\\b", "C:/a", "c:a", "a\nb", "a\x1b[2Jb",
    "a\u202eb", "x" * 256,
]  # fmt: skip


def make_zip(path: Path, files: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of double names
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tar_of(members: list[tuple[str, bytes, dict[str, Any]]], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for name, data, fields in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(tar_of([(name, data, {}) for name, data in files.items()]))
    return path


MAKERS = {"set.zip": make_zip, "set.tar": make_tar}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive: Path, match: str, **options: Any) -> None:
    """Nothing of it may be left, beside or below."""
    before = set(archive.parent.rglob("*"))
    with pytest.raises(SrledgerError, match=match):
        extract(archive, archive.parent / "out", **options)
    assert set(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("pack", [None, gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_comes_out_whatever_packed_it(tmp_path: Path, pack: Any) -> None:
    path = make_tar(tmp_path / "set.tgz", FILES)
    if pack:
        path.write_bytes(pack(path.read_bytes()))
    assert extract(path, tmp_path / "out") == sorted(FILES) and tree(tmp_path / "out") == FILES


def test_a_zip_comes_out_and_only_what_is_wanted(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", FILES)
    assert extract(path, tmp_path / "all") == sorted(FILES) and tree(tmp_path / "all") == FILES
    some = extract(path, tmp_path / "some", wanted=lambda name: name.endswith("a.png"))
    assert some == ["set/train/a.png"] == list(tree(tmp_path / "some"))
    refused(path, "nothing", wanted=lambda name: False)


def test_a_single_file_is_an_archive_of_itself(tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_bytes(b"rows")
    assert extract(tmp_path / "table.txt", tmp_path / "out") == ["table.txt"]
    assert tree(tmp_path / "out") == {"table.txt": b"rows"}
    refused(tmp_path / "table.txt", "too much", max_bytes=3)


def test_names_tell_the_kind() -> None:
    assert [kind_of(name) for name in ("a.ZIP", "a.tar.gz", "a.tgz", "a.tar", "a.txt.xz", "a.png", "atar")] == [
        "zip", "tar", "tar", "tar", "none", "none", "none",
    ]  # fmt: skip


def test_modes_owners_and_times_are_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    path.write_bytes(tar_of([("a/b", b"x", {"mode": 0o6777, "uid": 12, "gid": 12, "mtime": 0})]))
    mask = os.umask(0o077)
    try:
        extract(path, tmp_path / "out")
    finally:
        os.umask(mask)
    modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in (tmp_path / "out").rglob("*")}
    assert modes == {"a": 0o755, "b": 0o644} and stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755
    assert (tmp_path / "out/a/b").stat().st_mtime > 1e9 and (
        tmp_path / "out/a/b"
    ).stat().st_uid == tmp_path.stat().st_uid


def test_a_folder_that_was_there_is_replaced_or_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_bytes(b"old")
    refused(make_zip(tmp_path / "bad.zip", {"good": b"", "../bad": b""}), "unsafe name")
    assert tree(tmp_path / "out") == {"old": b"old"}
    extract(make_zip(tmp_path / "good.zip", FILES), tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


def test_a_tar_of_the_folder_itself_is_usual(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    path.write_bytes(tar_of([(".", b"", {"type": tarfile.DIRTYPE}), ("./a/b", b"x", {})]))
    assert extract(path, tmp_path / "out") == ["a/b"]


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", UNSAFE_NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, maker: str, name: str) -> None:
    refused(MAKERS[maker](tmp_path / maker, {"good.png": b"good", name: b"bad"}), "unsafe name")


def test_a_name_that_a_reader_would_cut_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", {"good_name": b"x"})
    path.write_bytes(path.read_bytes().replace(b"good_name", b"good\0.exe"))
    refused(path, "unsafe name")


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    "names", [("a.png", "A.PNG"), ("é.png", "e\u0301.png"), ("a", "a/b"), ("a/b", "a"), ("A/b", "a/c"), ("ß", "SS")]
)
def test_names_that_would_meet_are_refused(tmp_path: Path, maker: str, names: tuple[str, str]) -> None:
    refused(MAKERS[maker](tmp_path / maker, dict.fromkeys(names, b"x")), "one name")


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.tar").write_bytes(tar_of([("a", b"1", {}), ("a", b"2", {})]))
    refused(tmp_path / "set.tar", "one name")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    refused(tmp_path / "set.zip", "one name")


@pytest.mark.parametrize(
    "fields",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.SYMTYPE, "linkname": "good.png"},
        {"type": tarfile.LNKTYPE, "linkname": "good.png"},
        {"type": tarfile.FIFOTYPE},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
        {"type": tarfile.BLKTYPE},
    ],
)
def test_what_is_no_plain_file_is_refused_in_a_tar(tmp_path: Path, fields: dict[str, Any]) -> None:
    (tmp_path / "set.tar").write_bytes(tar_of([("good.png", b"x", {}), ("bad", b"", fields)]))
    refused(tmp_path / "set.tar", "no plain file")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_what_is_no_plain_file_is_refused_in_a_zip(tmp_path: Path, mode: int) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        info = zipfile.ZipInfo("bad")
        info.external_attr = (mode | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "set.zip", "no plain file")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", {"a": b"secret"})
    data = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at] |= 1
    path.write_bytes(data)
    refused(path, "encrypted")


@pytest.mark.parametrize("where", ["local", "directory", "both"])
@pytest.mark.parametrize("said_bytes", [1, 5000])
def test_sizes_that_are_not_true_are_refused_in_a_zip(tmp_path: Path, where: str, said_bytes: int) -> None:
    path = make_zip(tmp_path / "set.zip", {"a": bytes(4000)})
    data = bytearray(path.read_bytes())
    if where != "directory":
        struct.pack_into("<I", data, data.index(b"PK\x03\x04") + 22, said_bytes)
    if where != "local":
        struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, said_bytes)
    path.write_bytes(data)
    refused(path, "two things|can't be read")


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", {"a": bytes(4000), "b": bytes(4000)})
    data = bytearray(path.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, second + 42, 0)  # b's header is now a's
    path.write_bytes(data)
    refused(path, "share their bytes")


@pytest.mark.parametrize(
    "options", [{}, {"max_ratio": 1e9, "max_bytes": 5_000_000}, {"wanted": lambda name: name == "small"}]
)
@pytest.mark.parametrize("maker", ["zip", "tar"])
def test_a_bomb_does_not_go_off(tmp_path: Path, maker: str, options: dict[str, Any]) -> None:
    files = {"small": b"x", "zeros": bytes(20_000_000)}
    path = make_zip(tmp_path / "set.zip", files) if maker == "zip" else make_tar(tmp_path / "set.tar", files)
    if maker == "tar":
        path.write_bytes(gzip.compress(path.read_bytes()))
    refused(path, "too much", **options)


def test_a_bomb_in_the_headers_or_the_padding_does_not_go_off(tmp_path: Path) -> None:
    comment = {"pax_headers": {"comment": "x" * 20_000_000}}
    path = tmp_path / "set.tgz"
    path.write_bytes(gzip.compress(tar_of([("a", b"x", comment)], format=tarfile.PAX_FORMAT)))
    refused(path, "too much")


def test_a_crowd_of_members_is_refused(tmp_path: Path) -> None:
    for maker, make in MAKERS.items():
        refused(make(tmp_path / maker, {str(k): b"" for k in range(11)}), "too many members", max_files=10)


def test_an_archive_in_an_archive_stays_closed(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"zeros": bytes(1000)}).read_bytes()
    extract(make_zip(tmp_path / "set.zip", {"inner.zip": inner}), tmp_path / "out")
    assert tree(tmp_path / "out") == {"inner.zip": inner}


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tgz", "set.tar.bz2", "set.tar.xz"])
@pytest.mark.parametrize("damage", ["cut", "byte", "noise", "empty"])
def test_a_damaged_archive_is_told_and_leaves_nothing(tmp_path: Path, name: str, damage: str) -> None:
    packers = {"set.tgz": gzip.compress, "set.tar.bz2": bz2.compress, "set.tar.xz": lzma.compress}
    path = tmp_path / name
    noise = bytes((k * k) % 251 for k in range(40_000))
    if name == "set.zip":
        make_zip(path, {"a": noise})
    else:
        path.write_bytes(packers.get(name, bytes)(make_tar(path, {"a": noise}).read_bytes()))
    data = path.read_bytes()
    middle = len(data) // 2
    damaged = {
        "cut": data[:middle],
        "byte": data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :],
        "noise": noise,
        "empty": b"",
    }[damage]
    path.write_bytes(damaged)
    if (name, damage) == ("set.tar", "byte"):
        extract(path, tmp_path / "out")  # a plain tar has no check of its content: the sha256 of the file is that
        return
    refused(path, "can't be read|nothing")
