"""Shared by the tests of detectors: drawn faces with landmarks, as a task keeps them."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from conftest import ROOT

from srledger.data import SourceImage
from srledger.data.synthetic_faces import Config as FacesConfig
from srledger.data.synthetic_faces import SyntheticFaces
from srledger.encoders._detection import Detections
from srledger.imresize import imresize_uint8
from srledger.io import write_json
from srledger.layout import Layout
from srledger.packs import PackWriter
from srledger.plugins import PluginConfig
from srledger.priors import PriorInput
from srledger.settings import Dataset, EncoderSpec, Task
from srledger.training.config import TrainingConfig


@functools.cache
def drawn_faces(count: int = 16, side_px: int = 64) -> tuple[SourceImage, ...]:
    """The training faces of one small drawn data set."""
    source = SyntheticFaces(FacesConfig(seed=0, size_px=side_px, n_identities={"train": count, "val": 1, "test": 1}))
    return tuple(image for image in source.images() if image.split == "train")[:count]


def as_inputs(faces: tuple[SourceImage, ...]) -> list[PriorInput]:
    """The same faces as an encoder that is fitted is given them."""
    return [PriorInput(face.id, "train", face.pixels, face.pixels[::4, ::4], face.landmarks) for face in faces]


def write_task(folder: Path, faces: tuple[SourceImage, ...], with_landmarks: bool = True) -> Path:
    """Packs and ``images.json`` of the faces in ``folder``; LR images are a quarter as wide."""
    side = faces[0].pixels.shape[0] // 4
    with PackWriter(folder / "train_hr", np.uint8) as hrs, PackWriter(folder / "train_lr", np.uint8) as lrs:
        for face in faces:
            hrs.add(face.id, face.pixels)
            lrs.add(face.id, imresize_uint8(face.pixels, side, side))
    rows = [
        {"id": face.id, "split": "train", "landmarks": face.landmarks.tolist() if with_landmarks else None}
        for face in faces
        if face.landmarks is not None
    ]  # fmt: skip
    write_json(folder / "images.json", rows)
    return folder


def moved(face: SourceImage, right_px: int, down_px: int) -> tuple[np.ndarray, np.ndarray]:
    """A face moved within its frame, mirrored where it leaves a gap, and its landmarks."""
    assert face.landmarks is not None
    height, width = face.pixels.shape[:2]
    wide = np.pad(face.pixels, ((height, height), (width, width), (0, 0)), mode="symmetric")
    pixels = wide[height - down_px :, width - right_px :][:height, :width]
    return np.ascontiguousarray(pixels), face.landmarks + np.array([right_px, down_px])


def eye_error(centres_px: np.ndarray, points_px: np.ndarray) -> float:
    """Mean distance of the two eyes to the nearest of ``centres_px``, in distances between the eyes; none: infinite."""
    if not len(centres_px):
        return float("inf")
    away = np.linalg.norm(points_px[:2, None] - centres_px[None], axis=-1).min(axis=1)
    return float(away.mean() / np.linalg.norm(points_px[1] - points_px[0]))


def layout_with_faces(root: Path, with_landmarks: bool = True) -> Layout:
    """A root with the project's code and the faces as the task ``faces`` of the scale smoke."""
    for name in ("dvc.yaml", "src", "stages"):
        (root / name).symlink_to(ROOT / name)
    write_task(Layout("smoke", root).packs("faces"), drawn_faces(), with_landmarks)
    return Layout("smoke", root)


def spec_of(plugin: str, weights: str, config: PluginConfig, **training: object) -> EncoderSpec:
    """An entry of ``encoders`` on that task."""
    settings = TrainingConfig(**{"threads": 1, "ema_decay": 0.0, **training})  # type: ignore[arg-type]
    task = Task("faces", Dataset("faces", "synthetic_faces", None), "bicubic", config, 4, 64, ())
    return EncoderSpec(f"my_{plugin}", plugin, weights, config, settings, task)  # type: ignore[arg-type]


def same(first: Detections, second: Detections) -> bool:
    """Whether two detectors found the same, to the bit."""
    return (
        first.classes == second.classes
        and np.array_equal(first.boxes_px, second.boxes_px)
        and np.array_equal(first.confidences, second.confidences)
    )
