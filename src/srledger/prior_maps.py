"""The precompute_priors stage: one map per image of every task that asks for it, float16, in packs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from srledger.config import Params, PriorSpec
from srledger.data import SPLITS
from srledger.errors import SrledgerError
from srledger.io import read_json
from srledger.layout import Layout, is_inactive, write_inactive
from srledger.packs import Pack, PackWriter
from srledger.plugins import plugin_class
from srledger.priors import Prior, PriorInput
from srledger.progress import Progress


def precompute_prior(params: Params, spec: PriorSpec, layout: Layout, folder: Path) -> int:
    """Write ``<task>/<split>`` packs of one prior into ``folder``; returns how many maps were made."""
    prior: Prior = plugin_class("priors", spec.plugin)(spec.config)
    made = 0
    for name in spec.tasks:
        packs = layout.packs(name)
        if is_inactive(packs):
            write_inactive(folder / name, f"task {name} is not part of scale {params.scale}")
            continue
        made += _maps_of_task(prior, spec.name, packs, folder / name)
    return made


Landmarks = Mapping[str, list[list[float]] | None]


def landmarks_of(packs: Path) -> Landmarks:
    """Image id -> its landmarks as a task has them."""
    return {image["id"]: image["landmarks"] for image in read_json(packs / "images.json")}


def input_of(image_id: str, split: str, hrs: Pack, lrs: Pack, landmarks: Landmarks) -> PriorInput:
    """What a prior may look at for one image of a task."""
    points = landmarks[image_id]
    known = None if points is None else np.array(points)
    return PriorInput(image_id, split, np.asarray(hrs.by_id(image_id)), np.asarray(lrs.by_id(image_id)), known)


def _maps_of_task(prior: Prior, name: str, packs: Path, folder: Path) -> int:
    landmarks = landmarks_of(packs)
    made = 0
    with Progress(f"prior {name}", len(landmarks)) as progress:
        for split in SPLITS:
            hrs, lrs = Pack(packs / f"{split}_hr"), Pack(packs / f"{split}_lr")
            with PackWriter(folder / split, np.float16) as pack:
                for image_id, hr in hrs.items():
                    image = input_of(image_id, split, hrs, lrs, landmarks)
                    pack.add(image_id, _sized(prior.map_of(image), hr.shape[:2], name, image_id))
                    made += 1
                    progress.advance(made)
    return made


def _sized(values: np.ndarray, size: tuple[int, int], name: str, image_id: str) -> np.ndarray:
    """float16 ``H x W x 1``. Raises SrledgerError for a wrong size; values are the gate's business."""
    if values.shape not in {size, (1, 1)}:
        raise SrledgerError(
            "a prior made a map of a wrong size", where=f"prior {name}, image {image_id}", found=values.shape,
            expected=f"{size} or (1, 1)",
        )  # fmt: skip
    return np.asarray(values, np.float16)[..., None]
