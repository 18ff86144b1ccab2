"""Names of files: as ids of images, as pairs of HR and LR, and as text that can't break a message."""

from __future__ import annotations

import os
import re
from pathlib import Path

from srledger.io import sha256_bytes

# What a suffix may be cut off of a name; whether a file is an image is told by its content alone.
SUFFIXES = {
    ".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip


def shown(name: object) -> str:
    """A name with line breaks, control characters and bytes that are no UTF-8 written as escapes, as ``repr`` does."""
    return repr(str(name))[1:-1]


def plain(name: str) -> str:
    """A name as valid Unicode: bytes that are no UTF-8 become ``\\xff``, everything else stays."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def without_suffix(name: Path) -> str:
    """A relative name without the suffix of an image: ``train/00001.jpg`` gives ``train/00001``, ``a.v2`` stays."""
    return (name.with_suffix("") if name.suffix.lower() in SUFFIXES else name).as_posix()


def image_id(name: Path) -> str:
    """The id of the file with this relative name: letters, digits, ``.``, ``_`` and ``-``.

    ``train/00001.jpg`` is ``train_00001``. Where another character had to be replaced, or the name does not begin
    with a letter or digit, a hash of the whole name follows: ``Ö ä.png`` and ``Ü ä.png`` stay apart.
    """
    stem = without_suffix(name).replace("/", "_")
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", stem)
    if safe == stem and re.match(r"[A-Za-z0-9]", safe):
        return safe
    mark = sha256_bytes(os.fsencode(name.as_posix()))[:8]
    return f"{safe.lstrip('._-') or 'image'}-{mark}"
