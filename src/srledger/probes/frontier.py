"""What a restored image costs, and how good it is: the frontier of samplers, their students and regressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from srledger.evaluation.statistics import Interval, set_interval
from srledger.io import canonical_json, sha256_json
from srledger.probes import (
    Look,
    Measured,
    Probe,
    ProbeUnavailable,
    Quantity,
    RowsConfig,
    Shown,
    ShownCell,
    ShownFigure,
    ShownLine,
    ShownTable,
)
from srledger.probes._drawing import GREY, legend_beside, style, svg, wide_plot
from srledger.probes._tables import arrays, seeds_by_images, table_of
from srledger.probing.source import Source

STEPS = "sampling_steps"
COSTS = {"evaluations": "network evaluations an image", "macs": "multiply-adds an image"}  # in facts -> on an axis
GIGA = 1e9


class Config(RowsConfig):
    """The rows, and the metrics; by default of all images and seeds that were measured."""

    images: int = Field(default=100_000, ge=1, description="the first test images, for metrics of single images")
    seeds: int = Field(default=100, ge=1, description="how many of a row's training seeds count, first ones first")
    metrics: tuple[str, ...] = Field(
        default=("psnr_rgb", "squeezenet_distance", "enc_lpips", "fed"),
        description="of single images or of sets; those that no row was measured by are passed over",
    )


class Frontier(Probe):
    """Quality against cost, and both are counted: network evaluations of an image (each branch of a guidance is one),
    and multiply-adds of restoring the first test image, codec and all. Seconds belong to a machine: `machine.csv`.

    Rows of the same weights and settings that differ in their sampling steps are joined by a line. A row whose cost is
    0 or can't be counted is a dotted line across. Not dominated: no other row has fewer or as many multiply-adds and a
    better mean; whether two means differ, the tables of results test.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        results = {row: source.result(row) for row in source.rows}
        infos = {
            name: result["metric_info"][name]
            for name in self.config.metrics
            for result in results.values()
            if name in result["image_metrics"] or name in result["set_metrics"]
        }
        if not infos:
            raise ProbeUnavailable("no row was measured by any of its metrics")
        of_images = [name for name, info in infos.items() if info["of"] == "image"]
        lines = []
        for row in source.rows:
            columns, seeds = arrays(source.values(row)), source.seeds(row, self.config.seeds)
            kept = np.isin(columns["seed"], seeds) & np.isin(columns["image_id"], source.ids(self.config.images))
            count = int(kept.sum())
            values = [columns[name][kept] if name in columns else np.full(count, np.nan) for name in of_images]
            ids = columns["image_id"][kept].tolist()
            measured = zip(columns["seed"][kept].tolist(), ids, *(each.tolist() for each in values), strict=True)
            lines += [(row, *line) for line in measured]
        facts = {
            "metrics": infos,
            "rows": {row: _facts(row, result) for row, result in results.items()},
            "sets": {
                name: {
                    row: [found["set_metrics"][name][str(seed)] for seed in source.seeds(row, self.config.seeds)]
                    for row, found in results.items()
                    if name in found["set_metrics"]
                }
                for name in infos
                if name not in of_images
            },
            "missing": [name for name in self.config.metrics if name not in infos],
        }
        types = {"row": str, "seed": int, "image_id": str, **dict.fromkeys(of_images, float)}
        return Measured(table_of(types, lines), facts)

    def show(self, found: Measured, look: Look) -> Shown:
        columns, infos, rows = arrays(found.table), found.facts["metrics"], found.facts["rows"]
        quality = {name: _quality(name, columns, found.facts, look) for name in infos}
        winners = {
            name: not_dominated({row: rows[row]["macs"] or 0 for row in means}, means, infos[name]["higher_is_better"])
            for name, of_rows in quality.items()
            if (means := {row: interval.value for row, interval in of_rows.items()})
        }
        lines: list[ShownLine] = []
        for row in look.rows:
            facts = rows[row]
            numbers: list[ShownCell] = [
                Quantity.of(quality[name][row], info["digits"]) if row in quality[name] else None
                for name, info in infos.items()
            ]
            best = ", ".join(name for name, front in winners.items() if row in front)
            macs = None if facts["macs"] is None else Quantity(facts["macs"] / GIGA, 3)
            lines.append((row, facts["teacher"] or "", facts["steps"], facts["evaluations"], macs, *numbers, best))
        units = (f"{name} ({info['unit']})" if info["unit"] else name for name, info in infos.items())
        head = (
            "row", "taught by", "sampling steps", "network evaluations", "multiply-adds (G)", *units,
            "not dominated in",
        )  # fmt: skip
        notes = [f"{name}: {info['protocol']}." for name, info in infos.items()]
        notes += [f"{name}: no row was measured by it" for name in found.facts["missing"]]
        table = ShownTable("rows", "What an image costs, and how good it is", head, tuple(lines), tuple(notes))
        figures = tuple(
            ShownFigure(f"{name}_by_{cost}", f"{name} against {words}: means and their intervals", drawn)
            for name, info in infos.items()
            for cost, words in COSTS.items()
            if (drawn := _draw(name, info, cost, rows, quality[name], look))
        )
        return Shown(figures=figures, tables=(table,))


