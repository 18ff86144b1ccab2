"""Small datasets of pictures that are drawn here, and their tasks, made by the very code of the stages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from srledger.data import folder as folder_source
from srledger.datasets import build_dataset
from srledger.degradations import bicubic
from srledger.degrade import degrade_task
from srledger.seeds import numpy_generator
from srledger.settings import Dataset, Task


def photo(name: str, width: int, height: int) -> np.ndarray:
    """A blurred random picture: no two look alike."""
    noise = numpy_generator("test", "photo", name).integers(0, 256, size=(24, 24, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def build_photos(tmp_path: Path, splits: dict[str, dict[str, np.ndarray]], *, redistributable: bool = True) -> Path:
    """A dataset of a folder of images without identities or landmarks; returns its raw folder."""
    for split, images in splits.items():
        for name, pixels in images.items():
            path = tmp_path / "files" / split / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    config = folder_source.Config.model_validate(
        {
            "path": str(tmp_path / "files"), "root_env": None, "splits": {split: split for split in splits},
            "licence": "CC0-1.0", "redistributable": redistributable,
        }
    )  # fmt: skip
    raw = tmp_path / "raw"
    build_dataset(Dataset("photos", "folder", config), raw)
    return raw


def build_task(dataset: str, raw: Path, folder: Path, hr_size_px: int | None = None) -> Path:
    """The packs of a bicubic x4 task."""
    task = Task(f"{dataset}_x4", Dataset(dataset, None, None), "bicubic", bicubic.Config(), 4, hr_size_px, ())
    degrade_task(task, raw, folder)
    return folder
