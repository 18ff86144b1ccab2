"""What detectors of facial parts do with boxes."""

from __future__ import annotations

import numpy as np

from srledger.encoders._detection import Asked, Detections


def cut_to(boxes_px: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes ``K x 4`` cut to an image; what lies outside is left with no area."""
    limits = np.array([width, height, width, height], np.float64)
    return np.clip(np.asarray(boxes_px, np.float64).reshape(-1, 4), 0.0, limits)


def no_detections() -> Detections:
    """Nothing was found."""
    return Detections(np.zeros((0, 4)), (), np.zeros(0))


def detections_of(
    boxes_px: np.ndarray, classes: list[str], confidences: np.ndarray, size: tuple[int, int]
) -> Detections:
    """Detections cut to an image of ``size`` (height, width), the most confident first; ties keep their order."""
    boxes = cut_to(boxes_px, *size)
    order = [
        int(k)
        for k in np.argsort(-np.asarray(confidences, np.float64), kind="stable")
        if (boxes[k, 2:] > boxes[k, :2]).all()
    ]  # fmt: skip
    if not order:
        return no_detections()
    kept = np.clip(np.asarray(confidences, np.float64)[order], 0.0, 1.0)
    return Detections(boxes[order], tuple(classes[k] for k in order), kept)


def suppressed(found: Detections, asked: Asked) -> Detections:
    """Greedy non-max suppression within each class: what is kept of boxes that are sorted by confidence."""
    kept: list[int] = []
    areas = (found.boxes_px[:, 2:] - found.boxes_px[:, :2]).prod(axis=1)
    for name in dict.fromkeys(found.classes):
        waiting = np.array([k for k, one in enumerate(found.classes) if one == name])
        waiting = waiting[found.confidences[waiting] >= asked.confidence]
        while len(waiting):
            best, waiting = waiting[0], waiting[1:]
            kept.append(int(best))
            least = np.maximum(found.boxes_px[best, :2], found.boxes_px[waiting, :2])
            most = np.minimum(found.boxes_px[best, 2:], found.boxes_px[waiting, 2:])
            both = np.clip(most - least, 0, None).prod(axis=1)
            waiting = waiting[both <= asked.iou * (areas[best] + areas[waiting] - both)]
    kept.sort()
    return Detections(found.boxes_px[kept], tuple(found.classes[k] for k in kept), found.confidences[kept])
