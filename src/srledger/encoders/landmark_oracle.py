"""Boxes from the data set's own landmarks: the detector that no detector beats. It needs no weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from srledger.encoders import Encoder
from srledger.encoders._detection import Asked, Detections
from srledger.encoders._facial_boxes import detections_of
from srledger.errors import SrledgerError
from srledger.facial_parts import BOXES, PARTS, boxes_of_landmarks
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Nothing to set: ``facial_parts`` has the size rule."""


class LandmarkOracle(Encoder):
    """Six boxes a face, each with confidence 1."""

    detects = True
    config: Config

    @property
    def classes(self) -> tuple[str, ...]:
        return PARTS

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """No maps."""
        return []

    def detect(
        self, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None], asked: Asked
    ) -> list[Detections]:
        """The boxes of the landmarks; ``asked`` changes nothing, since each is certain and in its place.

        Raises:
            SrledgerError: an image without landmarks.
        """
        found = []
        for k, (image, points) in enumerate(zip(images, landmarks, strict=True)):
            if points is None:
                raise SrledgerError(
                    "the detector landmark_oracle needs landmarks", where=f"image {k + 1} of {len(images)}",
                    found="none in the data set", expected="five landmarks per image",
                    mend="take another detector, or a data set with landmarks",
                )  # fmt: skip
            boxes = boxes_of_landmarks(points)
            found.append(detections_of(boxes, list(BOXES), np.ones(len(boxes)), image.shape[:2]))
        return found
