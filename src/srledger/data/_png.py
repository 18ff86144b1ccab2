"""A PNG's own marks of being whole, which its decoder passes over: checksums, its end, and enough rows."""

from __future__ import annotations

import struct
import zlib

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
WINDOW_BYTES = 1 << 20


def check_png(data: bytes) -> None:
    """Raise ValueError or zlib.error unless every chunk is whole and the pixels fill the picture.

    Pixels are unpacked piece by piece and only counted. What stands behind the end is not looked at.
    """
    inflater = zlib.decompressobj()
    wanted_bytes, found_bytes, position = 0, 0, 8
    kind = b""
    while kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", data, position) if position + 8 <= len(data) else (0, b"")
        content = memoryview(data)[position + 8 : position + 8 + size]
        checksum = data[position + 8 + size : position + 12 + size]
        if len(checksum) < 4:
            raise ValueError("the file ends too early")
        if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
            raise ValueError(f"wrong checksum of chunk {kind!r}")
        if (kind == b"IHDR") != (position == 8):
            raise ValueError("the header does not come first, or comes twice")
        if kind == b"IHDR":
            wanted_bytes = _unpacked_bytes(content)
        packed = bytes(content) if kind == b"IDAT" else b""
        while packed and found_bytes < wanted_bytes and not inflater.eof:
            found_bytes += len(inflater.decompress(packed, WINDOW_BYTES))
            packed = inflater.unconsumed_tail
        position += 12 + size
    if found_bytes < wanted_bytes:
        found_bytes += len(inflater.flush())  # not before: it would unpack all that stands behind the last row
    if found_bytes < wanted_bytes:
        raise ValueError(f"pixels are missing, {found_bytes} of {wanted_bytes} bytes are there")


def _unpacked_bytes(header: memoryview) -> int:
    """Bytes of all rows with their filter bytes."""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    bits = CHANNELS[colour] * depth
    passes = ADAM7 if interlace else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    return sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in sizes if columns > 0)
