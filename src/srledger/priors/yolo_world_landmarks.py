"""Heatmaps of the facial parts that a detector finds ("You Only Landmark Once", by YOLO-World; any detector will do).

The authors look at the HR image: their map is for the loss alone, and inference has none. A method that reads its prior
at inference must have ``input: lr_upsampled``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from srledger.errors import unknown_name
from srledger.imresize import imresize_uint8
from srledger.plugins import PluginConfig
from srledger.priors import PriorInput
from srledger.priors._boxes import OfBoxes, inside
from srledger.priors._heatmap_recipes import Recipe, edge_heatmap, gauss_heatmap

if TYPE_CHECKING:
    from srledger.encoders._detection import Detections


class Config(PluginConfig):
    """The detector, which of its boxes count, and what is made of them; the defaults are the authors'."""

    encoder: str = Field(description="the detector")
    recipe: Recipe = "repo"
    prompts: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="classes that count; null: all that the detector has"
    )
    confidence: float = Field(default=0.001, ge=0, le=1, description="the least that a box must have")
    iou: float = Field(default=0.1, ge=0, le=1, description="of boxes that overlap by more, the surest is kept")
    input: Literal["hr", "lr_upsampled"] = Field(
        default="hr", description="lr_upsampled: LR, enlarged bicubically to HR's size; HR is then not looked at"
    )
    width_of_box: float = Field(default=1.0, gt=0, description="gauss: s, a deviation in halves of the box's side")
    confidence_power: Literal[0, 1] = Field(default=0, description="gauss: p; 0: every box counts alike")

    @model_validator(mode="after")
    def _settings_have_an_effect(self) -> Self:
        if self.recipe != "gauss" and (self.width_of_box, self.confidence_power) != (1.0, 0):
            raise ValueError("width_of_box and confidence_power are settings of the recipe gauss")
        return self


class YoloWorldLandmarks(OfBoxes):
    """One of three recipes on the boxes of one image; an image without boxes gets zeros."""

    needs_detector = True
    config: Config

    def seen(self, image: PriorInput) -> np.ndarray:
        """HR, or LR enlarged to its size."""
        if self.config.input == "hr":
            return np.array(image.hr)
        return imresize_uint8(image.lr, *image.hr.shape[:2])

    def boxes_of(self, image: PriorInput) -> Detections:
        """Raises SrledgerError for prompts that the detector does not have."""
        from srledger.encoders._detection import Asked

        known = self.encoder.classes
        wanted = known if self.config.prompts is None else self.config.prompts
        for name in wanted:
            if name not in known:
                raise unknown_name("prompt", name, known, mend="a class of the detector, or another detector")
        asked = Asked(self.config.confidence, self.config.iou)
        (found,) = self.encoder.detect([self.seen(image)], [image.landmarks], asked)
        return inside(found.of(wanted, asked.confidence), (image.hr.shape[0], image.hr.shape[1]))

    def map_of_boxes(self, image: PriorInput, boxes: Detections) -> np.ndarray:
        """``H x W``."""
        if self.config.recipe == "gauss":
            size = (image.hr.shape[0], image.hr.shape[1])
            return gauss_heatmap(size, boxes, self.config.width_of_box, self.config.confidence_power)
        return edge_heatmap(self.seen(image), boxes, self.config.recipe)
