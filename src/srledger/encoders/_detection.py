"""What detectors of facial parts find, and what they are asked."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Detections:
    """The boxes of one image, the most confident first.

    Attributes:
        boxes_px: float64 ``K x 4`` (left, top, right, bottom) in pixels from the image's edge, and cut to it: a box
            around the first pixel alone is (0, 0, 1, 1).
        classes: what each box holds, ``K`` names.
        confidences: float64 ``K`` in [0, 1].
    """

    boxes_px: np.ndarray
    classes: tuple[str, ...]
    confidences: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def centres_px(self) -> np.ndarray:
        """float64 ``K x 2`` (x, y), as landmarks are counted: the middle of the first pixel is (0, 0)."""
        return (self.boxes_px[:, :2] + self.boxes_px[:, 2:]) / 2 - 0.5

    def of(self, classes: tuple[str, ...], confidence: float = 0.0) -> Detections:
        """The boxes of ``classes`` that are at least this confident."""
        keep = [
            k for k, name in enumerate(self.classes) if name in classes and self.confidences[k] >= confidence
        ]  # fmt: skip
        return Detections(self.boxes_px[keep], tuple(self.classes[k] for k in keep), self.confidences[keep])


@dataclasses.dataclass(frozen=True)
class Asked:
    """How boxes are kept.

    Attributes:
        confidence: the least that a box must have.
        iou: of two boxes of one class that overlap by more, the less confident one is dropped.
    """

    confidence: float = 0.001
    iou: float = 0.1
