"""Gate ``manifests``: a dataset's images are what they claim to be, and its splits share nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from srledger.config import Params
from srledger.data import LANDMARK_NAMES, SPLITS
from srledger.datasets import LANDMARK_COLUMNS, dataset_record, open_pack
from srledger.gates import Check, Gate, between, empty, equal, unique
from srledger.gates.faces import SHAPE_LIMIT, SHAPE_TYPICAL, shape_residuals, tilt_products
from srledger.gates.leaks import leaks
from srledger.layout import Layout

LEAST_SIDE_PX = 8
A_SET = 30
MOST_OFF_CENTRE = 0.2  # of the side
LEAST_PX = 0.1  # less is no distance
LEAK = "a test image that was seen in training makes every number of the table too good"
APART = "put one of the two into `ignore` (then `srledger add-dataset FOLDER --update`), or both into one split"
SWAPPED = "a swapped landmark column puts heatmaps in the wrong place"
COLUMNS = "compare the columns of the landmarks file with the pictures, then correct its first line or the rows named"
LOST = "images that go missing change every mean in silence"


def subjects(params: Params, layout: Layout) -> Mapping[str, str | None]:
    """The datasets."""
    return {
        name: None if dataset.source else f"scale {params.scale} does without dataset {name}"
        for name, dataset in params.datasets.items()
    }


def fingerprint(subject: str, layout: Layout) -> str:
    """The hash of the dataset's manifest, which holds the hash of every image."""
    return dataset_record(layout.raw(subject))["sha256"]


def gates_of(subject: str, params: Params, layout: Layout) -> Iterator[Gate]:
    """One gate over the images, one over their landmarks where they have any, one over the splits."""
    folder = layout.raw(subject)
    manifest = pd.read_csv(
        folder / "manifest.csv",
        dtype=dict.fromkeys(("id", "split", "sha256", "identity"), str),
        keep_default_na=False,  # an identity called "NA" is one
        na_values={name: [""] for name in LANDMARK_COLUMNS},
    )
    yield Gate("manifests", f"{subject}/images", _images(manifest, folder), IMAGE_CHECKS)
    if manifest[LANDMARK_COLUMNS].notna().any(axis=None):
        checks = (*LANDMARK_CHECKS, *typical_checks("note" if len(manifest) < A_SET else "stop"))
        yield Gate("manifests", f"{subject}/landmarks", _landmarks(manifest), checks)
    left_out = dataset_record(folder).get("left_out", [])
    if left_out:
        frame = pd.DataFrame(left_out, columns=["id", "left_out_because"])
        yield Gate("manifests", f"{subject}/left_out", frame, (ALL_TAKEN,))
    yield Gate("manifests", f"{subject}/splits", _splits(manifest, folder), SPLIT_CHECKS)


def _images(manifest: pd.DataFrame, folder: Path) -> pd.DataFrame:
    seen = leaks(folder)
    frame = manifest[["id", "split", "width_px", "height_px", "sha256"]].copy()
    frame["splits_of_content"] = _splits_of(manifest, "sha256")
    frame["splits_of_identity"] = _splits_of(manifest, "identity").where(manifest["identity"] != "", None)
    frame["looks_like"] = frame["id"].map(seen)
    return frame


def _splits_of(manifest: pd.DataFrame, column: str) -> pd.Series:
    """The splits in which an image's value stands, joined: ``train``, or ``test+train``."""
    joined = manifest.groupby(column)["split"].agg(lambda splits: "+".join(sorted(set(splits))))
    return manifest[column].map(joined)


IMAGE_CHECKS = (
    unique("id", "every id stands once", "two images of one name can't be told apart in any later table"),
    Check(
        "split_is_known",
        "every split is train, val or test",
        "ExpectColumnValuesToBeInSet",
        {"column": "split", "value_set": list(SPLITS)},
        "an image outside the splits is used by nothing",
    ),
    between(
        "width_px",
        LEAST_SIDE_PX,
        None,
        f"images are at least {LEAST_SIDE_PX} px wide",
        "there is nothing to restore in less",
    ),
    between(
        "height_px",
        LEAST_SIDE_PX,
        None,
        f"images are at least {LEAST_SIDE_PX} px high",
        "there is nothing to restore in less",
    ),
    Check(
        "content_in_one_split",
        "no picture stands in two splits (same pixels)",
        "ExpectColumnValuesToBeInSet",
        {"column": "splits_of_content", "value_set": list(SPLITS)},
        LEAK,
        APART,
    ),
    Check(
        "identity_in_one_split",
        "no identity stands in two splits",
        "ExpectColumnValuesToBeInSet",
        {"column": "splits_of_identity", "value_set": list(SPLITS)},
        LEAK,
        APART,
    ),
    empty(
        "looks_like",
        "no picture of a split looks like one of another (re-encoded, resized, mirrored)",
        LEAK,
        mend=APART,
    ),
    unique("sha256", "no picture stands twice in its split", "a doubled picture weighs double", severity="note"),
)


