"""The degrade stage: HR packs at the task's size, and the LR image of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from srledger.config import Task
from srledger.data import SPLITS
from srledger.datasets import dataset_record, open_pack, read_manifest
from srledger.degradations import Degradation
from srledger.errors import SrledgerError, errors_of
from srledger.imresize import imresize_uint8
from srledger.io import write_json
from srledger.packs import PackWriter
from srledger.plugins import plugin_class
from srledger.progress import Progress
from srledger.seeds import numpy_generator

DEGRADATION_SEED = 0


def degrade_task(task: Task, raw: Path, folder: Path) -> dict[str, Any]:
    """Write ``<split>_hr``, ``<split>_lr``, ``images.json`` and ``task.json`` into ``folder``; returns the latter.

    HR images are reduced to the task's square size (or cut to a multiple of the scale factor), landmarks move with
    them, and each LR image draws from a seed of its own.
    """
    degradation: Degradation = plugin_class("degradations", task.degradation)(task.config, task.scale_factor)
    manifest = {row.id: row for row in read_manifest(raw)}
    images: list[dict[str, Any]] = []
    with Progress(f"degrade {task.name}", len(manifest)) as progress:
        for split in SPLITS:
            hr_pack, given = open_pack(raw, split), open_pack(raw, split, lr=True)
            assert hr_pack is not None
            with (
                PackWriter(folder / f"{split}_hr", np.uint8) as hrs,
                PackWriter(folder / f"{split}_lr", np.uint8) as lrs,
            ):
                for image_id, pixels in hr_pack.items():
                    row = manifest[image_id]
                    hr, landmarks = fit_hr(np.asarray(pixels), row.landmarks, task, image_id)
                    rng = numpy_generator("degradation", task.degradation, image_id, DEGRADATION_SEED)
                    given_lr = np.asarray(given.by_id(image_id)) if given else None
                    with errors_of(f"task {task.name}, image {image_id}"):
                        lr, drawn = degradation.degrade(hr, rng, given_lr)
                    hrs.add(image_id, hr)
                    lrs.add(image_id, lr)
                    points = None if landmarks is None else [[round(float(v), 4) for v in p] for p in landmarks]
                    images.append(
                        {"id": image_id, "split": split, "identity": row.identity, "landmarks": points, "drawn": drawn}
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
    }
    write_json(folder / "task.json", record)
    return record


def fit_hr(
    pixels: np.ndarray, landmarks: np.ndarray | None, task: Task, image_id: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """The HR image of a task and its landmarks: reduced to the task's square, or cut to a multiple of the factor.

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
    if height == size:
        return pixels, landmarks
    moved = None if landmarks is None else (landmarks + 0.5) * (size / height) - 0.5
    return imresize_uint8(pixels, size, size), moved
