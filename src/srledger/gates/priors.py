"""Gate ``priors``: every map is a map: as large as its image, finite, in [0, 1], and not constant unless meant so.

What is asked of tokens stands in ``token_grids``. Where a detector finds nothing a map is zeros, and the method does
without it: how often that is so is told, and that it is so of every image stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from srledger.config import Params
from srledger.gates import Gate, between, equal, unique
from srledger.gates.token_grids import token_gates, token_line
from srledger.io import sha256_file, sha256_json
from srledger.layout import Layout
from srledger.packs import Pack
from srledger.prior_config import priors_of_graphs, tasks_of, why_no_prior
from srledger.prior_maps import build_prior, map_of
from srledger.priors import Prior
from srledger.seeds import numpy_generator
from srledger.split_inputs import inputs_of

DRAWN_OF_A_SPLIT = 16
LEAST_SPREAD = 1e-3  # a map that spans less is constant
MOST_EMPTY = 0.05
MOST_DIFFERENCE = 0.01  # networks may differ in the last bits from one batch or thread count to another


def subjects(params: Params, layout: Layout) -> Mapping[str, str | None]:
    """Every prior of every task that asks for it, as ``<prior>/<task>``."""
    return {
        f"{prior}/{task}": why_no_prior(params, prior)
        or (None if params.tasks[task].active else f"task {task} is not part of scale {params.scale}")
        for prior in priors_of_graphs(params)
        for task in tasks_of(params, prior)
    }


def fingerprint(subject: str, layout: Layout) -> str:
    """Hash over the indices of the prior's packs, which hold the hash of every pack."""
    return sha256_json([sha256_file(path) for path in sorted(layout.prior(subject).glob("*.json"))])


def gates_of(subject: str, params: Params, layout: Layout) -> Iterator[Gate]:
    """One gate over all maps of one prior for one task."""
    prior, _, task = subject.partition("/")
    made = build_prior(params.priors[prior], layout)
    lines, counts = [], []
    for split, images in inputs_of(layout.packs(task)).items():
        maps = Pack(layout.prior(subject) / split)
        maps.verify()
        hrs = images.hrs
        counts.append({"id": split, "same_ids": hrs.ids == maps.ids})
        of_image = dict(zip(hrs.ids, hrs.shapes, strict=True))
        drawn = _drawn(hrs.ids, subject, split)
        for image_id, values in maps.items():
            again = map_of(made, images[image_id], prior) if image_id in drawn else None
            if made.has_tokens:
                lines.append(token_line(image_id, split, values, of_image.get(image_id), again))
                continue
            line = _line(image_id, split, values, of_image.get(image_id))
            if again is not None:
                line["max_abs_difference"] = _difference(again.astype(np.float32), values)
            lines.append(line)
    yield Gate("priors", f"{subject}/splits", pd.DataFrame(counts), SPLIT_CHECKS)
    if made.has_tokens:
        yield from token_gates(subject, lines)
        return
    may_be_empty = _may_be_empty(made)
    constant = () if made.constant else (NOT_EMPTY if may_be_empty else NOT_CONSTANT,)
    frame = pd.DataFrame(lines)
    yield Gate("priors", f"{subject}/maps", frame, (*MAP_CHECKS, *constant))
    if may_be_empty and not made.constant:
        said = int((frame["spread"] >= LEAST_SPREAD).sum())
        whole = {"id": subject, "empty_share": 1 - said / len(frame), "said": said}
        yield Gate("priors", f"{subject}/whole", pd.DataFrame([whole]), WHOLE_CHECKS)


def _may_be_empty(prior: Prior) -> bool:
    """Whether it, or one that it is made from, may have nothing to say of an image."""
    return prior.may_be_empty or (prior.has_base and _may_be_empty(prior.base))


def _drawn(ids: Sequence[str], subject: str, split: str) -> set[str]:
    chosen = numpy_generator("gate priors", subject, split).permutation(len(ids))[:DRAWN_OF_A_SPLIT]
    return {ids[k] for k in chosen}


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference of two maps; 1 for two sizes or a value that is no number."""
    if first.shape != second.shape:
        return 1.0
    difference = np.abs(first - second.astype(np.float32))
    return float(difference.max()) if np.isfinite(difference).all() else 1.0


def _line(image_id: str, split: str, values: np.ndarray, image_shape: tuple[int, ...] | None) -> dict[str, object]:
    finite = np.isfinite(values)
    least, most = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (np.nan, np.nan)
    sized = image_shape is not None and values.shape[:2] in {image_shape[:2], (1, 1)}
    return {
        "id": image_id, "split": split, "not_finite": int((~finite).sum()), "least": least, "most": most,
        "spread": most - least, "sized": sized, "max_abs_difference": np.nan,
    }  # fmt: skip


POISON = "one such value spreads through a loss or a sampler into every weight"
PLUGIN = "correct the prior's map_of, or the landmarks or weights that it reads"
MAP_CHECKS = (
    unique("id", "every image has one map", "maps go by the id of their image"),
    between(
        "max_abs_difference",
        None,
        MOST_DIFFERENCE,
        "drawn maps come out the same when they are made again",
        "a map of another image is noise",
        mend=PLUGIN,
    ),
    equal("not_finite", 0, "no value is NaN or infinite", POISON, mend=PLUGIN),
    between("least", 0, None, "no value is below 0", "a map is a weight: it can't be negative", mend=PLUGIN),
    between(
        "most",
        None,
        1,
        "no value is above 1",
        "maps are normalised, so that their strength is the method's setting",
        mend=PLUGIN,
    ),
    equal(
        "sized", True, "a map is as large as its HR image (or 1 x 1)", "it would weigh the wrong places", mend=PLUGIN
    ),
)
NOT_CONSTANT = between(
    "spread",
    LEAST_SPREAD,
    None,
    "no map is constant",
    "a constant map says nothing: the row would be its own control",
    mend=PLUGIN,
)
NOT_EMPTY = between(
    "spread",
    LEAST_SPREAD,
    None,
    "something was found in every image",
    "where a map says nothing every pixel weighs alike: there the row is its own control",
    severity="note",
)
WHOLE_CHECKS = (
    between(
        "said",
        1,
        None,
        "something was found in some image",
        "maps that say nothing of any image make the row its own control",
        mend="another detector, a lower `confidence` or other `prompts` of the prior",
    ),
    between(
        "empty_share",
        None,
        MOST_EMPTY,
        f"something was found in more than {1 - MOST_EMPTY:.0%} of the images",
        "the row is its own control in the others, so what it shows of the prior is diluted",
        severity="note",
    ),
)
SPLIT_CHECKS = (
    equal(
        "same_ids",
        True,
        "every image of the task has its map, in the task's order",
        "a map of another image is noise",
        mend="dvc repro --force precompute_priors@<prior>",
    ),
)