def not_dominated(costs: Mapping[str, float], means: Mapping[str, float], higher_is_better: bool) -> list[str]:
    """The rows that no other row beats: none costs as much or less and is better, or less and as good."""
    sign = 1 if higher_is_better else -1

    def beats(other: str, row: str) -> bool:
        gain, saved = sign * (means[other] - means[row]), costs[row] - costs[other]
        return gain >= 0 and saved >= 0 and (gain > 0 or saved > 0)

    return [row for row in means if not any(beats(other, row) for other in means)]


def curves_of(facts: Mapping[str, Mapping[str, Any]], rows: Sequence[str]) -> list[list[str]]:
    """Rows of one curve together, from few evaluations to many; a row alone is a curve of one point."""
    curves: dict[str, list[str]] = {}
    for row in rows:
        curves.setdefault(facts[row]["curve"], []).append(row)
    return [sorted(curve, key=lambda row: facts[row]["evaluations"]) for curve in curves.values()]


def _facts(row: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """What a row costs, who taught it, and which curve it is on: that of its weights and other settings."""
    from srledger.plugins import plugin_class, plugin_config

    config = plugin_config("methods", result["method"]).model_validate_json(canonical_json(result["config"]))
    rest = {key: value for key, value in result["config"].items() if key != STEPS}
    return {
        "evaluations": plugin_class("methods", result["method"]).network_evaluations(config),
        "macs": result["macs"],
        "steps": result["config"].get(STEPS),
        "teacher": result["teacher"],
        "curve": sha256_json([result["weights_of"] or row, rest]),
    }


def _quality(
    name: str, columns: Mapping[str, np.ndarray], facts: Mapping[str, Any], look: Look
) -> dict[str, Interval]:  # fmt: skip
    """Row -> mean with its interval, of the rows that have one."""
    found = {}
    for row in look.rows:
        if name in columns:
            values = seeds_by_images(columns, columns["row"] == row, name)
            if np.isfinite(values).all(axis=0).any():
                found[row] = look.mean(values, row)
        elif of_seeds := facts["sets"][name].get(row):
            numbers, errors = ([one[key] for one in of_seeds] for key in ("value", "standard_error"))
            found[row] = set_interval(numbers, errors, min(one["n"] for one in of_seeds), look.alpha)
    return found


def _draw(
    name: str,
    info: Mapping[str, Any],
    cost: str,
    facts: Mapping[str, Mapping[str, Any]],
    quality: Mapping[str, Interval],
    look: Look,
) -> str | None:
    """The figure, on a logarithmic axis of cost; None where no row has both."""
    priced = {row: facts[row][cost] for row in quality if facts[row][cost]}
    if not priced:
        return None
    with style():
        figure, axes = wide_plot()
        for curve in curves_of(facts, [row for row in look.rows if row in priced]):
            colour = look.colours[curve[0]]
            x, y = [priced[row] for row in curve], [quality[row].value for row in curve]
            axes.plot(x, y, "-o", color=colour, markersize=4, linewidth=1.4, label=_label(curve, facts))
            for at, interval in zip(x, (quality[row] for row in curve), strict=True):
                if interval.low is not None and interval.high is not None:
                    axes.plot([at, at], [interval.low, interval.high], color=colour, linewidth=0.8)
        for row in quality:
            if row not in priced:
                axes.axhline(quality[row].value, color=look.colours[row], linewidth=1, linestyle=":", label=row)
        axes.set_xscale("log")
        axes.set_xlabel(COSTS[cost], color=GREY)
        better = "higher is better" if info["higher_is_better"] else "lower is better"
        axes.set_ylabel(f"{name} ({better})")
        legend_beside(axes)
        return svg(figure, look, f"{name}_by_{cost}")


def _label(curve: Sequence[str], facts: Mapping[str, Mapping[str, Any]]) -> str:
    """A row's name; of several, the first one's and their steps."""
    if len(curve) == 1:
        return curve[0]
    steps = [str(facts[row]["steps"]) for row in curve]
    return f"{curve[0].partition('__')[0]}, {', '.join(steps)} steps"
