"""What the tests of probes share: a ``Source`` of made-up images, and a ``Look`` without a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from srledger.evaluation.measure import Panel
from srledger.layout import Layout
from srledger.probes import Look
from srledger.probing.source import Images, Source
from srledger.reporting.figures import colours_of
from srledger.reporting.published import Published


class MadeUp(Source):
    """Images, maps and values as a test gives them, in place of packs and weights. Metrics are the real ones."""

    def __init__(
        self,
        hr: Sequence[np.ndarray],
        restored: Mapping[str, Sequence[np.ndarray]],
        *,
        maps: Mapping[str, Sequence[np.ndarray]] | None = None,
        lr: Sequence[np.ndarray] = (),
        values: Mapping[str, pa.Table] | None = None,
        infos: Mapping[str, Any] | None = None,
    ) -> None:
        self.task, self.rows, self.say = "faces", tuple(restored), lambda words: None
        self.priors = tuple(maps or ())
        self._hr, self._lr, self._images, self._maps = hr, lr, restored, maps or {}
        self._values, self._infos = values or {}, infos or {}
        self._evaluations = {row: row for row in restored}

    def ids(self, count: int) -> list[str]:
        return [f"img_{k}" for k in range(len(self._hr))][:count]

    def hr(self, count: int) -> Images:
        return list(self._hr)[:count]

    def lr(self, count: int) -> Images:
        return list(self._lr)[:count]

    def maps(self, prior: str, count: int) -> list[np.ndarray]:
        return list(self._maps[prior])[:count]

    def seeds(self, row: str, count: int = 1) -> list[int]:
        return [0]

    def result(self, row: str) -> dict[str, Any]:
        return {"metric_info": self._infos, "n_test": len(self._hr)}

    def values(self, row: str) -> pa.Table:
        return self._values[row]

    def panel(self, metrics: Sequence[str]) -> Panel:
        return Panel(metrics, (), Layout("test"))

    def restored(self, row: str, seed: int, count: int, sample: int = 0) -> Images:
        images = self._images[row]
        return list(images(sample) if callable(images) else images)[:count]


def look(
    rows: Sequence[str] = (), published: Mapping[tuple[str, str, str], Sequence[Published]] | None = None, **more: Any
) -> Look:
    """What a report would hand to ``show``."""
    values: dict[str, Any] = {"pictures": lambda task: [], "resamples": 200, **more}
    return Look("probe", "faces", tuple(rows), {row: [0] for row in rows}, colours_of(rows), published or {}, **values)


def flat(value: int, side_px: int = 16) -> np.ndarray:
    """An image of one grey, uint8."""
    return np.full((side_px, side_px, 3), value, np.uint8)


def noise(seed: int, side_px: int = 16) -> np.ndarray:
    """A random image, uint8, far from black and white."""
    return np.random.default_rng(seed).integers(60, 190, (side_px, side_px, 3)).astype(np.uint8)
