"""Is a method better where attention is low, or where it is high? (YODA, Figure 5)"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.probes import (
    Look,
    Measured,
    Probe,
    ProbeUnavailable,
    Quantity,
    RowsConfig,
    Shown,
    ShownFigure,
    ShownTable,
)
from srledger.probes._drawing import legend_beside, style, svg, wide_plot
from srledger.probes._tables import arrays, table_of
from srledger.probing.source import Source, measure_images

ERROR = "error"  # mean absolute error inside the bin: it needs no network, and has the bin's area divided out
DEGREE = 3


class Config(RowsConfig):
    """The rows, the prior whose maps are cut into bins, and the distances that may be used."""

    images: int = Field(default=50, ge=1, description="the first test images; every bin of each is an image of its own")
    prior: str
    width: float = Field(default=0.05, gt=0, le=1, description="of a bin; the paper has 0.01, on many large images")
    distances: tuple[str, ...] = Field(
        default=("lpips_alex", "squeezenet_distance"), description="the first that can be had is measured"
    )
    least_images: int = Field(default=3, ge=1, description="a bin that fewer images have is not shown")


class AttentionBins(Probe):
    """SR and HR are both blackened outside the pixels of one attention bin and compared, bin by bin.

    Blackening draws the same edges into both images and the distance is a mean over the whole frame, so that it grows
    with the bin's area. The second figure divides by that area; the third is the mean absolute error of the bin's own
    pixels.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        count = self.config.images
        panel = source.panel(self.config.distances)
        distance = next((name for name in self.config.distances if name in panel.metrics), None)
        panel.metrics = {name: metric for name, metric in panel.metrics.items() if name == distance}
        maps, hr = source.maps(self.config.prior, count), source.hr(count)
        bins = [bins_of(attention, self.config.width) for attention in maps]
        present = [np.unique(numbers).tolist() for numbers in bins]
        lines = []
        for row, seed in source.trained(self.config.seeds):
            sr = source.restored(row, seed, count)
            for k, image_id in enumerate(source.ids(count)):
                source.say(f"{row}, seed {seed}, image {k + 1} of {len(hr)}")
                masks = [bins[k] == number for number in present[k]]
                values = [np.nan] * len(masks)
                if distance:
                    pairs = [(only(sr[k], mask), only(hr[k], mask)) for mask in masks]
                    found = measure_images(panel, [a for a, _ in pairs], [b for _, b in pairs])
                    values = found.get(distance, values)
                for number, mask, value in zip(present[k], masks, values, strict=True):
                    error = np.abs(sr[k][mask].astype(np.float64) - hr[k][mask]).mean()
                    lines.append((row, seed, image_id, number, mask.mean(), value, error))
        if not lines:
            raise ProbeUnavailable("there are no images")
        types = {"row": str, "seed": int, "image_id": str, "bin": int, "area": float, "distance": float, ERROR: float}
        return Measured(table_of(types, lines), {"distance": distance, "unavailable": dict(panel.unavailable)})

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        columns["by_area"], columns["one"] = columns["distance"], np.ones(len(columns["area"]))
        distance = found.facts["distance"]
        shown = {ERROR: "mean absolute error in the bin (grey levels)"}
        if distance and np.isfinite(columns["distance"]).any():
            shown = {
                "distance": f"{distance}, black outside the bin", "by_area": f"{distance} / share of the frame", **shown
            }  # fmt: skip
        curves = {name: {row: self._curve(columns, row, name) for row in look.rows} for name in shown}
        reading = "points are means over images, lines cubic fits"
        figures = tuple(
            ShownFigure(name, f"{words}: {reading}", self._draw(name, distance, curves[name], look))
            for name, words in shown.items()
        )
        tables = tuple(self._table(name, words, columns, look) for name, words in shown.items())
        notes = [f"Attention: prior {self.config.prior}, bins of width {self.config.width:g}."]
        notes += [f"{name}: unavailable: {why}" for name, why in found.facts["unavailable"].items()]
        return Shown(figures=figures, tables=tables, notes=(*notes, *look.printed_notes("lpips_by_attention")))

    def _curve(self, columns: dict[str, np.ndarray], row: str, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(centres, means) of the bins that enough images have."""
        here = (columns["row"] == row) & np.isfinite(columns[name])
        numbers, inverse, counts = np.unique(columns["bin"][here], return_inverse=True, return_counts=True)
        seeds = len(set(columns["seed"][here].tolist())) or 1
        means = ratios(inverse, columns[name][here], columns[_over(name)][here])
        kept = counts >= self.config.least_images * seeds
        return (numbers[kept] + 0.5) * self.config.width, means[kept]

    def _draw(
        self, name: str, distance: str | None, curves: dict[str, tuple[np.ndarray, np.ndarray]], look: Look
    ) -> str:  # fmt: skip
        with style():
            figure, axes = wide_plot()
            for row, (centres, means) in curves.items():
                axes.plot(centres, means, ".", color=look.colours[row], markersize=5, alpha=0.7)
                if len(centres) > DEGREE:
                    fine = np.linspace(centres[0], centres[-1], 100)
                    axes.plot(fine, cubic(centres, means)(fine), color=look.colours[row], linewidth=1.6, label=row)
                else:
                    axes.plot(centres, means, color=look.colours[row], linewidth=1, label=row)
            axes.set_xlabel(f"attention ({self.config.prior})")
            labels = {"distance": distance, "by_area": f"{distance} / area", ERROR: "grey levels"}
            axes.set_ylabel(str(labels[name]))
            legend_beside(axes)
            return svg(figure, look, name)

    def _table(self, name: str, words: str, columns: dict[str, np.ndarray], look: Look) -> ShownTable:
        """Low, middle and high attention: the bins in three parts, image by image."""
        last = columns["bin"].max()
        third = np.minimum(3 * columns["bin"] // (last + 1), 2)
        lines = []
        for row in look.rows:
            cells = []
            for part in range(3):
                here = (columns["row"] == row) & (third == part) & np.isfinite(columns[name])
                _, image = np.unique(columns["image_id"][here], return_inverse=True)
                means = ratios(image, columns[name][here], columns[_over(name)][here])
                cells.append(
                    Quantity.of(look.mean(means[None], row), 4 if name != ERROR else 2) if len(means) else None
                )
            lines.append((row, *cells))
        edges = [f"{k * (last + 1) / 3 * self.config.width:.2f}" for k in range(4)]
        head = ("row", *(f"attention {edges[k]} to {edges[k + 1]}" for k in range(3)))
        return ShownTable(name, words[:1].upper() + words[1:], head, tuple(lines))


def bins_of(attention: np.ndarray, width: float) -> np.ndarray:
    """The number of each pixel's bin, int64; attention 1 belongs to the last one."""
    count = int(np.ceil(1 / width - 1e-9))
    return np.minimum(np.floor(attention / width + 1e-9), count - 1).astype(np.int64)


def only(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """``image`` with black outside ``mask``."""
    return np.where(mask[..., None], image, np.uint8(0))


def cubic(x: np.ndarray, y: np.ndarray) -> np.polynomial.Polynomial:
    """The least-squares cubic through the points."""
    return np.polynomial.Polynomial.fit(x, y, DEGREE)


def ratios(group: np.ndarray, values: np.ndarray, over: np.ndarray) -> np.ndarray:
    """Per group the sum of ``values`` divided by the sum of ``over``: bins of a few pixels weigh little."""
    return np.bincount(group, weights=values) / np.bincount(group, weights=over)


def _over(name: str) -> str:
    return "area" if name == "by_area" else "one"
