"""The data page: what the datasets and tasks of a report look like, from the facts that its rows folder holds.

A picture is shown when its file is there: ``collect`` takes restricted ones for private reports alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from srledger.data import LANDMARK_NAMES
from srledger.evaluation.statistics import holm
from srledger.io import read_json
from srledger.reporting.config import ReportConfig
from srledger.reporting.data_figures import SPLIT_COLOURS, draw_distributions
from srledger.reporting.figures import PALETTE
from srledger.reporting.html import data_address, inline_svg, render_page

EXPLORATION, PICTURES = "exploration", "pictures"
LEVELS = 4  # shades of a landmark's density


@dataclasses.dataclass(frozen=True)
class Shift:
    """Train against test in one descriptor: the test's ``distance`` and p, after Holm over the dataset's descriptors.

    ``distance``, ``p`` and ``differs`` are None where a side has no images.
    """

    descriptor: str
    about: str
    splits: Mapping[str, Mapping[str, float]]
    distance: float | None
    p: float | None
    differs: bool | None


@dataclasses.dataclass(frozen=True)
class Density:
    """Where one landmark lies: SVG paths over the grid, each with its opacity, rare places first."""

    landmark: str
    colour: str
    paths: tuple[tuple[float, str], ...]


@dataclasses.dataclass(frozen=True)
class DatasetView:
    """What the page shows of a dataset: the facts as ``explore`` wrote them, and what is drawn from them."""

    facts: Mapping[str, Any]
    has_pictures: bool
    distributions: Markup
    shifts: tuple[Shift, ...]
    landmarks: tuple[Density, ...]


def render_data_page(rows_dir: Path, config: ReportConfig) -> str:
    """The page as text, from ``rows_dir / EXPLORATION`` alone; it says so when nothing is there (rows of old)."""
    folder = rows_dir / EXPLORATION
    views = [_view(read_json(path), folder, config.alpha) for path in sorted(folder.glob("*.json"))]

    def picture(path: str) -> str:
        file = folder / PICTURES / path
        return data_address(file) if file.exists() else ""

    return render_page(
        "data.html.j2", "data.html",
        scale=read_json(rows_dir / "results.json")["scale"], views=views, picture=picture, alpha=config.alpha,
        split_colours=SPLIT_COLOURS,
    )  # fmt: skip


def _view(facts: Mapping[str, Any], folder: Path, alpha: float) -> DatasetView:
    name = facts["dataset"]
    svg = inline_svg(draw_distributions(facts), f"Distributions of {name} by split")
    return DatasetView(
        facts, (folder / PICTURES / name).is_dir(), svg, shifts_of(facts["descriptors"], alpha), _densities(facts)
    )


def shifts_of(descriptors: Mapping[str, Mapping[str, Any]], alpha: float) -> tuple[Shift, ...]:
    """One line per descriptor, in the order that ``descriptors`` has."""
    tested = {name: facts["test"] for name, facts in descriptors.items() if facts["test"]}
    corrected = dict(zip(tested, holm([test["p"] for test in tested.values()]), strict=True))
    shifts = []
    for name, facts in descriptors.items():
        p = corrected.get(name)
        distance = tested[name]["distance"] if name in tested else None
        differs = None if p is None else p <= alpha
        shifts.append(Shift(name, facts["about"], facts["splits"], distance, p, differs))
    return tuple(shifts)


def _densities(facts: Mapping[str, Any]) -> tuple[Density, ...]:
    """Shades of equal steps of the logarithm, so that a single stray landmark can be seen beside a thousand."""
    densities = []
    points = facts["landmarks"]["points"] if facts["landmarks"] else {}
    for k, landmark in enumerate(name for name in LANDMARK_NAMES if name in points):
        cells = np.array(points[landmark]["cells"])
        shares = np.log1p(cells[:, 2]) / np.log1p(cells[:, 2].max())
        levels = np.clip(np.ceil(LEVELS * shares), 1, LEVELS).astype(int)
        paths = []
        for level in range(1, LEVELS + 1):
            path = "".join(f"M{x} {y}h1v1h-1z" for x, y, _ in cells[levels == level].tolist())
            if path:
                paths.append((level / LEVELS, path))
        densities.append(Density(landmark, PALETTE[k], tuple(paths)))
    return tuple(densities)
