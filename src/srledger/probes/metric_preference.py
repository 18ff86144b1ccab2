"""Which of two rows do the metrics prefer, image by image? It stands in for YODA's user study and is none."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from srledger.probes import Look, Measured, Probe, ProbeUnavailable, Quantity, RowsConfig, Shown, ShownFile, ShownTable
from srledger.probes._preference import draw_sheet, majority, votes_of, wilson
from srledger.probes._tables import arrays, seeds_by_images, table_of
from srledger.probing.source import Source


class Config(RowsConfig):
    """Rows in pairs, the first against the second, the third against the fourth; and the voters."""

    images: int = Field(default=100_000, ge=1, description="the first test images")
    metrics: tuple[str, ...] = Field(
        default=("lpips_alex", "squeezenet_distance", "gmsd", "ssim_rgb"),
        description="voters: metrics of single images; those that a row lacks have no vote",
    )

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        if len(self.rows) % 2:
            raise ValueError("rows come in pairs")
        return self


class MetricPreference(Probe):
    """For each image every metric votes for the row that it finds better (mean over seeds), and the majority decides.

    No person was asked. For people there is a blinded sheet: sides and order are drawn, the key is a file of its own.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        names = [source.row_of(name) for name in self.config.rows]
        pairs = [pair for pair in zip(names[::2], names[1::2], strict=True) if all(pair)]
        if not pairs:
            raise ProbeUnavailable("no pair of rows has results on both sides")
        lines, missing = [], set()
        ids = source.ids(self.config.images)
        for first, second in pairs:
            infos = source.result(str(first))["metric_info"]
            values = [arrays(source.values(str(row))) for row in (first, second)]
            for metric in self.config.metrics:
                if not all(metric in columns for columns in values):
                    missing.add(metric)
                    continue
                means = [means_by_id(columns, metric) for columns in values]
                ours, theirs = (np.array([mean[image_id] for image_id in ids]) for mean in means)
                votes = votes_of(ours, theirs, infos[metric]["higher_is_better"])
                lines += [(first, second, metric, *vote) for vote in zip(ids, votes.tolist(), strict=True)]
        if not lines:
            raise ProbeUnavailable("none of the voting metrics was measured: " + ", ".join(sorted(missing)))
        types = {"first": str, "second": str, "metric": str, "image_id": str, "vote": int}
        return Measured(table_of(types, lines), {"pairs": pairs, "missing": sorted(missing)})

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        lines, files = [], []
        for first, second in found.facts["pairs"]:
            here = (columns["first"] == first) & (columns["second"] == second)
            metrics = list(dict.fromkeys(columns["metric"][here].tolist()))
            votes = np.array([columns["vote"][here & (columns["metric"] == metric)] for metric in metrics])
            published = look.printed(first, "preference")
            lines.append(_line(f"{first} or {second}", "majority", majority(votes), look.alpha, published))
            lines += [
                _line(f"{first} or {second}", metric, of_metric, look.alpha)
                for metric, of_metric in zip(metrics, votes, strict=True)
            ]
            files += _sheet(first, second, look)
        head = (
            "pair", "voter", "images", "first preferred", "second preferred", "undecided", "share of the first (%)",
            "people, published (%)",
        )  # fmt: skip
        notes = ["Share: of the images that were decided, with Wilson's interval."]
        if found.facts["missing"]:
            notes.append("Without a vote, not measured here: " + ", ".join(found.facts["missing"]) + ".")
        notes.append("Metrics of one kind share their errors: the interval is that of the count, not of the truth.")
        notes += look.printed_notes("faces_x8", "preference")
        table = ShownTable("preference", "Metric preference (no user study)", head, tuple(lines), tuple(notes))
        return Shown(tables=(table,), files=tuple(files))


def means_by_id(columns: dict[str, np.ndarray], metric: str) -> dict[str, float]:
    """Image -> mean over seeds of a metric."""
    everything = np.ones(len(columns["image_id"]), bool)
    means = seeds_by_images(columns, everything, metric).mean(axis=0)
    return dict(zip(dict.fromkeys(columns["image_id"].tolist()), means.tolist(), strict=True))


def _line(pair: str, voter: str, votes: np.ndarray, alpha: float, published: tuple = ()) -> tuple:
    wins, losses = int((votes > 0).sum()), int((votes < 0).sum())
    share = None
    if wins + losses:
        found = wilson(wins, wins + losses, alpha)
        share = Quantity(100 * found.value, 1, 100 * (found.low or 0), 100 * (found.high or 0))
    return pair, voter, len(votes), wins, losses, len(votes) - wins - losses, share, published


def _sheet(first: str, second: str, look: Look) -> list[ShownFile]:
    pictures = [one for one in look.pictures(look.task) if {first, second} <= set(one.restored)]
    if not pictures:
        return []
    sheet, key = draw_sheet(look.name, first, second, pictures)
    about = f"a blinded sheet for people: {first} or {second}, {len(pictures)} pictures"
    name = f"sheet_{first}_{second}"
    return [ShownFile(f"{name}.html", about, sheet), ShownFile(f"{name}_key.csv", "which side was which", key)]
