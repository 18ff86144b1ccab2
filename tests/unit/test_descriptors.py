"""Descriptors: golden values on made pictures, and what the perceptual hash may and may not tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srledger.descriptors import describe, hamming, hashes_of, read_descriptors, thumbnail, write_descriptors
from srledger.gates.faces import FRONTAL, shape_residuals, tilt_products
from srledger.gates.leaks import LEAK_BITS


def _hash(pixels: np.ndarray) -> np.ndarray:
    return describe(pixels).phash.view(np.uint64)[None]


def _picture(seed: int, side_px: int = 96) -> np.ndarray:
    """A smooth random picture, as photographs are."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((side_px, side_px), Image.Resampling.BICUBIC))


def test_brightness_contrast_and_sharpness_of_a_checkerboard() -> None:
    board = np.indices((16, 16)).sum(0) % 2 * 200
    found = describe(np.repeat(board[..., None], 3, 2).astype(np.uint8))
    assert found.brightness == pytest.approx(100, abs=1e-3)
    assert found.contrast == pytest.approx(100, abs=1e-3)
    # the Laplacian of a checkerboard is +-4 x 200 inside and +-3 or 2 x 200 less at reflecting borders
    assert found.sharpness > 400_000
    flat = describe(np.full((16, 16, 3), 77, np.uint8))
    assert (flat.contrast, flat.sharpness) == (pytest.approx(0, abs=1e-4), pytest.approx(0, abs=1e-4))


@pytest.mark.parametrize("seed", range(5))
def test_the_hash_survives_size_and_brightness_and_tells_pictures_apart(seed: int) -> None:
    image = _picture(seed)
    smaller = np.asarray(Image.fromarray(image).resize((48, 48), Image.Resampling.LANCZOS))
    darker = (image * 0.7).astype(np.uint8)
    assert hamming(_hash(image), _hash(smaller))[0, 0] <= LEAK_BITS
    assert hamming(_hash(image), _hash(darker))[0, 0] <= LEAK_BITS
    assert hamming(_hash(image), _hash(_picture(seed + 100)))[0, 0] >= 2 * LEAK_BITS


def test_the_mirrored_hash_is_the_hash_of_the_mirror_image() -> None:
    image = _picture(7)
    mirror = describe(np.ascontiguousarray(image[:, ::-1])).phash.view(np.uint64)[None]
    assert hamming(describe(image).phash_mirrored.view(np.uint64)[None], mirror)[0, 0] <= 2


def test_hamming_counts_bits() -> None:
    first = np.array([[0, 0, 0, 0], [1, 0, 0, 3]], np.uint64)
    second = np.array([[0xFF, 0, 0, 1]], np.uint64)
    assert hamming(first, second).tolist() == [[9], [8]]


def test_descriptors_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = [describe(_picture(seed)) for seed in range(3)]
    write_descriptors(tmp_path / "d.parquet", ["a", "b", "c"], ["train", "train", "test"], found)
    table = read_descriptors(tmp_path / "d.parquet")
    assert table["id"].to_pylist() == ["a", "b", "c"]
    assert (hashes_of(table) == np.stack([one.phash.view(np.uint64) for one in found])).all()
    assert table["brightness"][1].as_py() == pytest.approx(found[1].brightness, rel=1e-6)


def test_a_thumbnail_is_the_mean_of_its_fields() -> None:
    luma = np.arange(64, dtype=np.float32).reshape(8, 8)
    assert thumbnail(luma, 2).tolist() == [[13.5, 17.5], [45.5, 49.5]]


def test_a_face_is_a_face_wherever_it_stands_and_however_it_leans() -> None:
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = FRONTAL @ turn.T * 17 + (300, -40)
    swapped = moved[[1, 0, 2, 3, 4]]
    assert shape_residuals(np.stack([FRONTAL, moved]))[:2] == pytest.approx([0, 0], abs=1e-12)
    assert shape_residuals(swapped[None])[0] > 0.3
    assert np.isinf(shape_residuals(np.zeros((1, 5, 2))))[0]
    assert (
        tilt_products(moved[None])[0]
        > 0
        > tilt_products(np.stack([moved * [1, 1]]) * [[[1, -1]] * 2 + [[1, 1]] * 3])[0]
    )
