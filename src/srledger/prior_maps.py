"""The precompute_priors stage: one map, or grid of tokens, per image of every task that asks for it, in packs."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import numpy as np

from srledger.config import Params
from srledger.errors import SrledgerError, errors_of
from srledger.io import write_json
from srledger.layout import Layout, is_inactive, write_inactive
from srledger.packs import PackWriter
from srledger.plugins import plugin_class
from srledger.priors import Prior, PriorInput
from srledger.progress import Progress
from srledger.settings import PriorSpec
from srledger.split_inputs import inputs_of


def precompute_prior(params: Params, spec: PriorSpec, layout: Layout, folder: Path) -> tuple[int, int]:
    """Write ``<task>/<split>`` packs of one prior into ``folder``.

    Returns:
        How many maps were made, and how many of them say nothing: all zeros.
    """
    prior = build_prior(spec, layout)
    made, empty, started_s = 0, 0, time.monotonic()
    for name in spec.tasks:
        packs = layout.packs(name)
        if is_inactive(packs):
            write_inactive(folder / name, f"task {name} is not part of scale {params.scale}")
            continue
        made_here, empty_here = _maps_of_task(prior, spec.name, packs, folder / name)
        made, empty = made + made_here, empty + empty_here
    if made:
        _note_machine(layout, spec, made, time.monotonic() - started_s)
    return made, empty


def _note_machine(layout: Layout, spec: PriorSpec, made: int, seconds: float) -> None:
    """What the maps cost here, and how many came in a second; outside every DVC output."""
    values = {
        "row": spec.name,
        "stage": "precompute_priors",
        "seed": None,
        "seconds": round(seconds, 2),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "images_per_s": round(made / seconds, 2),
        "threads": spec.encoder.training.threads if spec.encoder else None,
        "device": "cpu",
    }
    write_json(layout.machine() / f"{spec.name}.precompute_priors.json", values)


def build_prior(spec: PriorSpec, layout: Layout) -> Prior:
    """A prior with the encoder and the other prior that it is made from.

    Raises:
        SrledgerError: its encoder was not made.
    """
    base = build_prior(spec.of, layout) if spec.of else None
    encoder = None
    if spec.encoder:
        from srledger.pipeline_encoders import load_encoder
        from srledger.training.determinism import prepare_torch

        prepare_torch(spec.encoder.training.threads, "cpu")  # the last bits of a map depend on the threads
        encoder = load_encoder(layout.encoder(spec.encoder.name))
    prior: Prior = plugin_class("priors", spec.plugin)(spec.config, base, encoder)
    return prior


def map_of(prior: Prior, image: PriorInput, name: str) -> np.ndarray:
    """The map of one image as it is kept: float16 ``H x W x 1`` (or ``1 x 1 x 1``); tokens ``h x w x D``, D above 1.

    Raises SrledgerError for a wrong size; values are the gate's business.
    """
    with errors_of(f"prior {name}, image {image.id}"):
        if prior.has_tokens:
            return _grid(prior.map_of(image))
        return _sized(prior.map_of(image), image.hr.shape[:2])


def _maps_of_task(prior: Prior, name: str, packs: Path, folder: Path) -> tuple[int, int]:
    splits = inputs_of(packs)
    made = empty = 0
    with Progress(f"prior {name}", sum(map(len, splits.values()))) as progress:
        for split, images in splits.items():
            with PackWriter(folder / split, np.float16) as pack:
                for image in images.values():
                    values = map_of(prior, image, name)
                    pack.add(image.id, values)
                    made, empty = made + 1, empty + (not values.any())
                    progress.advance(made)
    return made, empty


def _grid(values: np.ndarray) -> np.ndarray:
    """Tokens as they are kept; one channel alone would be taken for a map."""
    if values.ndim != 3 or 0 in values.shape or values.shape[2] < 2:
        raise SrledgerError("a prior made tokens of a wrong shape", found=values.shape, expected="h x w x D, D above 1")
    with np.errstate(over="ignore"):  # the gate names values beyond float16
        return np.asarray(values, np.float16)


def _sized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if values.shape not in {size, (1, 1)}:
        raise SrledgerError("a prior made a map of a wrong size", found=values.shape, expected=f"{size} or (1, 1)")
    return np.asarray(values, np.float16)[..., None]
