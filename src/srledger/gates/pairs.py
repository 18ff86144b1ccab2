"""Gate ``pairs``: every LR image is the degradation of its own HR image.

All pairs of val and test are made again and compared bit for bit; of train a drawn sample, and every pair that is less
alike than its neighbours. An LR file that the set brought can't be made again: it must resemble its HR image more than
any other, and best as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from srledger.config import Params
from srledger.data import SPLITS
from srledger.datasets import ManifestRow, read_manifest
from srledger.degrade import Degrader
from srledger.descriptors import luma_of, standardise, thumbnail
from srledger.gates import Gate, between, empty, equal, unique
from srledger.gates.given_lr import colour_difference, misfit
from srledger.io import sha256_file, sha256_json
from srledger.layout import Layout
from srledger.packs import Pack
from srledger.seeds import numpy_generator
from srledger.settings import Task

DRAWN_OF_TRAIN = 512
LEAST_ALIKE = 64
THUMBNAIL_PX = 8
LIKENESS_SLACK = 0.02  # two pictures of one scene may be as like as a picture and its own LR image
LEAST_LIKENESS = 0.5
MOST_COLOUR = 16  # grey levels
CHUNK_IMAGES = 1024


def subjects(params: Params, layout: Layout) -> Mapping[str, str | None]:
    """The tasks."""
    return {
        name: task.why_inactive and f"scale {params.scale} does without {task.why_inactive}"
        for name, task in params.tasks.items()
    }


def fingerprint(subject: str, layout: Layout) -> str:
    """Hash over the indices of the task's packs, which hold the hash of every pack."""
    return sha256_json([sha256_file(path) for path in sorted(layout.packs(subject).glob("*_[hl]r.json"))])


def gates_of(subject: str, params: Params, layout: Layout) -> Iterator[Gate]:
    """One gate over the pairs, one over the splits."""
    task, raw, packs = params.tasks[subject], layout.raw(params.tasks[subject].dataset.name), layout.packs(subject)
    manifest, degrader = list(read_manifest(raw)), Degrader(task, raw)
    lines, counts = [], []
    for split in SPLITS:
        hrs, lrs = Pack(packs / f"{split}_hr"), Pack(packs / f"{split}_lr")
        hrs.verify()
        lrs.verify()
        rows = [row for row in manifest if row.split == split]
        manifested = [row.id for row in rows]
        counts.append(
            {
                "id": split,
                "pairs": len(hrs),
                "missing": len(manifested) - len(hrs),
                "same_ids": manifested == hrs.ids == lrs.ids,
            }
        )
        if manifested == hrs.ids == lrs.ids and len(hrs):
            lines.append(_pairs(task, rows, degrader, hrs, lrs))
    yield Gate("pairs", f"{subject}/splits", pd.DataFrame(counts), SPLIT_CHECKS)
    if lines:
        checks = GIVEN_CHECKS if task.degradation == "given_lr" else DERIVED_CHECKS
        yield Gate("pairs", f"{subject}/pairs", pd.concat(lines, ignore_index=True), checks)


def _pairs(task: Task, rows: Sequence[ManifestRow], degrader: Degrader, hrs: Pack, lrs: Pack) -> pd.DataFrame:
    factor, given = task.scale_factor, task.degradation == "given_lr"
    frame = likeness_of(hrs, lrs, hrs.ids)
    frame["excess_rows"] = [hr[0] - lr[0] * factor for hr, lr in zip(hrs.shapes, lrs.shapes, strict=True)]
    frame["excess_columns"] = [hr[1] - lr[1] * factor for hr, lr in zip(hrs.shapes, lrs.shapes, strict=True)]
    frame["max_abs_difference"] = np.nan
    if given:
        frame["misfit"] = [misfit(hr, lr) for hr, lr in zip(hrs, lrs, strict=True)]
        frame["colour_difference"] = [colour_difference(hr, lr) for hr, lr in zip(hrs, lrs, strict=True)]
        return frame
    for k in _to_make_again(task, rows[0].split, frame):
        again = degrader.pair(rows[k])
        frame.loc[k, "max_abs_difference"] = max(_difference(again.hr, hrs[k]), _difference(again.lr, lrs[k]))
    return frame.assign(resembles_more=None)  # those that resemble another more were made again


