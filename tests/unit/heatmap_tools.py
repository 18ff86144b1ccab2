"""What the tests of heatmaps share: a detector whose boxes are known, and priors on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from srledger.encoders import Encoder
from srledger.encoders._detection import Asked, Detections
from srledger.plugins import plugin_class, plugin_config
from srledger.priors import PriorInput
from srledger.priors._boxes import OfBoxes

NINE = ("eye", "mouth", "ear", "nose", "nosetip", "face", "chin", "head", "eyebrows")
Box = tuple[str, float, tuple[float, float, float, float]]


def detections(*boxes: Box) -> Detections:
    names, confidences, corners = zip(*boxes, strict=True) if boxes else ((), (), ())
    return Detections(np.array(corners, float).reshape(-1, 4), tuple(names), np.array(confidences, float))


class Finds(Encoder):
    """A detector whose boxes a test gives, and that finds nothing in an image without a bright pixel.

    It notes what it was shown and asked.
    """

    detects = True

    def __init__(self, *boxes: Box, classes: tuple[str, ...] = NINE) -> None:
        super().__init__(None, {})  # type: ignore[arg-type]
        self.boxes, self._classes = boxes, classes
        self.shown: list[np.ndarray] = []
        self.asked: list[Asked] = []

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes

    def detect(
        self, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None], asked: Asked
    ) -> list[Detections]:
        self.shown += images
        self.asked.append(asked)
        return [detections(*(self.boxes if image.max() else ())) for image in images]


def heatmap(*boxes: Box, detector: Finds | None = None, **settings: Any) -> OfBoxes:
    config = plugin_config("priors", "yolo_world_landmarks")(encoder="finds", **settings)
    return plugin_class("priors", "yolo_world_landmarks")(config, None, detector or Finds(*boxes))


def image(hr: np.ndarray, name: str = "a", **more: Any) -> PriorInput:
    return PriorInput(name, "train", hr, hr[::4, ::4].copy(), None, **more)


def noise(side_px: int = 128, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), np.uint8)
