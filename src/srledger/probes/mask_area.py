"""How the masks of attention-guided diffusion grow, step by step, per prior (YODA, Figure 3, right)."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.evaluation.statistics import Interval
from srledger.probes import Look, Measured, Probe, Quantity, Shown, ShownFigure, ShownTable
from srledger.probes._drawing import GREY, colours, legend_beside, style, svg, wide_plot
from srledger.probes._masks import MaskConfig, area_by_step
from srledger.probes._tables import arrays, names_in, table_of
from srledger.probing.source import Source

POINTS = 101  # of a committed curve; areas between two points lie between theirs


class Config(MaskConfig):
    """The priors, the mask rule, and where the table looks."""

    looked_at: tuple[float, ...] = Field(default=(0.1, 0.4, 0.7), description="shares of the steps that are over")


class MaskArea(Probe):
    """Share of the image inside the mask against the step: mean and standard deviation over images.

    The inverse of the mean area over all steps is the greatest factor that a sampler could save by leaving out
    what lies outside the mask.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        steps = self.config.steps
        shown = np.unique(np.round(np.linspace(1, steps, min(steps, POINTS))).astype(int))
        lines: list[tuple[object, ...]] = []
        saving: dict[str, list[float]] = {}
        for prior in source.priors:
            areas = np.array(
                [area_by_step(attention, self.config) for attention in source.maps(prior, self.config.images)]
            )
            saving[prior] = [float(f"{area:.7g}") for area in areas.mean(axis=1)]
            lines += [
                (prior, int(step), areas[:, step - 1].mean(), areas[:, step - 1].std(), *_ends(areas[:, step - 1]))
                for step in shown
            ]
        types = {"prior": str, "step": int, "mean": float, "deviation": float, "low": float, "high": float}
        return Measured(table_of(types, lines), {"mean_areas": saving})

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        lines = []
        for prior in names_in(columns, "prior"):
            here = columns["prior"] == prior
            area = look.mean(np.array(found.facts["mean_areas"][prior])[None], prior)
            at = [
                Quantity(float(np.interp(share * self.config.steps, columns["step"][here], columns["mean"][here])))
                for share in self.config.looked_at
            ]
            saving = _inverse(area)
            lines.append((prior, *at, Quantity.of(area), saving))
        head = (
            "prior", *(f"area after {share:.0%} of the steps" for share in self.config.looked_at), "mean area",
            "ideal saving (times)",
        )  # fmt: skip
        table = ShownTable(
            "area", "Area of the mask, and what it could save at best", ("prior", *head[1:]), tuple(lines)
        )
        figure = ShownFigure(
            "area", "Share of the image inside the mask: mean, and one standard deviation over images",
            self._draw(columns, look),
        )  # fmt: skip
        return Shown((figure,), (table,), notes=(self.config.words(), *look.printed_notes("mask_area")))

    def _draw(self, columns: dict[str, np.ndarray], look: Look) -> str:
        colour = colours(names_in(columns, "prior"))
        with style():
            figure, axes = wide_plot()
            for prior in colour:
                here = columns["prior"] == prior
                step, mean, deviation = (columns[name][here] for name in ("step", "mean", "deviation"))
                low, high = np.clip(mean - deviation, 0, 1), np.clip(mean + deviation, 0, 1)
                axes.fill_between(step, low, high, color=colour[prior], alpha=0.18, linewidth=0, step="pre")
                axes.step(step, mean, where="pre", color=colour[prior], linewidth=1.6, label=prior)
            entry = (1 - self.config.lower_bound) * self.config.steps
            axes.axvline(entry, color=GREY, linewidth=0.8, linestyle=":")
            axes.set_ylim(0, 1.02)
            axes.set_xlim(0, self.config.steps)
            axes.set_xlabel(f"reverse step (of {self.config.steps}); dotted: every pixel is in")
            axes.set_ylabel("share of the image")
            legend_beside(axes)
            return svg(figure, look, "area")


def _inverse(area: Interval) -> Quantity | None:
    """1 / area with its interval; None where nothing is ever inside."""
    if not area.value:
        return None
    return Quantity(1 / area.value, 2, 1 / area.high if area.high else None, 1 / area.low if area.low else None)


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())
