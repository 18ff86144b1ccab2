"""Gate ``rows``: every value belongs to a test image and a seed, is a number, and lies where its metric can."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from srledger.ablations import absence_of
from srledger.config import Params
from srledger.gates import Check, Gate, between, equal, known, unique
from srledger.io import read_json, sha256_file
from srledger.layout import Layout
from srledger.packs import Pack


def subjects(params: Params, layout: Layout) -> Mapping[str, str | None]:
    """Every measured row: variants, students, transfers, or those of the ablation grid."""
    return {name: _nothing_to_check(name, params, layout) for name in params.evaluations}


def _nothing_to_check(name: str, params: Params, layout: Layout) -> str | None:
    if not params.is_active(name):
        return f"{name} does not run at scale {params.scale}"
    absence = absence_of(layout, name)
    return f"{name} {absence.status}" if absence else None


def fingerprint(subject: str, layout: Layout) -> str:
    """The hash of the row's values."""
    return sha256_file(layout.result(subject) / "rows.parquet")


def gates_of(subject: str, params: Params, layout: Layout) -> Iterator[Gate]:
    """One gate over the values per image, one over the values per set."""
    folder = layout.result(subject)
    result = read_json(folder / "result.json")
    test_ids = Pack(layout.packs(result["task"]) / "test_hr").ids[: params.evaluation.max_images]
    frame = pd.read_parquet(folder / "rows.parquet")
    frame["id"] = frame["image_id"] + " seed " + frame["seed"].astype(str)
    frame["in_test_set"] = frame["image_id"].isin(test_ids)
    frame = frame.reindex(columns=[*frame.columns, *(m for m in result["image_metrics"] if m not in frame)])
    infinite = [metric for metric in result["image_metrics"] if np.isinf(frame[metric]).any()]
    for metric in infinite:
        frame[f"{metric}_infinite"] = np.isinf(frame[metric])
    yield Gate("rows", f"{subject}/images", frame, (*IMAGE_CHECKS, *_checks_of_metrics(result, infinite)))
    images = frame.groupby("seed")["image_id"].nunique()
    seeds = sorted({*result["seeds"], *images.index})
    counts = pd.DataFrame({"id": [f"seed {seed}" for seed in seeds]})
    counts["missing"] = [len(test_ids) - int(images.get(seed, 0)) for seed in seeds]
    counts["expected"] = [seed in result["seeds"] for seed in seeds]
    yield Gate("rows", f"{subject}/seeds", counts, SEED_CHECKS)
    sets = [
        {"id": f"{metric} seed {seed}", "value": found["value"], "missing": len(test_ids) - found["n"]}
        for metric, by_seed in result["set_metrics"].items()
        for seed, found in by_seed.items()
    ]
    if sets:
        yield Gate("rows", f"{subject}/sets", pd.DataFrame(sets), SET_CHECKS)


def _checks_of_metrics(result: Mapping[str, Any], infinite: Collection[str]) -> Iterator[Check]:
    for metric in result["image_metrics"]:
        least, most = result["metric_info"][metric]["bounds"]
        yield known(metric, f"{metric} is a number", BROKEN, mend=LOOK)
        if (least, most) != (None, None):
            yield between(metric, least, most, f"{metric} lies in {_interval(least, most)}", BROKEN, mend=LOOK)
        if metric in infinite:
            yield equal(
                f"{metric}_infinite", False, f"{metric} is finite", "the table leaves such images out", severity="note"
            )


def _interval(least: float | None, most: float | None) -> str:
    return f"[{'-inf' if least is None else f'{least:g}'}, {'inf' if most is None else f'{most:g}'}]"


BROKEN = "a metric that gives such a value is broken, or was given something else than images"
LOOK = "look at the restored image (results/<scale>/<row>/sr) and at the metric's file"
IMAGE_CHECKS = (
    unique("id", "every image stands once for every seed", "a doubled value weighs double in the mean"),
    equal(
        "in_test_set",
        True,
        "every value belongs to an image of the test split",
        "a number of another image is no evidence",
    ),
)
SEED_CHECKS = (
    equal("expected", True, "every seed is one that the row was measured with", "its numbers belong to nothing"),
    equal(
        "missing",
        0,
        "every seed has every test image",
        "a mean over fewer images can't be compared",
        mend="dvc repro --force evaluate@<row>",
    ),
)
SET_CHECKS = (
    known("value", "every set metric is a number", BROKEN, mend=LOOK),
    between("value", 0, None, "no distance between sets is negative", BROKEN, mend=LOOK),
    equal("missing", 0, "every set metric is over all test images", "a distance over fewer images can't be compared"),
)
