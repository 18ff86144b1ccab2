"""Priors that are made of boxes: what a detector finds in an image, and the map that comes of it."""

from __future__ import annotations

import abc
import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from srledger.priors import Prior, PriorInput

if TYPE_CHECKING:
    from srledger.encoders._detection import Detections


class OfBoxes(Prior):
    """A map of boxes; without boxes it is zeros."""

    has_boxes: ClassVar[bool] = True
    may_be_empty: ClassVar[bool] = True

    @abc.abstractmethod
    def seen(self, image: PriorInput) -> np.ndarray:
        """What is looked at: uint8 ``H x W x 3`` of the HR image's size."""

    @abc.abstractmethod
    def boxes_of(self, image: PriorInput) -> Detections:
        """The boxes that count, inside the image and of some area."""

    @abc.abstractmethod
    def map_of_boxes(self, image: PriorInput, boxes: Detections) -> np.ndarray:
        """``H x W`` of any boxes inside the image."""

    def map_of(self, image: PriorInput) -> np.ndarray:
        """``H x W``."""
        return self.map_of_boxes(image, self.boxes_of(image))


def inside(found: Detections, size: tuple[int, int]) -> Detections:
    """Boxes cut to an image ``H x W``; those that lie outside, have no area or are no numbers are dropped."""
    height, width = size
    boxes = found.boxes_px.reshape(-1, 4)
    cut = np.clip(boxes, 0, [width, height, width, height])
    numbers = np.isfinite(boxes).all(axis=1) & np.isfinite(found.confidences)
    keep = np.flatnonzero(numbers & (cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1]))
    classes = tuple(found.classes[k] for k in keep)
    return dataclasses.replace(found, boxes_px=cut[keep], classes=classes, confidences=found.confidences[keep])
