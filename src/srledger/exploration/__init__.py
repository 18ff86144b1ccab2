"""What a dataset looks like, in numbers and small pictures: what the report's data page is made from.

Numbers of a set (counts, histograms, distances) may always be shown. Pictures of a set that may not be redistributed
go to a folder of their own, which no committed report takes anything from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from srledger.config import Params
from srledger.data import LANDMARK_NAMES, SPLITS
from srledger.datasets import LANDMARK_COLUMNS, dataset_record
from srledger.descriptors import HASH_BITS, hashes_of, read_descriptors
from srledger.errors import SrledgerError
from srledger.exploration.pictures import Thumbnails, save_aligned, save_samples
from srledger.exploration.resemblance import resemblances
from srledger.io import read_json, write_json
from srledger.layout import PUBLIC, RESTRICTED, Layout
from srledger.packs import Pack
from srledger.prior_config import tasks_of, why_no_prior
from srledger.progress import Progress

DESCRIPTORS = {
    "brightness": "mean luma, 0 to 255",
    "contrast": "standard deviation of luma",
    "sharpness": "log10(1 + variance of the Laplacian of luma)",
}
EXTREMES = {  # title -> (descriptor, from which end)
    "darkest": ("brightness", "low"),
    "brightest": ("brightness", "high"),
    "blurriest": ("sharpness", "low"),
    "sharpest": ("sharpness", "high"),
}
EXTREMES_SHOWN, PAIRS_SHOWN, SIZES_SHOWN = 5, 4, 8
HISTOGRAM_BINS = (8, 32)  # fewest and most
LANDMARK_BINS = 128  # per axis: a bin is one pixel of a 128 px face
EXACT_TEST_MAX = 1000  # images a side up to which the two-sample test is exact


def explore(params: Params, layout: Layout, folder: Path) -> int:
    """Write ``<dataset>.json`` and pictures of every dataset of the scale into ``folder``; returns how many.

    Raises:
        SrledgerError: see ``explore_dataset``.
    """
    datasets = [name for name, dataset in params.datasets.items() if dataset.source is not None]
    with Progress("explore", len(datasets)) as progress:
        for k, name in enumerate(datasets):
            of_dataset = [task.name for task in params.tasks.values() if task.active and task.dataset.name == name]
            tasks = {task: layout.packs(task) for task in of_dataset}
            priors = {task: _priors_of(params, task, layout) for task in tasks}
            write_json(folder / f"{name}.json", explore_dataset(name, layout.raw(name), tasks, folder, priors))
            progress.advance(k + 1, name)
    return len(datasets)


def _priors_of(params: Params, task: str, layout: Layout) -> dict[str, Path]:
    """The maps of every prior that this scale makes for a task: name -> their packs."""
    made = (name for name in params.priors if task in tasks_of(params, name) and why_no_prior(params, name) is None)
    return {name: layout.prior(name) / task for name in made}


def explore_dataset(
    name: str,
    raw: Path,
    tasks: Mapping[str, Path],
    folder: Path,
    priors: Mapping[str, Mapping[str, Path]] | None = None,
) -> dict[str, Any]:
    """The facts of one dataset; its pictures go to ``folder / PUBLIC / name`` (``RESTRICTED`` where the licence asks).

    Facts name a picture by its path below PUBLIC or RESTRICTED, whichever it went to. A fact that the set can't give
    (no landmarks, images of several sizes, an empty split) is None or absent.

    Args:
        raw: packs, ``manifest.csv``, ``dataset.json`` and ``descriptors.parquet`` of the set.
        tasks: task -> its packs.
        priors: task -> prior -> its maps, for the pictures of its samples.

    Raises:
        SrledgerError: ``descriptors.parquet`` is missing or is of other images; a pack is missing or torn.
    """
    record = dataset_record(raw)
    frame = read_images(raw)
    packs = {split: Pack(raw / split) for split in SPLITS if (frame["split"] == split).any()}
    place = folder / (PUBLIC if record["redistributable"] else RESTRICTED) / name
    thumbnails = Thumbnails(packs, place)
    return {
        "dataset": name,
        **{key: record[key] for key in ("source", "licence", "redistributable", "counts", "sha256")},
        "sizes": sizes_of(frame),
        "identities": identities_of(frame),
        "landmarks": landmarks_of(frame),
        "aligned": save_aligned(packs, place),
        "descriptors": {column: descriptor_of(frame, column) for column in DESCRIPTORS},
        "extremes": {title: _extremes(frame, *which, thumbnails) for title, which in EXTREMES.items()},
        "resemblance": _closest_pairs(frame, hashes_of(read_descriptors(raw / "descriptors.parquet")), thumbnails),
        "tasks": {
            task: _task(path, place / "tasks" / task, (priors or {}).get(task, {})) for task, path in tasks.items()
        },
    }


def read_images(raw: Path) -> pd.DataFrame:
    """Manifest and descriptors side by side, one row per image in manifest order.

    Raises:
        SrledgerError: ``descriptors.parquet`` is missing or is of other images.
    """
    manifest = pd.read_csv(
        raw / "manifest.csv", dtype={"id": str, "split": str, "identity": str}, keep_default_na=False,
        na_values={column: [""] for column in LANDMARK_COLUMNS},
    )  # fmt: skip
    path = raw / "descriptors.parquet"
    if not path.exists():
        raise SrledgerError("the descriptors of a dataset are missing", where=path, mend="dvc repro")
    descriptors = read_descriptors(path).select(["id", *DESCRIPTORS]).to_pandas()
    if descriptors["id"].tolist() != manifest["id"].tolist():
        raise SrledgerError(
            "descriptors and manifest name different images", where=path, found=f"{len(descriptors)} rows",
            expected=f"the {len(manifest)} images of manifest.csv, in its order", mend=f"rm -r {raw} && dvc repro",
        )  # fmt: skip
    return pd.concat([manifest, descriptors.drop(columns="id")], axis=1)


def sizes_of(frame: pd.DataFrame) -> dict[str, Any]:
    """How many sizes there are, the commonest by split, and the range of the shorter side (px) by split."""
    counts = frame.groupby(["width_px", "height_px", "split"]).size().unstack("split", fill_value=0)
    order = sorted(counts.index, key=lambda size: (-int(counts.loc[size].sum()), size))
    shorter = frame[["width_px", "height_px"]].min(axis=1).groupby(frame["split"])
    return {
        "distinct": len(counts),
        "commonest": [
            {"width_px": int(size[0]), "height_px": int(size[1]), "counts": _whole(counts.loc[size])}
            for size in order[:SIZES_SHOWN]
        ],
        "shorter_px": {
            split: {"smallest": int(sides.min()), "median": float(sides.median()), "largest": int(sides.max())}
            for split, sides in shorter
        },
    }


def identities_of(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Per split: how many identities, and how many of them have 1, 2, 3 ... images. None without identities."""
    known = frame[frame["identity"] != ""]
    if known.empty:
        return None
    splits = {}
    for split, rows in known.groupby("split"):
        images = rows["identity"].value_counts()
        splits[str(split)] = {"identities": len(images), "images_each": _whole(images.value_counts().sort_index())}
    return {"unnamed": len(frame) - len(known), "splits": splits}


