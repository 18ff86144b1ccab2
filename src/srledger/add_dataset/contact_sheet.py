"""A contact sheet: labelled thumbnails in rows, one PNG to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srledger.io import write_bytes

PAPER, INK, FRAME = "#ffffff", "#1f2328", "#eef0f2"
FONT_PX, LABEL_PX, GAP_PX = 12, 18, 8


class Tile(NamedTuple):
    """A picture (uint8 ``H x W x 3``) and the line below it."""

    pixels: np.ndarray
    label: str


def contact_sheet(tiles: Sequence[Tile], columns: int = 8, tile_px: int = 128) -> Image.Image:
    """All tiles, row by row. Pictures keep their shape; small ones are enlarged by whole factors, never smoothed.

    Raises:
        ValueError: no tiles.
    """
    if not tiles:
        raise ValueError("a contact sheet needs a tile")
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    step_x, step_y = tile_px + GAP_PX, tile_px + LABEL_PX + GAP_PX
    sheet = Image.new("RGB", (columns * step_x + GAP_PX, rows * step_y + GAP_PX), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    for k, tile in enumerate(tiles):
        x, y = GAP_PX + k % columns * step_x, GAP_PX + k // columns * step_y
        picture = _thumbnail(tile.pixels, tile_px)
        draw.rectangle((x, y, x + tile_px - 1, y + tile_px - 1), fill=FRAME)
        sheet.paste(picture, (x + (tile_px - picture.width) // 2, y + (tile_px - picture.height) // 2))
        draw.text((x, y + tile_px + 2), _shortened(tile.label, tile_px, font), fill=INK, font=font)
    return sheet


def write_contact_sheet(path: Path, tiles: Sequence[Tile], columns: int = 8, tile_px: int = 128) -> Path:
    """Write ``contact_sheet`` as PNG, whole or not at all; returns ``path``."""
    encoded = io.BytesIO()
    contact_sheet(tiles, columns, tile_px).save(encoded, format="PNG")
    write_bytes(path, encoded.getvalue())
    return path


def _thumbnail(pixels: np.ndarray, tile_px: int) -> Image.Image:
    picture = Image.fromarray(pixels)
    longest = max(picture.size)
    if longest > tile_px:
        picture.thumbnail((tile_px, tile_px), Image.Resampling.LANCZOS)
        return picture
    factor = tile_px // longest
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _shortened(label: str, width_px: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The label, without as much of its middle as does not fit."""
    label = " ".join(label.split())  # a line break would run into the next tile
    kept = len(label)
    shown = label
    while font.getlength(shown) > width_px and kept > 2:
        kept -= 1
        shown = f"{label[: kept // 2]}...{label[len(label) - (kept - kept // 2) :]}"
    return shown
