"""Contact sheets: every tile in its place, labels inside their tile, the same bytes for the same pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srledger.add_dataset.contact_sheet import GAP_PX, LABEL_PX, Tile, contact_sheet, write_contact_sheet

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def flat(height_px: int, width_px: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height_px, width_px, 3), colour, np.uint8)


def test_tiles_stand_in_rows_and_keep_their_shape() -> None:
    tiles = [
        Tile(flat(300, 150, COLOURS[0]), "tall"),
        Tile(flat(10, 20, COLOURS[1]), "small"),
        Tile(flat(64, 64, COLOURS[2]), ""),
    ]
    sheet = np.array(contact_sheet(tiles, columns=2, tile_px=64))
    step_y = 64 + LABEL_PX + GAP_PX
    assert sheet.shape == (2 * step_y + GAP_PX, 2 * (64 + GAP_PX) + GAP_PX, 3)
    found = {}
    for colour in COLOURS:
        rows, columns = np.nonzero((sheet == colour).all(axis=2))
        found[colour] = (rows.min(), rows.max() + 1 - rows.min(), columns.min(), columns.max() + 1 - columns.min())
    assert found[COLOURS[0]] == (GAP_PX, 64, GAP_PX + 16, 32)
    assert found[COLOURS[1]] == (GAP_PX + 17, 30, 64 + 2 * GAP_PX + 2, 60)  # enlarged three times, not smoothed
    assert found[COLOURS[2]] == (GAP_PX + step_y, 64, GAP_PX, 64)


def test_a_long_label_stays_below_its_tile() -> None:
    pixels = flat(64, 64, (255, 255, 255))
    sheet = np.array(contact_sheet([Tile(pixels, "train/" + "long name " * 20 + "\n2"), Tile(pixels, "")], tile_px=64))
    dark = np.nonzero((sheet < 128).all(axis=2))
    assert dark[0].min() >= GAP_PX + 64 and dark[1].max() < GAP_PX + 64 + GAP_PX and len(dark[0]) > 50


def test_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    tiles = [Tile(flat(20, 30, colour), "a") for colour in COLOURS]
    first = write_contact_sheet(tmp_path / "deep" / "a.png", tiles)
    assert first.read_bytes() == write_contact_sheet(tmp_path / "b.png", tiles).read_bytes()
    np.testing.assert_array_equal(np.array(Image.open(first)), np.array(contact_sheet(tiles)))


def test_no_tiles_are_an_error() -> None:
    with pytest.raises(ValueError, match="needs a tile"):
        contact_sheet([])
