"""Hostile and odd files: how each is made, and what must come of it."""

from __future__ import annotations

import dataclasses
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import image_bytes as made
import numpy as np
from image_bytes import (
    JPEG,
    NOISE,
    NOISE_IMAGE,
    PNG,
    Make,
    animated,
    broken_checksum,
    chunk,
    data,
    encoded,
    png,
    replaced,
    saved,
    tiff,
)
from PIL import Image, ImageCms

Colour = tuple[int, int, int] | int  # an int is a grey
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


@dataclasses.dataclass(frozen=True)
class Case:
    """A file: what it is called, how it is made, and what must come of it.

    Attributes:
        pixels: the picture, for a file that is read.
        within: how far a value may be off.
        refused: words of the reason, for a file that is refused.
    """

    title: str
    name: str
    make: Make
    pixels: np.ndarray | None = None
    within: int = 0
    refused: str = ""


def row(title: str, name: str, make: Make, colours: Sequence[Colour], within: int = 0) -> Case:
    """A picture of one row with these colours."""
    values = [(colour,) * 3 if isinstance(colour, int) else colour for colour in colours]
    return Case(title, name, make, np.array([values], np.uint8), within)


def flat(title: str, name: str, make: Make, colour: Colour, within: int = 0) -> Case:
    """A square of 16 x 16 px in one colour."""
    return Case(title, name, make, np.full((16, 16, 3), colour, np.uint8), within)


def noise(title: str, name: str, make: Make) -> Case:
    return Case(title, name, make, NOISE)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def refused(title: str, name: str, make: Make, words: str) -> Case:
    return Case(title, name, make, refused=words)


