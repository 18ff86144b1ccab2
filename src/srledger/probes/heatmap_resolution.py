"""What a heatmap still says when its detector sees fewer pixels (docs/methods.md, detector validation, A5)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from pydantic import Field

from srledger.probes import Look, MapsConfig, Measured, Probe, ProbeUnavailable, Quantity, Shown, ShownCell, ShownTable
from srledger.probes._boxed_priors import boxed_prior, has_boxes
from srledger.probes._detection import iod_px, reduced_and_back
from srledger.probes._tables import arrays, names_in, table_of
from srledger.probing.source import Source

NEAR_IOD = 0.25
TYPES = {"prior": str, "side_px": int, "image_id": str, "empty": int, "pearson": float, "soft_iou": float,
         "near": float}  # fmt: skip


class Config(MapsConfig):
    """Priors that are made of boxes (others are passed over), and the sizes of the face."""

    images: int = Field(default=100, ge=1, description="the first test images")
    sides_px: tuple[int, ...] = Field(
        default=(128, 64, 32, 24, 16), min_length=1, description="the face is reduced to it and enlarged again"
    )


class HeatmapResolution(Probe):
    """Every test face is reduced (antialiased bicubic) and enlarged again; its heatmap is compared with that of HR.

    Pearson's correlation and soft IoU (the sum of the lesser value of each pixel over the sum of the greater) are 1
    where nothing is lost. How much of a map's mass lies near a landmark says whether it is where the face is. A map of
    zeros has no correlation and no mass: its share stands beside.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        lines = []
        boxed = [prior for prior in source.priors if has_boxes(source, prior)]
        if not boxed:
            raise ProbeUnavailable("none of its priors is made of boxes")
        ids = source.ids(self.config.images)
        for name in boxed:
            source.say(name)
            with boxed_prior(source, name) as (prior, images):
                for image_id in ids:
                    image = images[image_id]
                    whole = prior.map_of(image)
                    for side_px in (one for one in self.config.sides_px if one <= max(image.hr.shape[:2])):
                        seen = dataclasses.replace(image, hr=reduced_and_back(image.hr, side_px))
                        found = prior.map_of(seen)
                        numbers = (correlation(found, whole), soft_iou(found, whole), near(found, image.landmarks))
                        lines.append((name, side_px, image_id, int(not found.any()), *numbers))
        return Measured(table_of(TYPES, lines), {"n": len(ids)})

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        lines: list[tuple[ShownCell, ...]] = []
        for prior in names_in(columns, "prior"):
            for side_px in self.config.sides_px:
                mask = (columns["prior"] == prior) & (columns["side_px"] == side_px)
                if mask.any():
                    cells = [
                        _mean(columns[name][mask], f"{prior}/{side_px}/{name}", look)
                        for name in ("pearson", "soft_iou", "near", "empty")
                    ]
                    lines.append((prior, side_px, *cells))
        head = ("prior", "side (px)", "correlation", "soft IoU", f"mass within {NEAR_IOD:g} IOD of a landmark",
                "share of empty maps")  # fmt: skip
        title = "The heatmap of a face of fewer pixels against that of HR"
        return Shown(tables=(ShownTable("maps", title, head, tuple(lines)),), notes=(f"{found.facts['n']} faces.",))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's, over pixels; NaN where a map is flat."""
    a, b = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (first, second))
    norm = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else math.nan


def soft_iou(first: np.ndarray, second: np.ndarray) -> float:
    """``sum min / sum max``; two maps of zeros are alike."""
    most = float(np.maximum(first, second).sum(dtype=np.float64))
    return float(np.minimum(first, second).sum(dtype=np.float64)) / most if most > 0 else 1.0


def near(heat: np.ndarray, landmarks: np.ndarray | None) -> float:
    """The part of a map's mass within 0.25 IOD of any landmark; NaN without landmarks or mass."""
    total = float(heat.sum(dtype=np.float64))
    if landmarks is None or total <= 0:
        return math.nan
    y, x = (np.arange(side)[:, None] for side in heat.shape)
    squares = ((x - landmarks[:, 0]) ** 2 + ((y - landmarks[:, 1]) ** 2)[:, None]).min(axis=-1)
    return float(heat[squares <= (NEAR_IOD * iod_px(landmarks)) ** 2].sum(dtype=np.float64)) / total


def _mean(values: np.ndarray, key: str, look: Look) -> ShownCell:
    finite = values[np.isfinite(values)].astype(np.float64)
    return Quantity.of(look.mean(finite[None], key)) if len(finite) else None
