"""The precompute_priors stage: one map per image of every task that asks for it, float16, in packs."""

from __future__ import annotations

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


def _maps_of_task(prior: Prior, name: str, packs: Path, folder: Path) -> int:
    landmarks = {image["id"]: image["landmarks"] for image in read_json(packs / "images.json")}
    made = 0
    with Progress(f"prior {name}", len(landmarks)) as progress:
        for split in SPLITS:
            hrs, lrs = Pack(packs / f"{split}_hr"), Pack(packs / f"{split}_lr")
            with PackWriter(folder / split, np.float16) as pack:
                for image_id, hr in hrs.items():
                    points = landmarks[image_id]
                    known = None if points is None else np.array(points)
                    image = PriorInput(image_id, split, np.asarray(hr), np.asarray(lrs.by_id(image_id)), known)
                    pack.add(image_id, _checked(prior.map_of(image), hr.shape[:2], name, image_id))
                    made += 1
                    progress.advance(made)
    return made


def _checked(values: np.ndarray, size: tuple[int, int], name: str, image_id: str) -> np.ndarray:
    """float16 ``H x W x 1``. Raises SrledgerError for a wrong size or values outside [0, 1]."""
    values = np.asarray(values, np.float16)
    wrong = None
    if values.shape not in {size, (1, 1)}:
        wrong = f"size {values.shape}"
    elif not np.isfinite(values).all():
        wrong = "values that are no numbers"
    elif values.min() < 0 or values.max() > 1:
        wrong = f"values from {values.min()} to {values.max()}"
    if wrong:
        raise SrledgerError(
            "a prior made a map that can't be one", where=f"prior {name}, image {image_id}", found=wrong,
            expected=f"finite values in [0, 1], size {size} or (1, 1)",
        )  # fmt: skip
    return values[..., None]
