"""The download stage: a source's images become packs and a manifest, every one of them checked and named."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from srledger.config import Dataset
from srledger.data import LANDMARK_NAMES, SPLITS, Source, SourceImage
from srledger.descriptors import Descriptor, describe, write_descriptors
from srledger.errors import SrledgerError
from srledger.io import atomic_open, read_json, sha256_bytes, sha256_file, sha256_json, write_json
from srledger.packs import Pack, PackWriter
from srledger.plugins import plugin_class
from srledger.progress import Progress

LANDMARK_COLUMNS = [f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy"]
COLUMNS = ["id", "split", "width_px", "height_px", "sha256", "identity", *LANDMARK_COLUMNS]


@dataclasses.dataclass(frozen=True)
class ManifestRow:
    """One image of a dataset, without its pixels."""

    id: str
    split: str
    identity: str | None
    landmarks: np.ndarray | None


def build_dataset(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Write a dataset's packs, ``manifest.csv``, ``descriptors.parquet`` and ``dataset.json``; returns the latter.

    What must hold between images (splits that share nothing, ...) is the business of gate ``manifests``.

    Raises:
        SrledgerError: an id that stands twice or can't be a file name, a split that is none, an image that is not
            8-bit RGB, or no images at all.
    """
    assert dataset.source is not None
    source: Source = plugin_class("data", dataset.source)(dataset.config)
    guard = _Guard(dataset.name)
    manifest: list[list[Any]] = []
    descriptors: list[Descriptor] = []
    images = iter(source.images())
    for split in SPLITS:
        (folder / f"{split}.json").unlink(missing_ok=True)
    writers = {split: PackWriter(folder / split, np.uint8) for split in SPLITS}
    lr_writers = {split: PackWriter(folder / f"{split}_lr", np.uint8) for split in SPLITS}
    brings_lr = False
    opened = [writer.__enter__() for writer in (*writers.values(), *lr_writers.values())]
    try:
        with Progress(f"download {dataset.name}", total=0) as progress:
            for k, image in enumerate(images):
                guard.check(image)
                writers[image.split].add(image.id, image.pixels)
                if image.lr is not None:
                    lr_writers[image.split].add(image.id, image.lr)
                    brings_lr = True
                manifest.append(_manifest_row(image))
                descriptors.append(describe(image.pixels))
                progress.advance(k + 1)
        if not manifest:
            raise SrledgerError(
                "a dataset has no images", where=dataset.name, found=f"source {dataset.source} gave none"
            )
    except BaseException as error:
        for writer in opened:
            writer.__exit__(type(error), error, None)
        raise
    for writer in opened:
        writer.__exit__(None, None, None)
    if not brings_lr:
        for split in SPLITS:
            for suffix in (".bin", ".json"):
                (folder / f"{split}_lr{suffix}").unlink()
    with atomic_open(folder / "manifest.csv", "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(manifest)
    write_descriptors(
        folder / "descriptors.parquet", [row[0] for row in manifest], [row[1] for row in manifest], descriptors
    )
    record = {
        "source": dataset.source,
        "licence": source.licence,
        "redistributable": source.redistributable,
        "counts": {split: sum(row[1] == split for row in manifest) for split in SPLITS},
        "identities": len({row[5] for row in manifest if row[5]}),
        "sha256": sha256_file(folder / "manifest.csv"),
        "settings_sha256": settings_sha256(dataset),
    }
    if source.left_out:
        record["left_out"] = source.left_out
    write_json(folder / "dataset.json", record)
    return record


def settings_sha256(dataset: Dataset) -> str:
    """Hash of what params.yaml says of a dataset."""
    return sha256_json([dataset.source, dataset.config.model_dump(mode="json") if dataset.config else None])


def read_manifest(folder: Path) -> Iterator[ManifestRow]:
    """The images of a dataset, in the order of its packs."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            known = row[LANDMARK_COLUMNS[0]] != ""
            landmarks = np.array([float(row[name]) for name in LANDMARK_COLUMNS]).reshape(-1, 2) if known else None
            yield ManifestRow(row["id"], row["split"], row["identity"] or None, landmarks)


def dataset_record(folder: Path) -> dict[str, Any]:
    """What ``build_dataset`` wrote of a dataset."""
    return read_json(folder / "dataset.json")


def open_pack(folder: Path, split: str, *, lr: bool = False) -> Pack | None:
    """The HR (or the given LR) pack of a split; None when the set brings no LR images."""
    stem = folder / (f"{split}_lr" if lr else split)
    return None if lr and not stem.with_suffix(".json").exists() else Pack(stem)


def _manifest_row(image: SourceImage) -> list[Any]:
    height, width = image.pixels.shape[:2]
    landmarks = [""] * len(LANDMARK_COLUMNS)
    if image.landmarks is not None:
        landmarks = [f"{value:.4f}" for value in image.landmarks.ravel()]
    content = sha256_bytes(image.pixels.tobytes())
    return [image.id, image.split, width, height, content, image.identity or "", *landmarks]


class _Guard:
    """What must hold of an image, or it can't be packed."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.ids: set[str] = set()

    def check(self, image: SourceImage) -> None:
        where = f"dataset {self.dataset}, image {image.id}"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", image.id):
            raise SrledgerError("an image id can't be a file name", where=where, expected="letters, digits, . _ -")
        if image.id in self.ids:
            raise SrledgerError("an image id stands twice", where=where)
        self.ids.add(image.id)
        if image.split not in SPLITS:
            raise SrledgerError("an unknown split", where=where, found=image.split, expected=", ".join(SPLITS))
        if image.pixels.dtype != np.uint8 or image.pixels.ndim != 3 or image.pixels.shape[2] != 3:
            raise SrledgerError(
                "an image is not 8-bit RGB", where=where, found=f"{image.pixels.dtype} {image.pixels.shape}"
            )