def landmarks_of(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Where the landmarks lie, in shares of width and height (0 to 1): a 2-D histogram and its moments by split.

    ``cells`` lists the filled cells of a LANDMARK_BINS x LANDMARK_BINS grid as (column, row, images). None when no
    image has landmarks.
    """
    known = frame[frame[LANDMARK_COLUMNS].notna().all(axis=1)]
    if known.empty:
        return None
    points = known[LANDMARK_COLUMNS].to_numpy(dtype=float).reshape(len(known), -1, 2)
    points = (points + 0.5) / known[["width_px", "height_px"]].to_numpy()[:, None]  # pixel centres: whole numbers
    landmarks = {}
    for k, name in enumerate(LANDMARK_NAMES):
        cells = np.clip((points[:, k] * LANDMARK_BINS).astype(int), 0, LANDMARK_BINS - 1)
        filled, images = np.unique(cells, axis=0, return_counts=True)
        splits = {}
        for split in SPLITS:
            of_split = points[(known["split"] == split).to_numpy(), k]
            if len(of_split):
                splits[split] = {"mean": _rounded(of_split.mean(axis=0)), "deviation": _rounded(of_split.std(axis=0))}
        landmarks[name] = {"cells": np.column_stack([filled, images]).tolist(), "splits": splits}
    return {"images": len(known), "bins": LANDMARK_BINS, "points": landmarks}


def descriptor_of(frame: pd.DataFrame, column: str) -> dict[str, Any]:
    """A descriptor's histogram and moments by split over common bins, and the test of train against test.

    ``test`` is the two-sample Kolmogorov-Smirnov test: ``distance`` is the largest gap between the two cumulative
    distributions (0: equal, 1: no overlap). None where a side has no images.
    """
    from scipy.stats import ks_2samp

    values = frame[column].to_numpy(dtype=float)
    values = np.log10(1 + values) if column == "sharpness" else values
    by_split = {split: found for split in SPLITS if (found := values[(frame["split"] == split).to_numpy()]).size}
    fewest = min(map(len, by_split.values()))  # the coarsest split sets the bins: each of them should hold some
    edges = np.histogram_bin_edges(values, int(np.clip(2 * np.sqrt(fewest), *HISTOGRAM_BINS)))
    test = None
    if "train" in by_split and "test" in by_split:
        sides = by_split["train"], by_split["test"]
        method = "exact" if max(map(len, sides)) <= EXACT_TEST_MAX else "asymp"
        found = ks_2samp(*sides, method=method)
        test = {"distance": _six(found.statistic), "p": _six(found.pvalue), "n": [len(side) for side in sides]}
    return {
        "about": DESCRIPTORS[column],
        "edges": _rounded(edges),
        "splits": {
            split: {
                "n": len(of_split),
                "mean": _six(of_split.mean()),
                "deviation": _six(of_split.std()),
                "counts": np.histogram(of_split, edges)[0].tolist(),
            }
            for split, of_split in by_split.items()
        },
        "test": test,
    }


def _extremes(frame: pd.DataFrame, column: str, end: str, thumbnails: Thumbnails) -> list[dict[str, Any]]:
    ranked = frame.sort_values([column, "id"], ascending=[end == "low", True]).head(EXTREMES_SHOWN)
    return [
        {"id": row["id"], "split": row["split"], "value": _six(row[column]),
         "picture": thumbnails.save(row["split"], row["id"])}
        for _, row in ranked.iterrows()
    ]  # fmt: skip


def _closest_pairs(frame: pd.DataFrame, hashes: np.ndarray, thumbnails: Thumbnails) -> dict[str, Any]:
    splits = np.array([SPLITS.index(split) for split in frame["split"]])
    facts: dict[str, Any] = {}
    for kind, found in resemblances(hashes, splits, PAIRS_SHOWN).items():
        closest = []
        for bits, *pair in found.closest:
            images = [
                {"id": row["id"], "split": row["split"], "picture": thumbnails.save(row["split"], row["id"])}
                for row in (frame.iloc[k] for k in pair)
            ]
            closest.append({"bits": bits, "images": images})
        facts[kind] = {"pairs": found.pairs, "median_bits": found.median_bits, "near": found.near, "closest": closest}
    return {"hash_bits": HASH_BITS, **facts}


def _task(packs: Path, place: Path, priors: Mapping[str, Path]) -> dict[str, Any]:
    record = read_json(packs / "task.json")
    told = ("degradation", "config", "scale_factor", "hr_size_px", "jitter", "reference")
    about = {key: record[key] for key in told if key in record}
    return {**about, "samples": save_samples(packs, place, priors, reference=record.get("reference", True))}


def _whole(counts: pd.Series) -> dict[str, int]:
    return {str(key): int(count) for key, count in counts.items()}


def _six(value: float) -> float:
    return float(f"{value:.6g}")


def _rounded(values: np.ndarray) -> list[float]:
    return [_six(value) for value in values.tolist()]
