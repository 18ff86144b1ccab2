"""What the first bytes of a file look like, for a message about a file that is no image."""

from __future__ import annotations

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "a PNG with a broken header",
    b"\xff\xd8\xff": "a JPEG with a broken header",
    b"GIF8": "a GIF with a broken header",
    b"BM": "a BMP with a broken header",
    b"II*\x00": "a TIFF with a broken header",
    b"MM\x00*": "a TIFF with a broken header",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"8BPS": "a Photoshop document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUMPY": "a NumPy array",
    b"\x7fELF": "a program",
    b"version https://git-lfs": "a Git LFS pointer whose content was not fetched",
}
TEXTS = {
    b"<!doctype html": "an HTML page, perhaps the error page of a download",
    b"<html": "an HTML page, perhaps the error page of a download",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML document",
}


def looks_like(data: bytes) -> str:
    """A noun for what ``data`` seems to be: ``an HTML page, ...``, ``text``, ``unknown data``."""
    for start, noun in SIGNATURES.items():
        if data.startswith(start):
            return noun
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a WebP with a broken header"
    head = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, noun in TEXTS.items():
        if head.startswith(start):
            return noun
    if not data.strip(b"\0"):
        return "zeros only"
    return "text" if _is_text(data[:512]) else "unknown data"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else the last character was cut
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\r\n\t\f\ufeff" for character in text)
