"""Control: a detector's boxes at random places. As many, as large and of the same classes; and nothing is there."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from srledger.plugins import PluginConfig
from srledger.priors import PriorInput
from srledger.priors._boxes import OfBoxes
from srledger.seeds import numpy_generator

if TYPE_CHECKING:
    from srledger.encoders._detection import Detections


class Config(PluginConfig):
    """Whose boxes, and which places."""

    of: str
    seed: int = Field(default=0, ge=0)


class RandomBoxes(OfBoxes):
    """Each image's own boxes, each moved to a place that the image's id seeds; the base's recipe is made of them."""

    needs_boxes = True
    config: Config

    @property
    def base(self) -> OfBoxes:
        """The prior that ``of`` names."""
        found = super().base
        assert isinstance(found, OfBoxes), "`needs_boxes` has seen to it"
        return found

    def seen(self, image: PriorInput) -> np.ndarray:
        """What the base looks at."""
        return self.base.seen(image)

    def boxes_of(self, image: PriorInput) -> Detections:
        """The base's, moved inside the image by whole pixels: to the recipe they are as large as before."""
        boxes = self.base.boxes_of(image)
        draw = numpy_generator("random_boxes", image.id, self.config.seed)
        height, width = image.hr.shape[:2]
        # Along one axis a box may go from the image's edge to its other edge, each whole step as likely.
        least = np.ceil(-boxes.boxes_px[:, :2]).astype(int)
        most = np.floor(np.array([width, height]) - boxes.boxes_px[:, 2:]).astype(int)
        shifts = draw.integers(least, most, endpoint=True)
        return dataclasses.replace(boxes, boxes_px=boxes.boxes_px + np.tile(shifts, 2))

    def map_of_boxes(self, image: PriorInput, boxes: Detections) -> np.ndarray:
        """``H x W``."""
        return self.base.map_of_boxes(image, boxes)
