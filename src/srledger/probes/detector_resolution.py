"""What a detector still finds on faces of fewer and fewer pixels: the referee's question on landmark heatmaps (A5)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from srledger.evaluation.statistics import Bootstrap, Comparison, compare_rows
from srledger.probes import (
    DetectorsConfig,
    Look,
    Measured,
    Probe,
    ProbeUnavailable,
    Quantity,
    Shown,
    ShownCell,
    ShownFigure,
    ShownTable,
)
from srledger.probes._detection import (
    LOOSE,
    NEAR,
    PARTS,
    error_of_positions,
    found_in,
    points_of,
    reduced_and_back,
    top_positions,
)
from srledger.probes._drawing import colours, legend_beside, panels, style, svg
from srledger.probes._tables import arrays, names_in, table_of
from srledger.probing.source import Source

MEAN = "training mean"  # the predictor without a detector: where the part lies on average
TYPES = {
    "detector": str, "side_px": int, "confidence": float, "part": str, "image_id": str, "boxes": int, "detected": int,
    "inside": int, "near": int, "loose": int, "precision": float, "nme_best": float, "nme_top": float, "area": float,
    "error": float,
}  # fmt: skip
SHARES = ("detected", "inside", "near", "loose", "precision")


class Config(DetectorsConfig):
    """Detectors, sizes of the face and least confidences."""

    sides_px: tuple[int, ...] = Field(
        default=(128, 64, 32, 24, 16), min_length=1, description="the face is reduced to it and enlarged again"
    )
    confidences: tuple[float, ...] = Field(default=(0.001, 0.05, 0.25), min_length=1, description="least, of a box")
    iou: float = Field(default=0.1, ge=0, le=1, description="of two boxes that overlap by more, one is dropped")


class DetectorResolution(Probe):
    """Every test face is reduced (antialiased bicubic) and enlarged to its own size again; the detector looks at that.

    Distances are in units of the distance between the eyes. A rate alone proves nothing: at a low confidence a
    detector finds "something" everywhere, so precision and distance stand beside it. The predictor to beat is the mean
    position of the part over the training faces.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        faces = [
            (image_id, hr, points)
            for image_id, hr, points in zip(
                source.ids(self.config.images), source.hr(self.config.images),
                source.landmarks(self.config.images), strict=True,
            ) if points is not None
        ]  # fmt: skip
        train = source.train_landmarks()
        if not faces or not train:
            raise ProbeUnavailable("the data set has no landmarks")
        sizes = {hr.shape[:2] for _, hr, _ in faces}
        if len(sizes) > 1 or len(set(*sizes)) > 1:
            raise ProbeUnavailable("its images are not squares of one size")
        side = faces[0][1].shape[0]
        means = {part: np.mean([points_of(part, points) for points in train], axis=0) for part in PARTS}
        lines: list[tuple[object, ...]] = [
            (MEAN, side, 0.0, part, image_id, 0, 0, 0, 0, 0, math.nan, math.nan, math.nan, 0.0, error)
            for part, mean in means.items()
            for image_id, _, points in faces
            if not math.isnan(error := error_of_positions(mean, part, points))
        ]
        for name in source.encoders:
            source.say(name)
            for side_px in (one for one in self.config.sides_px if one <= side):
                lines += self._look(source, name, side_px, faces, means)
        return Measured(table_of(TYPES, lines), {"hr_px": side, "n": len(faces), "n_train": len(train)})

    def _look(
        self, source: Source, name: str, side_px: int, faces: Sequence[tuple[str, np.ndarray, np.ndarray]],
        means: dict[str, np.ndarray],
    ) -> Iterator[tuple[object, ...]]:  # fmt: skip
        from srledger.encoders._detection import Asked

        images = [reduced_and_back(hr, side_px) for _, hr, _ in faces]
        asked = Asked(min(self.config.confidences), self.config.iou)
        found = source.encoder(name).detect(images, [points for *_, points in faces], asked)
        for (image_id, hr, points), every in zip(faces, found, strict=True):
            for confidence in self.config.confidences:
                boxes = every.of(tuple(dict.fromkeys(every.classes)), confidence)
                for part, mean in means.items():
                    one = found_in(boxes, part, points, hr.shape[0])
                    error = error_of_positions(top_positions(boxes, part, mean), part, points)
                    yield (
                        name, side_px, confidence, part, image_id, one.boxes, int(one.detected), int(one.inside),
                        int(one.near), int(one.loose), one.precision, one.nme_best, one.nme_top, one.area, error,
                    )  # fmt: skip

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        detectors = [name for name in names_in(columns, "detector") if name != MEAN]
        comparisons = {part: self._against_mean(columns, detectors, part, look) for part in PARTS}
        tables = [self._table(columns, detectors, part, look) for part in PARTS]
        notes = [_words(part, one, look.alpha) for part, found_ in comparisons.items() for one in found_]
        return Shown(
            figures=(ShownFigure("resolution", "Rate, precision and distance by size", self._draw(columns, look)),),
            tables=(*tables, _compared(comparisons)),
            notes=(
                f"{found.facts['n']} faces of {found.facts['hr_px']} px; the mean is over {found.facts['n_train']} "
                f"training faces. Figure and tests: boxes of confidence {min(self.config.confidences):g} and more.",
                *notes,
            ),
        )

    def _table(self, columns: dict[str, np.ndarray], detectors: Sequence[str], part: str, look: Look) -> ShownTable:
        lines: list[tuple[ShownCell, ...]] = []
        for name in detectors:
            for side in self.config.sides_px:
                for confidence in self.config.confidences:
                    mask = _mask(columns, name, part, side, confidence)
                    if mask.any():
                        key = f"{name}/{side}/{confidence:g}"
                        lines.append((name, side, f"{confidence:g}", *_cells(columns, mask, key, look)))
        head = (
            "detector", "side (px)", "least confidence", "detection rate", "points in a box",
            f"all within {NEAR:g} IOD", f"all within {LOOSE:g} IOD", "precision",
            "nearest centre (IOD)", "most confident centre (IOD)",
            "boxes an image", "area",
        )  # fmt: skip
        return ShownTable(part, f"Detector against resolution: {part}", head, tuple(lines))

    def _against_mean(
        self, columns: dict[str, np.ndarray], detectors: Sequence[str], part: str, look: Look
    ) -> list[Comparison]:
        samples = {MEAN: _errors(columns, MEAN, part)}
        for name in detectors:
            for side in self.config.sides_px:
                values = _errors(columns, name, part, side, min(self.config.confidences))
                if values.size:
                    samples[f"{name} at {side} px"] = values
        return compare_rows(samples, MEAN, Bootstrap(look.task, look.resamples, look.alpha))

    def _draw(self, columns: dict[str, np.ndarray], look: Look) -> str:
        detectors = tuple(name for name in names_in(columns, "detector") if name != MEAN)
        colour, confidence = colours(detectors), min(self.config.confidences)
        with style():
            figure, axes = panels(3, 2.2)
            for name in detectors:
                for part, line in zip(PARTS, ("-", "--", ":"), strict=True):
                    sides = [one for one in self.config.sides_px if _mask(columns, name, part, one, confidence).any()]
                    masks = [_mask(columns, name, part, one, confidence) for one in sides]
                    for panel, column in zip(axes, ("detected", "precision", "error"), strict=True):
                        values = [_nanmean(columns[column][mask]) for mask in masks]
                        panel.plot(range(len(sides)), values, line, color=colour[name], label=f"{name}, {part}")
                        panel.set_xticks(range(len(sides)), [str(one) for one in sides])
            for part, line in zip(PARTS, ("-", "--", ":"), strict=True):
                error = float(_errors(columns, MEAN, part).mean())
                axes[2].axhline(error, linestyle=line, color="#666666", linewidth=0.8)
            titles = ("detection rate", f"precision (within {LOOSE:g} IOD)", "centre error (IOD); grey: training mean")
            for panel, title in zip(axes, titles, strict=True):
                panel.set_title(title)
                panel.set_xlabel("side (px)")
            for panel in axes[:2]:
                panel.set_ylim(0, 1.02)
            axes[2].set_ylim(bottom=0)
            legend_beside(axes[2])
            return svg(figure, look, "resolution")


