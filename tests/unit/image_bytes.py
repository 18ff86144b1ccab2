"""Image files put together from bytes, for tests of what reads them."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Make = Callable[[Path], object]  # writes a file
NOISE = np.random.default_rng(5).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def data(content: bytes) -> Make:
    return lambda file: file.write_bytes(content)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def saved(pixels: Any, kind: str, mode: str | None = None, **options: Any) -> Make:
    """Encodes an array; ``mode`` says how its channels are meant."""
    array = np.asarray(pixels, np.uint8) if not isinstance(pixels, np.ndarray) else pixels
    image = Image.fromarray(array) if mode is None else Image.frombytes(mode, array.shape[1::-1], array.tobytes())
    return data(encoded(image, kind, **options))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"", interlaced: bool = False
) -> bytes:
    """A PNG put together by hand; ``rows`` holds each row behind its filter byte."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    image = chunk(b"IDAT", zlib.compress(rows)) if rows else b""
    return b"\x89PNG\r\n\x1a\n" + header + extra + image + chunk(b"IEND", b"")


def adam7(pixels: np.ndarray) -> bytes:
    """The rows of an interlaced RGB PNG, pass by pass."""
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = [pixels[y::rows, x::columns] for y, x, rows, columns in starts]
    return b"".join(b"\0" + row.tobytes() for part in passes if part.shape[1] for row in part)


def tiff(width: int, height: int, bits: int, photometric: int, strip: bytes, sample_format: int = 1) -> bytes:
    """A TIFF of one grey channel, put together by hand."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8 + 2 + 12 * 10 + 4)]
    tags += [(277, 1), (278, height), (279, len(strip)), (339, sample_format)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + strip


def replaced(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def broken_checksum(content: bytes, kind: bytes) -> bytes:
    """A PNG whose chunk of this kind has a wrong checksum."""
    at = content.index(kind)
    size = struct.unpack(">I", content[at - 4 : at])[0]
    return replaced(content, at + 4 + size, b"\0\0\0\0")


def animated(kind: str) -> bytes:
    first, *others = [Image.fromarray(np.full((8, 8, 3), 60 * k, np.uint8)) for k in range(3)]
    return encoded(first, kind, save_all=True, append_images=others)


def with_preview(pixels: np.ndarray) -> bytes:
    """An MPO of two pictures."""
    return encoded(Image.fromarray(pixels), "MPO", save_all=True, append_images=[Image.fromarray(NOISE)])


def without_adobe(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0] :]


NOISE_IMAGE = Image.fromarray(NOISE)
PNG, JPEG = encoded(NOISE_IMAGE, "PNG"), encoded(NOISE_IMAGE, "JPEG", quality=95)


def vast_jpeg() -> bytes:
    at = JPEG.index(b"\xff\xc0")
    return replaced(JPEG, at + 5, struct.pack(">HH", 20_000, 20_000))


def link(target: str) -> Make:
    return lambda file: file.symlink_to(target)


def link_outside(file: Path) -> None:
    elsewhere = file.parent.parent / "elsewhere.png"
    elsewhere.write_bytes(PNG)
    file.symlink_to(elsewhere)


def link_to_fifo(file: Path) -> None:
    os.mkfifo(file.parent.parent / "pipe")
    file.symlink_to("../pipe")


def hard_link(file: Path) -> None:
    (file.parent.parent / "first.png").write_bytes(PNG)
    file.hardlink_to(file.parent.parent / "first.png")


def listening(file: Path) -> None:
    here = Path.cwd()
    os.chdir(file.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(file.name)
    finally:
        os.chdir(here)


def sparse(file: Path) -> None:
    with file.open("wb") as opened:
        opened.write(PNG)
        opened.truncate(4 << 30)


def folder_with_image(file: Path) -> None:
    file.mkdir()
    (file / "inner.png").write_bytes(PNG)