FLAT = np.full((16, 16, 3), 100, np.uint8)
INK = np.tile(np.array([0, 255, 255, 0], np.uint8), (16, 16, 1))  # full magenta and yellow: red
NO_INK = Image.frombytes("CMYK", (16, 16), (255 - INK).tobytes())
DEEP = np.array([[0x1234, 0xFFFF, 0x00FF]], np.uint16)
PALETTE = chunk(b"PLTE", bytes([9, 8, 7, 0, 0, 0]))
CLEAR_BLACK = chunk(b"tRNS", bytes(6))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
GAMMA = chunk(b"gAMA", struct.pack(">I", 100_000))
QUARTERS = np.array([[RED, RED, GREEN], [BLUE, BLUE, WHITE]], np.uint8)
# What a viewer shows of the quarters, by EXIF orientation; 9 is none that the standard knows.
SHOWN = {
    1: QUARTERS,
    2: QUARTERS[:, ::-1],
    3: QUARTERS[::-1, ::-1],
    4: QUARTERS[::-1],
    5: QUARTERS.transpose(1, 0, 2),
    6: np.rot90(QUARTERS, -1),
    7: QUARTERS[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(QUARTERS),
    9: QUARTERS,
}

READ = [
    noise("a PNG", "a.png", data(PNG)),
    noise("a PNG named .jpg", "a.jpg", data(PNG)),
    noise("a PNG without a suffix", "a", data(PNG)),
    noise("a PNG named .txt", "a.txt", data(PNG)),
    noise("a suffix in capitals", "a.PnG", data(PNG)),
    noise("bytes behind a PNG", "a.png", data(PNG + b"<html>")),
    noise("an uncompressed PNG", "a.png", saved(NOISE, "PNG", compress_level=0)),
    noise("an interlaced PNG", "a.png", data(png(32, 24, 8, 2, made.adam7(NOISE), interlaced=True))),
    Case("a small one", "a.png", data(png(3, 2, 8, 2, made.adam7(QUARTERS), interlaced=True)), QUARTERS),
    row("pixels behind the last row", "a.png", data(png(2, 1, 8, 0, bytes([0, 5, 6]) + bytes(1 << 20))), [5, 6]),
    noise("a profile leaves values alone", "a.png", saved(NOISE, "PNG", icc_profile=PROFILE)),
    noise("a mark of gamma leaves values alone", "a.png", data(PNG[:33] + GAMMA + PNG[33:])),
    noise("a BMP", "a.bmp", saved(NOISE, "BMP")),
    noise("a lossless WebP", "a.webp", saved(NOISE, "WEBP", lossless=True)),
    noise("a TIFF", "a.tif", saved(NOISE, "TIFF")),
    noise("a compressed TIFF", "a.tif", saved(NOISE, "TIFF", compression="tiff_lzw")),
    noise("a lossless JPEG 2000", "a.jp2", saved(NOISE, "JPEG2000")),
    noise("a PPM", "a.ppm", saved(NOISE, "PPM")),
    noise("a link to a file outside", "a.png", made.link_outside),
    noise("a hard link", "a.png", made.hard_link),
    noise("a name of letters beyond ASCII", "Größe 你好.png", data(PNG)),
    noise("a name with a line break", "a\nb.png", data(PNG)),
    noise("a name that is no UTF-8", os.fsdecode(b"a\xff.png"), data(PNG)),
    noise("a name of 255 bytes", "a" * 251 + ".png", data(PNG)),
    noise("a name that begins with a dash", "-rf.png", data(PNG)),
    flat("a JPEG", "a.jpg", saved(FLAT, "JPEG"), 100),
    flat("a JPEG named .png", "a.png", saved(FLAT, "JPEG"), 100),
    flat("bytes behind a JPEG", "a.jpg", data(encoded(Image.fromarray(FLAT), "JPEG") + b"tail"), 100),
    flat("a progressive JPEG", "a.jpg", saved(FLAT, "JPEG", progressive=True), 100),
    flat("a grey JPEG", "a.jpg", saved(FLAT[..., 0], "JPEG"), 100),
    flat("a CMYK JPEG with Adobe's mark", "a.jpg", saved(INK, "JPEG", "CMYK", quality=95), RED, 2),
    flat("a CMYK JPEG without it", "a.jpg", data(made.without_adobe(encoded(NO_INK, "JPEG", quality=95))), RED, 2),
    flat("a CMYK TIFF", "a.tif", saved(INK, "TIFF", "CMYK"), RED),
    flat("an MPO gives its first picture", "a.jpg", data(made.with_preview(FLAT)), 100),
    flat("a GIF of one frame", "a.gif", saved(FLAT, "GIF"), 100),
    row("16-bit grey PNG", "a.png", saved(DEEP, "PNG"), [0x12, 255, 0]),
    row("16-bit grey TIFF", "a.tif", saved(DEEP, "TIFF"), [0x12, 255, 0]),
    row("16-bit grey TIFF, white is 0", "a.tif", data(tiff(2, 1, 16, 0, b"\0\0\xff\xff")), [WHITE, BLACK]),
    row("16-bit RGB PNG", "a.png", data(png(1, 1, 16, 2, bytes([0, 1, 99, 2, 99, 3, 99]))), [(1, 2, 3)]),
    row("16-bit RGBA PNG", "a.png", data(png(1, 1, 16, 6, bytes([0, 1, 9, 2, 9, 3, 9, 255, 255]))), [(1, 2, 3)]),
    row("8-bit grey TIFF, white is 0", "a.tif", data(tiff(2, 1, 8, 0, b"\x00\xf0")), [255, 15]),
    row("1-bit PNG", "a.png", data(png(2, 1, 1, 0, b"\0\x40")), [BLACK, WHITE]),
    row("1-bit TIFF", "a.tif", saved(np.array([[False, True]]), "TIFF"), [BLACK, WHITE]),
    row("2-bit PNG", "a.png", data(png(4, 1, 2, 0, b"\0\x1b")), [0, 85, 170, 255]),
    row("4-bit PNG", "a.png", data(png(2, 1, 4, 0, b"\0\x1f")), [17, 255]),
    row("grey with alpha", "a.png", saved([[[50, 255], [50, 0]]], "PNG"), [50, WHITE]),
    row("half transparent", "a.png", saved([[[0, 0, 0, 128]]], "PNG"), [127], 1),
    row("a WebP with alpha", "a.webp", saved([[[9, 9, 9, 255], [9, 9, 9, 0]]], "WEBP", lossless=True), [9, WHITE]),
    row("a palette", "a.png", data(png(2, 1, 8, 3, b"\0\0\1", PALETTE)), [(9, 8, 7), 0]),
    row("one alpha", "a.png", data(png(2, 1, 8, 3, b"\0\0\1", PALETTE + chunk(b"tRNS", b"\0"))), [WHITE, 0]),
    row("two", "a.png", data(png(2, 1, 8, 3, b"\0\0\1", PALETTE + chunk(b"tRNS", b"\0\x80"))), [WHITE, 127], 1),
    row("a clear colour", "a.png", data(png(2, 1, 8, 2, bytes(6) + b"\xff", CLEAR_BLACK)), [WHITE, BLUE]),
    row("a clear grey", "a.png", data(png(2, 1, 8, 0, b"\0\1\2", chunk(b"tRNS", b"\0\1"))), [WHITE, 2]),
    row("one pixel", "a.png", saved([[[1, 2, 3]]], "PNG"), [(1, 2, 3)]),
    row("one row", "a.png", saved(np.full((1, 5000, 3), 7, np.uint8), "PNG"), [7] * 5000),
    Case("one column", "a.png", saved(np.full((5000, 1, 3), 7, np.uint8), "PNG"), np.full((5000, 1, 3), 7, np.uint8)),
    *(Case(f"EXIF orientation {k}", "a.png", saved(QUARTERS, "PNG", exif=turned(k)), SHOWN[k]) for k in SHOWN),
    Case("EXIF in a WebP", "a.webp", saved(QUARTERS, "WEBP", lossless=True, exif=turned(6)), SHOWN[6]),
    Case("EXIF in a JPEG", "a.jpg", saved(FLAT[:8], "JPEG", exif=turned(8)), FLAT[:, :8]),
]

REFUSED = [
    refused("nothing", "x.png", data(b""), "empty, 0 bytes"),
    refused("text", "x.png", data(b"hello\n"), "looks like text, 6 bytes"),
    refused("text of one language", "x.png", data("größer ".encode() * 200), "looks like text"),
    refused("a note", "notes.txt", data(b"remember the milk\n"), "looks like text"),
    refused("an HTML page", "x.jpg", data(b"<!DOCTYPE html>\n<html><body>404</body>"), "looks like an HTML page"),
    refused("an HTML page behind a mark", "x.jpg", data(b"\xef\xbb\xbf \n<HTML>"), "looks like an HTML page"),
    refused("XML", "x.jpg", data(b'<?xml version="1.0"?><Error/>'), "looks like an XML document"),
    refused("SVG", "x.png", data(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), "looks like an SVG drawing"),
    refused("PDF", "x.png", data(b"%PDF-1.7\n%\xe2\xe3"), "looks like a PDF"),
    refused("ZIP", "x.png", data(b"PK\x03\x04" + bytes(30)), "looks like a ZIP archive"),
    refused("gzip", "x.png", data(b"\x1f\x8b\x08" + bytes(30)), "looks like a gzip archive"),
    refused("an array", "x.npy", data(b"\x93NUMPY\x01\0v\0"), "looks like a NumPy array"),
    refused("a PostScript picture", "x.eps", data(encoded(NOISE_IMAGE, "EPS")), "looks like a PostScript document"),
    refused("an icon", "x.ico", data(encoded(NOISE_IMAGE, "ICO")), "looks like unknown data"),
    refused(
        "a Git LFS pointer",
        "x.png",
        data(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        "Git LFS pointer",
    ),
    refused("zeros", "x.png", data(bytes(5000)), "looks like zeros only"),
    refused("noise", "x.png", data(NOISE.tobytes()), "looks like unknown data"),
    refused("a PNG's first bytes", "x.png", data(PNG[:8]), "a PNG with a broken header"),
    refused("a PNG's header", "x.png", data(PNG[:40]), "PNG"),
    refused("half a PNG", "x.png", data(PNG[: len(PNG) // 2]), "broken or cut off"),
    refused("a PNG without its end", "x.png", data(PNG[:-12]), "ends too early"),
    refused("a PNG with too few rows", "x.png", data(png(4, 400, 8, 0, bytes(50))), "pixels are missing, 50 of 2000"),
    refused(
        "an interlaced PNG with too few rows",
        "x.png",
        data(png(32, 24, 8, 2, made.adam7(NOISE)[:-97], interlaced=True)),
        "pixels are missing",
    ),
    refused("a PNG without pixels", "x.png", data(png(4, 4, 8, 0, b"")), "broken"),
    refused("a PNG of no width", "x.png", data(png(0, 4, 8, 0, bytes(4))), "a PNG with a broken header"),
    refused(
        "a PNG with a wrong checksum of pixels",
        "x.png",
        data(broken_checksum(PNG, b"IDAT")),
        "wrong checksum of chunk b'IDAT'",
    ),
    refused(
        "a PNG with a wrong checksum of its header",
        "x.png",
        data(broken_checksum(PNG, b"IHDR")),
        "a PNG with a broken header",
    ),
    refused("a PNG with a wrong checksum of its end", "x.png", data(broken_checksum(PNG, b"IEND")), "wrong checksum"),
    refused(
        "a PNG with one flipped bit",
        "x.png",
        data(replaced(PNG, 1000, bytes([PNG[1000] ^ 4]))),
        "broken or cut off",
    ),
    refused(
        "a PNG whose text unpacks to much",
        "x.png",
        data(png(1, 1, 8, 0, bytes(2), chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50 << 20))))),
        "broken",
    ),
    refused("half a JPEG", "x.jpg", data(JPEG[: len(JPEG) // 2]), "truncated"),
    refused("a JPEG that lacks 200 bytes", "x.jpg", data(JPEG[:-200]), "truncated"),
    refused("a JPEG that lacks 20 bytes", "x.jpg", data(JPEG[:-20]), "truncated"),
    refused("a JPEG's header", "x.jpg", data(JPEG[:200]), "broken or cut off"),
    refused(
        "a cut-off progressive JPEG",
        "x.jpg",
        data(encoded(NOISE_IMAGE, "JPEG", progressive=True)[:-100]),
        "truncated",
    ),
    refused("a cut-off GIF", "x.gif", data(encoded(NOISE_IMAGE, "GIF")[:-300]), "broken or cut off"),
    refused("a cut-off BMP", "x.bmp", data(encoded(NOISE_IMAGE, "BMP")[:-300]), "truncated"),
    refused("a cut-off WebP", "x.webp", data(encoded(NOISE_IMAGE, "WEBP", lossless=True)[:-300]), "broken"),
    refused("a cut-off TIFF", "x.tif", data(tiff(64, 64, 8, 1, bytes(64 * 60))), "truncated"),
    refused(
        "a cut-off compressed TIFF",
        "x.tif",
        data(encoded(NOISE_IMAGE, "TIFF", compression="tiff_lzw")[:900]),
        "broken",
    ),
    refused("an animated GIF", "x.gif", data(animated("GIF")), "has 3 frames"),
    refused("an animated PNG", "x.png", data(animated("PNG")), "has 3 frames"),
    refused("an animated WebP", "x.webp", data(animated("WEBP")), "has 3 frames"),
    refused("a TIFF of three pages", "x.tif", data(animated("TIFF")), "has 3 frames"),
    refused("a TIFF of real numbers", "x.tif", saved(np.ones((4, 4), np.float32), "TIFF"), "unknown range"),
    refused("a TIFF of 32-bit integers", "x.tif", saved(np.ones((4, 4), np.int32), "TIFF"), "unknown range"),
    refused("a TIFF of signed 16-bit integers", "x.tif", data(tiff(2, 1, 16, 1, bytes(4), 2)), "unknown range"),
    refused("a TIFF of 12 bits", "x.tif", data(tiff(2, 1, 12, 1, bytes(3))), "12 bits a channel"),
    refused("a TIFF in Lab", "x.tif", saved(NOISE, "TIFF", "LAB"), "colours in LAB"),
    refused(
        "a transparent colour of 16 bits",
        "x.png",
        data(png(1, 1, 16, 2, bytes(7), chunk(b"tRNS", bytes(6)))),
        "a transparent colour in 16 bits",
    ),
    refused(
        "a transparent grey of 2 bits",
        "x.png",
        data(png(4, 1, 2, 0, b"\0\x1b", chunk(b"tRNS", b"\0\1"))),
        "a transparent colour in 2 bits",
    ),
    refused("broken EXIF", "x.png", saved(NOISE, "PNG", exif=b"Exif\0\0no such thing"), "broken"),
    refused(
        "a vast PNG",
        "x.png",
        data(png(20_000, 20_000, 8, 2, bytes(9))),
        "400 megapixels, more than max_megapixels (64)",
    ),
    refused("a vast JPEG", "x.jpg", data(made.vast_jpeg()), "20000 x 20000 px"),
    refused(
        "a vast GIF",
        "x.gif",
        data(replaced(encoded(NOISE_IMAGE, "GIF"), 6, struct.pack("<HH", 20_000, 20_000))),
        "20000 x 20000 px",
    ),
    refused(
        "a vast BMP",
        "x.bmp",
        data(replaced(encoded(NOISE_IMAGE, "BMP"), 18, struct.pack("<ii", 20_000, 20_000))),
        "20000 x 20000 px",
    ),
    refused(
        "a vast WebP",
        "x.webp",
        data(replaced(encoded(NOISE_IMAGE, "WEBP", lossless=True), 21, b"\xff\xff\xff\x0f")),
        "16384 x 16384 px",
    ),
    refused("a vast TIFF", "x.tif", data(tiff(20_000, 20_000, 8, 1, bytes(9))), "20000 x 20000 px"),
    refused("a vast PPM", "x.ppm", data(b"P6 20000 20000 255\n"), "20000 x 20000 px"),
    refused("a file of 4 GiB", "x.png", made.sparse, "4294967296 bytes, more than a picture"),
    refused("a fifo", "x.png", os.mkfifo, "a fifo"),
    refused("a socket", "x.png", made.listening, "a socket"),
    refused("a folder named like an image", "x.png", made.folder_with_image, "a folder"),
    refused("an empty folder", "more", Path.mkdir, "a folder"),
    refused("a link to nothing", "x.png", made.link("nowhere.png"), "a symbolic link that leads nowhere"),
    refused("a link to itself", "x.png", made.link("x.png"), "too many levels of symbolic links"),
    refused("a link to a fifo", "x.png", made.link_to_fifo, "a fifo"),
    refused("a link to a device", "x.png", made.link(os.devnull), "a device"),
    refused("a link to a folder", "x.png", made.link(".."), "a folder"),
    refused("a name with a line break", "x\n\x1b[31mred.png", data(b"hello"), "looks like text"),
    refused("a name that turns the line around", "x\u202egnp.png", data(b"hello"), "looks like text"),
    refused("a name that is no UTF-8", os.fsdecode(b"x\xff.png"), data(b"hello"), "looks like text"),
]