def _mask(columns: dict[str, np.ndarray], name: str, part: str, side: int, confidence: float) -> np.ndarray:
    return (
        (columns["detector"] == name)
        & (columns["part"] == part)
        & (columns["side_px"] == side)
        & np.isclose(columns["confidence"], confidence)
    )


def _errors(
    columns: dict[str, np.ndarray], name: str, part: str, side: int | None = None, confidence: float = 0.0
) -> np.ndarray:
    """``1 x N`` centre errors, in the order of the images."""
    mask = (columns["detector"] == name) & (columns["part"] == part)
    if side is not None:
        mask = _mask(columns, name, part, side, confidence)
    return columns["error"][mask][None]


def _cells(columns: dict[str, np.ndarray], mask: np.ndarray, key: str, look: Look) -> Iterator[ShownCell]:
    for column in (*SHARES, "nme_best", "nme_top", "boxes", "area"):
        values = columns[column][mask].astype(np.float64)
        if not np.isfinite(values).any():
            yield None
        else:
            yield Quantity.of(look.mean(values[None], f"{key}/{column}"), 1 if column == "boxes" else 3)


def _nanmean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan


def _compared(comparisons: dict[str, list[Comparison]]) -> ShownTable:
    lines: list[tuple[ShownCell, ...]] = []
    for part, found in comparisons.items():
        for one in found:
            difference = Quantity(one.difference.value, 3, one.difference.low, one.difference.high)
            lines.append((part, one.row, difference, Quantity(one.p_holm, 4), one.difference.n))
    return ShownTable(
        "against_mean", "Centre error against the training mean's (IOD; below zero: the detector is closer)",
        ("part", "detector", "difference", "p (Wilcoxon, Holm)", "images"), tuple(lines),
        ("Where a detector has fewer boxes than the part has points, its answer is the training mean: so both have an "
         "answer for every image.",),
    )  # fmt: skip


def _words(part: str, one: Comparison, alpha: float) -> str:
    """What a comparison says, in a sentence."""
    size = f"{abs(one.difference.value):.3f} IOD (p = {one.p_holm:.2g}, {one.difference.n} faces)"
    if one.p_holm > alpha:
        return f"{part}: {one.row} is not told from the training mean, {size}."
    way = "closer to" if one.difference.value < 0 else "further from"
    verb = "lies" if part != "eyes" else "lie"
    return f"{part}: found by {one.row} {verb} {way} the landmarks than the training mean, by {size}."