def _landmarks(manifest: pd.DataFrame) -> pd.DataFrame:
    points = manifest[LANDMARK_COLUMNS].to_numpy(float).reshape(-1, len(LANDMARK_NAMES), 2)
    size = manifest[["width_px", "height_px"]].to_numpy(float)[:, None]
    eyes_y, mouth_y = points[:, :2, 1], points[:, 3:, 1]
    frame = manifest[["id"]].copy()
    frame["unknown"] = np.isnan(points).sum(axis=(1, 2))
    frame["outside_px"] = np.maximum(-0.5 - points, points - (size - 0.5)).max(axis=(1, 2)).clip(0)
    frame["eye_distance_px"] = points[:, 1, 0] - points[:, 0, 0]
    frame["mouth_width_px"] = points[:, 4, 0] - points[:, 3, 0]
    frame["eyes_above_mouth_px"] = mouth_y.min(axis=1) - eyes_y.max(axis=1)
    frame["shape_residual"] = shape_residuals(points)
    frame["tilt_product"] = tilt_products(points)
    frame["off_centre_share"] = np.abs((points.mean(axis=1) + 0.5) / size[:, 0] - 0.5).max(axis=1)
    return frame


LANDMARK_CHECKS = (
    equal(
        "unknown",
        0,
        "all five landmarks of every image are known",
        "a prior of landmarks needs them of every image",
        mend="complete the landmarks file, or leave it out",
    ),
    between("outside_px", None, 0, "every landmark lies in its image", SWAPPED, mend=COLUMNS),
    between(
        "off_centre_share",
        None,
        MOST_OFF_CENTRE,
        "landmarks lie about the middle of their image",
        "landmarks of a file of another size, or shifted ones, put heatmaps beside the face",
        severity="note",
    ),
    between(
        "eye_distance_px", LEAST_PX, None, "the left eye is left of the right one (as seen)", SWAPPED, mend=COLUMNS
    ),
    between(
        "mouth_width_px",
        LEAST_PX,
        None,
        "the mouth's left corner is left of its right one (as seen)",
        SWAPPED,
        mend=COLUMNS,
    ),
    between("eyes_above_mouth_px", LEAST_PX, None, "both eyes are above the mouth", SWAPPED, mend=COLUMNS),
    between(
        "shape_residual",
        None,
        SHAPE_LIMIT,
        f"five points make a face (within {SHAPE_LIMIT} eye distances of a frontal one)",
        SWAPPED,
        mend=COLUMNS,
    ),
)


def typical_checks(severity: Literal["stop", "note"]) -> tuple[Check, ...]:
    """Checks of a whole set. They stop one; of a handful of faces most may lean either way by chance: a note."""
    kind = "ExpectColumnValuesToBeBetween"
    half = {"mostly": 0.5}
    shape = {"column": "shape_residual", "min_value": None, "max_value": SHAPE_TYPICAL, **half}
    title = f"half of the faces lie within {SHAPE_TYPICAL} of a frontal one"
    tilt = {"column": "tilt_product", "min_value": 0, "max_value": None, **half}
    return (
        Check("shapes_are_typical", title, kind, shape, SWAPPED, COLUMNS, severity),
        Check("eyes_and_mouth_lean_together", "eyes and mouth lean to the same side in most faces", kind, tilt, SWAPPED,
              COLUMNS, severity),
    )  # fmt: skip


def _splits(manifest: pd.DataFrame, folder: Path) -> pd.DataFrame:
    counts = dataset_record(folder)["counts"]
    lines = []
    for split in SPLITS:
        pack = open_pack(folder, split)
        assert pack is not None
        pack.verify()
        listed = manifest.loc[manifest["split"] == split, "id"].tolist()
        lines.append(
            {
                "id": split,
                "images": len(listed),
                "missing": counts[split] - len(listed),
                "in_pack_order": listed == pack.ids,
            }
        )
    frame = pd.DataFrame(lines)
    return frame[(frame["images"] > 0) | (frame["missing"] != 0)].reset_index(drop=True)


ALL_TAKEN = empty(
    "left_out_because", "no file was left out (skip_unreadable)", "fewer images than the folder has", severity="note"
)
AGAIN = "dvc repro --force download@<dataset>"
SPLIT_CHECKS = (
    equal("missing", 0, "every split has as many images as were taken in", LOST, mend=AGAIN),
    equal(
        "in_pack_order",
        True,
        "packs hold the images of the manifest, in its order",
        "pixels would go by another image's name",
        mend=AGAIN,
    ),
)
