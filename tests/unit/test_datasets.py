"""From a source to packs: what must hold between images holds, and hostile local files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srledger.config import Dataset, Task
from srledger.datasets import build_dataset, open_pack, read_manifest
from srledger.degrade import degrade_task, fit_hr
from srledger.errors import SrledgerError
from srledger.io import read_json
from srledger.packs import Pack
from srledger.plugins import plugin_config


def folder_dataset(root: Path, **config: object) -> Dataset:
    values = {
        "path": str(root),
        "root_env": None,
        "splits": {"train": "train", "test": "test"},
        "licence": "mine",
        **config,
    }
    return Dataset("mine", "folder", plugin_config("data", "folder")(**values))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("test", 2)):
        (tmp_path / "photos" / split).mkdir(parents=True)
        for k in range(count):
            pixels = rng.integers(0, 256, (20, 26, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / split / f"{k}.png")
    return tmp_path / "photos"


def test_a_folder_becomes_packs_and_a_manifest(photos: Path, tmp_path: Path) -> None:
    record = build_dataset(folder_dataset(photos), tmp_path / "out")
    assert record["counts"] == {"train": 3, "val": 0, "test": 2} and not record["redistributable"]
    rows = list(read_manifest(tmp_path / "out"))
    assert [row.split for row in rows] == ["train"] * 3 + ["test"] * 2
    pack = open_pack(tmp_path / "out", "test")
    assert pack is not None
    stored = np.asarray(Image.open(photos / "test" / "0.png"))
    assert any(np.array_equal(image, stored) for image in pack)
    assert open_pack(tmp_path / "out", "test", lr=True) is None


def test_a_photo_is_cut_to_a_multiple_of_the_factor(photos: Path, tmp_path: Path) -> None:
    dataset = folder_dataset(photos)
    build_dataset(dataset, tmp_path / "raw")
    task = Task("t", dataset, "bicubic", plugin_config("degradations", "bicubic")(), 4, None, ())
    degrade_task(task, tmp_path / "raw", tmp_path / "packs")
    assert Pack(tmp_path / "packs" / "train_hr").shapes == [(20, 24, 3)] * 3
    assert Pack(tmp_path / "packs" / "train_lr").shapes == [(5, 6, 3)] * 3
    assert [image["split"] for image in read_json(tmp_path / "packs" / "images.json")].count("test") == 2


def test_landmarks_move_with_the_reduction(photos: Path) -> None:
    task = Task("t", folder_dataset(photos), "bicubic", plugin_config("degradations", "bicubic")(), 4, 16, ())
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[28:36, 12:20] = 255  # a mark whose centre is (15.5, 31.5)
    hr, landmarks = fit_hr(pixels, np.array([[15.5, 31.5]]), task, "face")
    y, x = np.indices((16, 16))
    mass = hr[..., 0].astype(float)
    centre = [(x * mass).sum() / mass.sum(), (y * mass).sum() / mass.sum()]
    assert landmarks is not None and np.allclose(landmarks[0], centre, atol=1e-3)


@pytest.mark.parametrize("bytes_", [b"this is text, not a picture", b"", b"\x89PNG\r\n\x1a\n and then nothing"])
def test_a_file_that_is_no_picture_is_named(photos: Path, tmp_path: Path, bytes_: bytes) -> None:
    (photos / "train" / "bad.png").write_bytes(bytes_)
    with pytest.raises(SrledgerError, match=r"bad\.png"):
        build_dataset(folder_dataset(photos), tmp_path / "out")


def test_an_image_smaller_than_its_task_is_refused(photos: Path, tmp_path: Path) -> None:
    dataset = folder_dataset(photos)
    build_dataset(dataset, tmp_path / "raw")
    task = Task("t", dataset, "bicubic", plugin_config("degradations", "bicubic")(), 4, 32, ())
    with pytest.raises(SrledgerError, match="does not fit its task") as caught:
        degrade_task(task, tmp_path / "raw", tmp_path / "packs")
    assert "26x20 px" in str(caught.value)
