"""Image files to RGB uint8, read rightly or refused.

- what a file is, its content says; its suffix says nothing;
- EXIF rotation is applied;
- greyscale is repeated into three channels, a palette is looked up, CMYK is converted by Pillow's plain formula
  (a JPEG with Adobe's mark holds it inverted);
- colour profiles and gamma marks are left aside: values stay as they are stored;
- transparent pixels are laid over white, as a viewer would show them;
- of 16-bit values the high byte is kept, so that 8-bit data stored in 16 bits comes back unchanged;
- of an MPO (a JPEG with previews) the first picture is taken;
- refused: more than one frame, 32-bit and floating-point values (their range is not known), other depths and colour
  spaces, cut-off files, a PNG with a wrong checksum or missing rows. (A JPEG has neither checksum nor length: flipped
  bits in it, or an end mark put on a torn one, can't be seen.)
"""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from srledger.data._naming import shown
from srledger.data._png import check_png
from srledger.data._sniff import looks_like
from srledger.errors import SrledgerError

# Named one by one: others of Pillow's formats start programs (EPS) or are no pictures.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "I;16", "I;16L", "I;16B"}
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # TIFF tags
PNG_DEPTH_AT = 24  # where a PNG's header states its bits a channel

Image.init()  # registers them


def silence_pillow() -> None:
    """Keep Pillow's warnings and records off stderr: what they say is read or refused here.

    For the whole process, as ``warnings.catch_warnings`` is undone by other threads. Called on import, and by who is
    about to decode in threads, since somebody may have set other filters meanwhile.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


silence_pillow()
logging.getLogger("PIL").addHandler(logging.NullHandler())  # without one, Python prints what nobody listens to


class UnreadableImage(SrledgerError):
    """A file that is no image, or none that can be read rightly; ``problem`` is the reason."""


class Decoded(NamedTuple):
    """An image file that was read.

    Attributes:
        pixels: by the rules above, uint8 ``H x W x 3``.
        mode: Pillow's word for the colours that are stored.
        greatest: the high byte of the greatest stored value, where 16 bits a channel are; else None.
    """

    pixels: np.ndarray
    mode: str
    greatest: int | None


def decode_rgb(data: bytes, file: Path, max_megapixels: float = 64) -> np.ndarray:
    """The pixels of ``decode``."""
    return decode(data, file, max_megapixels).pixels


def decode(data: bytes, file: Path, max_megapixels: float = 64) -> Decoded:
    """An image file by the rules above. May be called from several threads.

    Args:
        data: the file's content.
        file: its name, for messages.
        max_megapixels: a larger picture is refused by its header, before a pixel is decoded.

    Raises:
        UnreadableImage: not an image, broken, too large, or of a kind that can't be read rightly.
    """
    try:
        return _decode(data, max_megapixels)
    except _Unreadable as error:
        raise UnreadableImage(
            str(error), where=shown(file), expected="a whole PNG, JPEG, ... file", mend="replace or remove the file"
        ) from error.__cause__


class _Unreadable(Exception):
    """Its text is the reason."""


def _decode(data: bytes, max_megapixels: float) -> Decoded:
    Image.MAX_IMAGE_PIXELS = None  # our limit holds at every size, Pillow's only from its own on
    if not data:
        raise _Unreadable("empty, 0 bytes")
    try:
        with _open(data, max_megapixels) as opened:
            opened.load()
            depth = _depth(opened, data)
            mode, greatest = opened.mode, _greatest(opened) if depth == 16 else None
            turned = opened.format == "JPEG" and opened.mode == "CMYK" and "adobe" not in opened.info
            white_is_zero = opened.format == "TIFF" and opened.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO  # type: ignore[attr-defined]
            ImageOps.exif_transpose(opened, in_place=True)
            image: Image.Image = opened
            if turned:  # Pillow inverts every CMYK JPEG; those without Adobe's mark are not inverted
                image = ImageChops.invert(image)
            if depth == 16 and image.mode.startswith("I;16"):
                values = np.asarray(image) >> 8
                image = Image.fromarray((255 - values if white_is_zero else values).astype(np.uint8))
            if image.has_transparency_data:
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
            return Decoded(np.array(image if image.mode == "RGB" else image.convert("RGB")), mode, greatest)
    except _Unreadable:
        raise
    except UnidentifiedImageError as error:
        raise _Unreadable(
            f"not an image that can be read: it looks like {looks_like(data)}, {len(data)} bytes"
        ) from error
    except Exception as error:  # broken bytes provoke errors of any type in a decoder
        reason = shown(str(error) or type(error).__name__)
        raise _Unreadable(f"broken or cut off: {reason} ({len(data)} bytes)") from error


def _open(data: bytes, max_megapixels: float) -> Image.Image:
    """The file's header, checked; no pixel is decoded yet."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    width_px, height_px = image.size
    megapixels = width_px * height_px / 1e6
    if megapixels > max_megapixels:
        raise _Unreadable(
            f"{width_px} x {height_px} px, {megapixels:.4g} megapixels, more than max_megapixels ({max_megapixels:g})"
        )
    if width_px * height_px == 0:
        raise _Unreadable(f"no pixels, {width_px} x {height_px} px")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise _Unreadable(f"has {image.n_frames} frames, where one picture is wanted")  # type: ignore[attr-defined]
    if image.format == "PNG":
        check_png(data)
    return image


def _depth(image: Image.Image, data: bytes) -> int:
    """Bits a channel of a loaded image. Raises _Unreadable for what Pillow would give wrong values for."""
    if image.mode in ("I", "F"):
        raise _Unreadable(
            f"values of unknown range (Pillow mode {image.mode}), where 8 or 16 bits a channel are wanted"
        )
    if image.mode not in MODES:
        raise _Unreadable(f"colours in {image.mode}, where grey, RGB or CMYK is wanted")
    depth = 16 if image.mode.startswith("I;16") else 8
    if image.format == "TIFF":
        depth = max(image.tag_v2.get(BITS_PER_SAMPLE, (1,)))  # type: ignore[attr-defined]
        if depth not in (1, 2, 4, 8, 16):
            raise _Unreadable(f"{depth} bits a channel, where 8 or 16 are wanted")
    if image.format == "PNG":
        depth = data[PNG_DEPTH_AT]
        if depth != 8 and image.mode in ("L", "RGB", "I;16") and "transparency" in image.info:
            # the key is given in the file's own depth, Pillow compares it with 8 bits
            raise _Unreadable(f"a transparent colour in {depth} bits a channel, where 8 are wanted")
    return depth


def _greatest(image: Image.Image) -> int:
    """The high byte of the greatest colour value of a loaded image with 16 bits a channel."""
    if image.mode.startswith("I;16"):
        return int(np.asarray(image).max()) >> 8
    colours = image.getbands()[: -1 if image.mode in ("LA", "RGBA") else None]
    return max(int(image.getchannel(name).getextrema()[1]) for name in colours)  # type: ignore[arg-type]
