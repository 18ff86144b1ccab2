"""The degrade stage: HR packs at the task's size, and the LR image of each."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from srledger.config import Task
from srledger.data import SPLITS
from srledger.datasets import ManifestRow, dataset_record, open_pack, read_manifest
from srledger.degradations import Degradation
from srledger.errors import SrledgerError, errors_of
from srledger.imresize import imresize_uint8
from srledger.io import write_json
from srledger.jitter import Move, draw_move
from srledger.packs import PackWriter
from srledger.plugins import plugin_class
from srledger.progress import Progress
from srledger.seeds import numpy_generator

DEGRADATION_SEED = 0


@dataclasses.dataclass(frozen=True)
class Pair:
    """An HR image at its task's size, and its LR image: uint8 ``H x W x 3`` and ``H/s x W/s x 3``.

    ``landmarks`` are [x, y] in pixels of ``hr`` (outside of it, where jitter moved them there), or None; ``drawn`` is
    what the degradation drew, and under ``jitter`` how the HR image was moved, where its task moves them.
    """

    hr: np.ndarray
    lr: np.ndarray
    landmarks: list[list[float]] | None
    drawn: dict[str, Any]


class Degrader:
    """Makes the pairs of a task from the packs of its dataset, each from the image's own seed."""

    def __init__(self, task: Task, raw: Path) -> None:
        self.task = task
        self._degradation: Degradation = plugin_class("degradations", task.degradation)(task.config, task.scale_factor)
        self._hrs = {split: open_pack(raw, split) for split in SPLITS}
        self._lrs = {split: open_pack(raw, split, lr=True) for split in SPLITS}

    def pair(self, row: ManifestRow) -> Pair:
        """The pair of one image; the same whenever and in whatever order it is asked for."""
        hrs, lrs = self._hrs[row.split], self._lrs[row.split]
        assert hrs is not None
        move = draw_move(self.task.jitter, row.id) if self.task.jitter else None
        hr, landmarks = fit_hr(np.asarray(hrs.by_id(row.id)), row.landmarks, self.task, row.id, move)
        rng = numpy_generator("degradation", self.task.degradation, row.id, DEGRADATION_SEED)
        with errors_of(f"task {self.task.name}, image {row.id}"):
            lr, drawn = self._degradation.degrade(hr, rng, np.asarray(lrs.by_id(row.id)) if lrs else None)
        points = None if landmarks is None else [[round(float(v), 4) for v in point] for point in landmarks]
        return Pair(hr, lr, points, drawn | ({"jitter": dataclasses.asdict(move)} if move else {}))


def degrade_task(task: Task, raw: Path, folder: Path) -> dict[str, Any]:
    """Write ``<split>_hr``, ``<split>_lr``, ``images.json`` and ``task.json`` into ``folder``; returns the latter.

    HR images are reduced to the task's square size (or cut to a multiple of the scale factor) and moved where the task
    says so, landmarks move with them, and each LR image draws from a seed of its own.
    """
    degrader = Degrader(task, raw)
    manifest = list(read_manifest(raw))
    images: list[dict[str, Any]] = []
    with Progress(f"degrade {task.name}", len(manifest)) as progress:
        for split in SPLITS:
            with (
                PackWriter(folder / f"{split}_hr", np.uint8) as hrs,
                PackWriter(folder / f"{split}_lr", np.uint8) as lrs,
            ):
                for row in manifest:
                    if row.split != split:
                        continue
                    pair = degrader.pair(row)
                    hrs.add(row.id, pair.hr)
                    lrs.add(row.id, pair.lr)
                    images.append(
                        {
                            "id": row.id,
                            "split": split,
                            "identity": row.identity,
                            "landmarks": pair.landmarks,
                            "drawn": pair.drawn,
                        }
                    )
                    progress.advance(len(images))
    write_json(folder / "images.json", images)
    record = {
        "task": task.name,
        "dataset": {"name": task.dataset.name, **dataset_record(raw)},
        "degradation": task.degradation,
        "config": task.config.model_dump(mode="json"),
        "scale_factor": task.scale_factor,
        "hr_size_px": task.hr_size_px,
        **task.set_apart(),
    }
    write_json(folder / "task.json", record)
    return record


def fit_hr(
    pixels: np.ndarray, landmarks: np.ndarray | None, task: Task, image_id: str, move: Move | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The HR image of a task and its landmarks: reduced to the task's square, or cut to a multiple of the factor.

    With ``move`` it is moved on the way; only images that are reduced to a square can be.

    Raises:
        SrledgerError: the image is not square, or smaller than the task's size (HR is never invented).
    """
    height, width = pixels.shape[:2]
    size = task.hr_size_px
    if size is None:
        factor = task.scale_factor
        cut_height, cut_width = height - height % factor, width - width % factor
        if not (cut_height and cut_width):
            raise SrledgerError(
                "an image is smaller than the scale factor", where=f"task {task.name}, image {image_id}",
                found=f"{width}x{height} px", expected=f"at least {factor} px",
            )  # fmt: skip
        return pixels[:cut_height, :cut_width], landmarks
    if height != width or height < size:
        raise SrledgerError(
            "an HR image does not fit its task",
            where=f"task {task.name}, image {image_id}",
            found=f"{width}x{height} px",
            expected=f"a square of at least {size} px",
            mend=f"lower hr_size_px of {task.name}, or cut the images first",
        )
    if move is not None:
        return move.image(pixels, size), None if landmarks is None else move.points(landmarks, height, size)
    if height == size:
        return pixels, landmarks
    moved = None if landmarks is None else (landmarks + 0.5) * (size / height) - 0.5
    return imresize_uint8(pixels, size, size), moved