def likeness_of(hrs: Sequence[np.ndarray], lrs: Sequence[np.ndarray], ids: Sequence[str]) -> pd.DataFrame:
    """How much each LR image looks like its HR image, and which other HR image it resembles more.

    Returns:
        a line per pair: ``id``, ``likeness`` (correlation of luma thumbnails), ``resembles_more`` (an id or None),
        ``lr_range`` (greatest less least value).
    """
    large, small = _thumbnails(hrs), _thumbnails(lrs)
    nearest, likeness = _nearest(small, large), (large * small).sum(axis=1)
    lr_range = np.array([float(np.ptp(lr)) for lr in lrs])
    other = (likeness < (small * large[nearest]).sum(axis=1) - LIKENESS_SLACK) & (lr_range > 0)
    resembles_more = [ids[m] if wrong else None for m, wrong in zip(nearest, other, strict=True)]
    return pd.DataFrame(
        {
            "id": list(ids),
            "likeness": likeness,
            "resembles_more": pd.Series(resembles_more, dtype=object),
            "lr_range": lr_range,
        }
    )


def _to_make_again(task: Task, split: str, frame: pd.DataFrame) -> list[int]:
    n = len(frame)
    if split != "train" or n <= DRAWN_OF_TRAIN:
        return list(range(n))
    drawn = numpy_generator("gate pairs", task.name, split).choice(n, DRAWN_OF_TRAIN, replace=False)
    least_alike = np.argsort(frame["likeness"].to_numpy())[:LEAST_ALIKE]
    return sorted({*drawn.tolist(), *least_alike.tolist(), *np.flatnonzero(frame["resembles_more"].notna()).tolist()})


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference of two uint8 images; 256 for two sizes."""
    if first.shape != second.shape:
        return 256.0
    return float(np.abs(first.astype(np.int16) - second.astype(np.int16)).max())


def _thumbnails(images: Sequence[np.ndarray]) -> np.ndarray:
    """float32 ``N x 64``: luma thumbnails whose products are correlations."""
    return standardise(np.stack([thumbnail(luma_of(np.asarray(image)), THUMBNAIL_PX) for image in images]))


def _nearest(small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """int64 ``N``: for each of ``small`` the position in ``large`` that it resembles most."""
    return np.concatenate(
        [(small[k : k + CHUNK_IMAGES] @ large.T).argmax(axis=1) for k in range(0, len(small), CHUNK_IMAGES)]
    )


MIXED = "a network would learn, or be measured on, pairs that belong to different pictures"
UNEQUAL = "SR and HR could not be compared"
BLANK = "a blank LR image teaches nothing"
ALIKE = f"LR and HR thumbnails correlate by {LEAST_LIKENESS} or more"
LR_FOLDER = "compare the LR files with the HR files of the same names"
AGAIN = (
    "dvc repro --force degrade@<task>; if it comes back, the degradation draws from something else than its generator"
)
PAIR_CHECKS = (
    unique("id", "every pair stands once", "a doubled pair weighs double"),
    equal("excess_rows", 0, "HR height is LR height times the scale factor", UNEQUAL, mend=LR_FOLDER),
    equal("excess_columns", 0, "HR width is LR width times the scale factor", UNEQUAL, mend=LR_FOLDER),
)
DERIVED_CHECKS = (
    *PAIR_CHECKS,
    equal("max_abs_difference", 0, "HR and LR come out the same, bit for bit, when made again", MIXED, mend=AGAIN),
    between("likeness", LEAST_LIKENESS, None, ALIKE, MIXED, severity="note"),
    between("lr_range", 1, None, "no LR image is blank", BLANK, severity="note"),
)
GIVEN_CHECKS = (
    *PAIR_CHECKS,
    empty("resembles_more", "no LR file resembles another HR image more than its own", MIXED, mend=LR_FOLDER),
    between("likeness", LEAST_LIKENESS, None, ALIKE, MIXED, mend=LR_FOLDER),
    between("lr_range", 1, None, "no LR file is blank", BLANK, mend=LR_FOLDER),
    empty("misfit", "no LR file would fit better mirrored, shifted, cut or recoloured", MIXED, mend=LR_FOLDER),
    between("colour_difference", None, MOST_COLOUR, "LR and HR have the same mean colour", MIXED, mend=LR_FOLDER),
)
SPLIT_CHECKS = (
    equal(
        "missing",
        0,
        "every image of the manifest has its pair",
        "images that go missing change every mean in silence",
        mend=AGAIN,
    ),
    equal("same_ids", True, "manifest, HR and LR packs name the same images in the same order", MIXED, mend=AGAIN),
)
