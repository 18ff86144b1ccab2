"""What gate ``priors`` asks of tokens: finite in float16, one grid per size of image, cells and images that differ."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from srledger.gates import Gate, between, equal, unique

LEAST_SHARE = 1e-3  # of the largest value; cells that differ by less are one
MOST_DIFFERENCE = 0.01  # a share again: tokens have no range of their own


def token_line(
    image_id: str, split: str, values: np.ndarray, image_shape: tuple[int, ...] | None, again: np.ndarray | None
) -> dict[str, Any]:
    """The tokens of one image, ``h x w x D``, in numbers.

    ``again``: the same made anew, for images that are drawn.
    """
    tokens = np.asarray(values, np.float32)
    cells = tokens.reshape(-1, tokens.shape[-1])
    finite = np.isfinite(cells)
    largest = float(np.abs(cells[finite]).max(initial=0))
    spread = float(np.ptp(np.where(finite, cells, 0), axis=0 if len(cells) > 1 else 1).max())
    return {
        "id": image_id, "split": split, "not_finite": int((~finite).sum()), "largest": largest,
        "share": spread / largest if largest else 0.0, "difference": np.nan if again is None else _share(tokens, again),
        "shape": tokens.shape, "image_shape": image_shape, "hash": hashlib.sha256(tokens.tobytes()).hexdigest(),
    }  # fmt: skip


def token_gates(subject: str, lines: Sequence[Mapping[str, Any]]) -> Iterator[Gate]:
    """The gates over the tokens of all images of a task, from their ``token_line``s."""
    told = ("id", "split", "not_finite", "largest", "share", "difference")
    frame = pd.DataFrame([{key: line[key] for key in told} for line in lines])
    yield Gate("priors", f"{subject}/tokens", frame.assign(sized=_sized(lines)), TOKEN_CHECKS)
    if len(lines) > 1:
        whole = {"id": subject, "distinct": len({line["hash"] for line in lines})}
        yield Gate("priors", f"{subject}/whole", pd.DataFrame([whole]), WHOLE_CHECKS)


def _share(tokens: np.ndarray, again: np.ndarray) -> float:
    """The largest difference as a share of the largest value; 1 for two grids or a value that is no number."""
    if tokens.shape != again.shape:
        return 1.0
    difference = np.abs(tokens - again.astype(np.float32))
    if not np.isfinite(difference).all():
        return 1.0
    return float(difference.max() / max(float(np.abs(tokens).max()), np.finfo(np.float32).tiny))


def _sized(lines: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each grid is the commonest of images of its size, of the commonest width, and no finer than pixels."""
    ((width, _),) = Counter(line["shape"][-1] for line in lines).most_common(1)
    grids: dict[Any, Counter[Any]] = defaultdict(Counter)
    for line in lines:
        grids[line["image_shape"]][line["shape"]] += 1
    return [
        line["image_shape"] is not None
        and len(line["shape"]) == 3
        and line["shape"] == grids[line["image_shape"]].most_common(1)[0][0]
        and line["shape"][2] == width >= 2
        and all(cells <= px for cells, px in zip(line["shape"][:2], line["image_shape"][:2], strict=True))
        for line in lines
    ]


PLUGIN = "correct the prior's map_of, or the encoder that it reads"
TOKEN_CHECKS = (
    unique("id", "every image has tokens once", "tokens go by the id of their image"),
    between(
        "difference",
        None,
        MOST_DIFFERENCE,
        "drawn tokens come out the same when they are made again (difference as a share of the largest value)",
        "tokens of another image are noise",
        mend=PLUGIN,
    ),
    equal(
        "not_finite",
        0,
        "no value is NaN, infinite or beyond float16 (65,504)",
        "one such value spreads through attention into every token",
        mend="another block of the encoder (`token_block`), or scale its tokens down; " + PLUGIN,
    ),
    equal(
        "sized",
        True,
        "images of one size have one grid, no finer than their pixels, and all tokens one width",
        "a batch could not hold them, or they would stand for other places",
        mend=PLUGIN,
    ),
    between(
        "share",
        LEAST_SHARE,
        None,
        "cells of an image differ (as a share of the largest value)",
        "tokens that are the same everywhere say nothing of places: the row would be near its own control",
        mend=PLUGIN,
    ),
)
WHOLE_CHECKS = (
    between(
        "distinct",
        2,
        None,
        "images differ in their tokens",
        "tokens that are the same for all images make the row its own control",
        mend=PLUGIN,
    ),
)
