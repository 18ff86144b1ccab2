"""Image files to RGB uint8.

- EXIF rotation is applied;
- greyscale is repeated into three channels, a palette is looked up, CMYK is converted by Pillow's plain formula;
- transparent pixels are laid over white, as a viewer would show them;
- of 16-bit values the high byte is kept, so that 8-bit data stored in 16 bits comes back unchanged;
- 32-bit integer and floating-point files are refused: their range is not known.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from srledger.errors import SrledgerError


class UnreadableImage(SrledgerError):
    """A file with the name of an image that can't be decoded."""


def decode_rgb(data: bytes, file: Path) -> np.ndarray:
    """The pixels of an image file by the rules above: uint8 ``H x W x 3``.

    Raises:
        UnreadableImage: not an image, cut off, or of a kind without a known range.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).split("<")[0].strip()  # Pillow puts the address of its buffer into the text
        raise UnreadableImage(
            "an image can't be read",
            where=file,
            found=f"{reason} ({len(data)} bytes)",
            expected="a whole PNG, JPEG, ... file",
            mend="replace or remove the file, or set skip_unreadable: true",
        ) from error
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnreadableImage(
            "an image has values of unknown range",
            where=file,
            found=f"Pillow mode {image.mode}",
            expected="8 or 16 bits a channel",
            mend="convert the file to 8 bits",
        )
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.array(image.convert("RGB"))
