"""Folders of images for tests."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from srledger.data._landmark_table import COORDINATES
from srledger.data.folder import Config, Folder

RGB = np.random.default_rng(3).integers(0, 256, (12, 16, 3), dtype=np.uint8)
POINTS = [4.0, 4, 11, 4, 8, 7, 5, 9, 10, 9]


def save(file: Path, pixels: np.ndarray = RGB, **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **options)
    return file


def folder(path: Path, **fields: Any) -> Folder:
    return Folder(Config(**{"path": str(path), "root_env": None, "splits": {"test": "."}, "licence": "ours", **fields}))


def sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def landmarks(path: Path, rows: dict[str, list[float]]) -> None:
    lines = [f"{name},anna,{','.join(map(str, points))}" for name, points in rows.items()]
    (path / "points.csv").write_text("\n".join([f"file,identity,{','.join(COORDINATES)}", *lines]) + "\n")
