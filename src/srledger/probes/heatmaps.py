"""From an image to the weight of its pixels: what a detector found, the heatmap, and what the loss makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from srledger.priors._heatmap_recipes import WEIGHTS
from srledger.probes import (
    Look,
    MapsConfig,
    Measured,
    Probe,
    Quantity,
    Shown,
    ShownCell,
    ShownLine,
    ShownPicture,
    ShownTable,
)
from srledger.probes._boxed_priors import boxed_prior, has_boxes
from srledger.probes._sheets import draw_sheet_of_panels
from srledger.probes._tables import arrays, names_in, table_of
from srledger.probing.source import Images, Source
from srledger.reporting.figures import PALETTE
from srledger.reporting.pictures import enlarge, read_rgb

if TYPE_CHECKING:
    from srledger.encoders._detection import Detections

SHEET_PANEL_PX = 256
HEAD = ("HR", "what was looked at, and its boxes", "heatmap", "weight of a pixel")
KINDS = ("seen", "map", "weight")
COLOURS = dict(zip((*WEIGHTS, "head"), PALETTE, strict=False))
OTHER = "#ffffff"
NOT_BOXES = -1  # boxes of a prior that has none


class Config(MapsConfig):
    """The priors, and the landmark U-Net's weights; the defaults are the paper's."""

    images: int = Field(default=32, ge=1, description="the first test images, for the numbers")
    pictures: int = Field(default=4, ge=0, description="the first of them, for the pictures")
    gamma: float = Field(default=1.3, gt=0)
    floor: float = Field(default=0.10, ge=0, le=1)


class Heatmaps(Probe):
    """The landmark U-Net's loss weighs a pixel by floor + (1 - floor) H^gamma, where H is its prior's map.

    Where a detector finds nothing the map is zeros, and every pixel weighs alike: such an image has a plain L1 term.
    The pictures show the boxes in what the detector looked at, HR or the enlarged LR image; of a class the surest box
    has its name and confidence. In map and weight white is 1, black is 0.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        ids = source.ids(self.config.images)
        hr = source.hr(self.config.pictures)
        pictures = {f"hr_{k}": image for k, image in enumerate(hr)}
        lines = []
        for prior in source.priors:
            source.say(prior)
            looked_at = _looked_at(source, prior, ids)
            for k, heat in enumerate(source.maps(prior, self.config.images)):
                weights = self._weights(heat)
                boxes, classes, alike = NOT_BOXES, NOT_BOXES, int(weights.min() == 1)
                if looked_at is not None:
                    boxes, classes = len(looked_at[k][1]), len(set(looked_at[k][1].classes))
                lines.append((prior, ids[k], boxes, classes, alike, heat.mean(), weights.mean()))
                if k < len(hr):
                    pictures |= {f"{prior}_{k}_map": _grey(heat), f"{prior}_{k}_weight": _grey(weights)}
                    if looked_at is not None:
                        pictures[f"{prior}_{k}_seen"] = draw_boxes(*looked_at[k])
        types = {"prior": str, "image_id": str, "boxes": int, "classes": int, "alike": int}
        table = table_of({**types, "heat": float, "weight": float}, lines)
        return Measured(table, {"pictured": ids[: len(hr)]}, pictures)

    def _weights(self, heat: np.ndarray) -> np.ndarray:
        """What the loss makes of a map; float64 ``H x W``."""
        import torch

        from srledger.methods.landmark_unet import heat_weights

        values = torch.from_numpy(np.array(heat))[None, None]
        return heat_weights(values, self.config.gamma, self.config.floor)[0, 0].numpy()

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        priors = names_in(columns, "prior")
        lines: list[ShownLine] = []
        for prior in priors:
            values = {name: columns[name][columns["prior"] == prior] for name in columns}
            counts: list[ShownCell] = [
                None if values[name][0] == NOT_BOXES else Quantity.of(look.mean(values[name][None], prior), 1)
                for name in ("boxes", "classes")
            ]
            numbers = [Quantity.of(look.mean(values[name][None], prior)) for name in ("alike", "heat", "weight")]
            lines.append((prior, len(values["boxes"]), *counts, *numbers))
        head = ("prior", "images", "boxes", "classes", "share without a heatmap", "mean heatmap", "mean weight")
        words = f"Weight: floor + (1 - floor) H^gamma, floor = {self.config.floor:g}, gamma = {self.config.gamma:g}."
        table = ShownTable("weights", "What was found in an image, and what it weighs", head, tuple(lines))
        pictures = tuple(
            ShownPicture(f"image_{k + 1}", f"{image_id}: boxes, heatmaps and weights", png)
            for k, image_id in enumerate(found.facts["pictured"])
            if (png := _sheet(priors, k, look)) is not None
        )
        return Shown(tables=(table,), pictures=pictures, notes=(words,))


def _looked_at(source: Source, prior: str, ids: Sequence[str]) -> list[tuple[np.ndarray, Detections]] | None:
    """Of each image what the detector of a prior sees and its boxes; None for a prior without boxes."""
    if not has_boxes(source, prior):
        return None
    with boxed_prior(source, prior) as (made, images):
        return [(made.seen(images[k]), made.boxes_of(images[k])) for k in ids]


def draw_boxes(seen: np.ndarray, boxes: Detections) -> np.ndarray:
    """An image, enlarged until names can be read, with its boxes; of each class the surest is thick and has its name.

    Args:
        seen: uint8 ``H x W x 3``.

    Returns:
        uint8, a whole number of times larger.
    """
    from PIL import Image, ImageDraw, ImageFont

    times = max(1, SHEET_PANEL_PX // max(seen.shape[:2]))
    whole = Image.fromarray(enlarge(seen, times))
    draw, font, named = ImageDraw.Draw(whole), ImageFont.load_default(11), set()
    labels = []
    order = np.argsort(-boxes.confidences, kind="stable").tolist()
    for k in order:
        name, colour = boxes.classes[k], COLOURS.get(boxes.classes[k], OTHER)
        left, top, right, bottom = (round(times * value) for value in boxes.boxes_px[k].tolist())
        corners = (left, top, max(left, right - 1), max(top, bottom - 1))
        draw.rectangle(corners, outline=colour, width=1 if name in named else 2)
        if name not in named:
            labels.append((left + 3, top + 1, f"{name} {boxes.confidences[k]:.2f}", colour))
        named.add(name)
    for x, y, text, colour in labels:  # over all boxes, and inside the image
        at = (min(x, whole.width - int(font.getlength(text)) - 2), min(y, whole.height - 14))
        draw.text(at, text, fill=colour, font=font, stroke_width=1, stroke_fill="#000000")
    return np.asarray(whole)


def _grey(values: np.ndarray) -> np.ndarray:
    """A map in grey, uint8 ``H x W x 3``."""
    return np.repeat(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def _sheet(priors: Sequence[str], k: int, look: Look) -> bytes | None:
    """A line per prior; None where this report may not show the image."""
    if f"hr_{k}" not in look.own:
        return None
    hr = read_rgb(look.own[f"hr_{k}"])
    lines: list[tuple[str, Images]] = []
    for prior in priors:
        panels = {kind: look.own.get(f"{prior}_{k}_{kind}") for kind in KINDS}
        shown = [np.full_like(hr, 200) if path is None else read_rgb(path) for path in panels.values()]
        lines.append((prior, [hr, *shown]))
    return draw_sheet_of_panels(HEAD, lines, SHEET_PANEL_PX)
