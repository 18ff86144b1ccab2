"""Boxes of facial parts from five landmarks, and what detectors do with boxes.

The size rule, in distances between the eyes (IOD; at least 2 px): an eye is 0.6 wide and 0.4 high, the nose 0.6 x 0.6
about its tip, a mouth corner 0.3 x 0.3. The mouth is the box around both corners, 0.15 wider on either side and 0.3
higher above and below. Every part's box is centred on its landmark, the mouth's on the middle between its corners.
No data set here has boxes; the shares are those of a frontal face (an eye is half as wide as the eyes are apart).
"""

from __future__ import annotations

import numpy as np

from srledger.encoders._detection import LANDMARKS, Asked, Detections

PARTS = ("eye", "nose", "mouth", "mouth_corner")
BOXES = ("eye", "eye", "nose", "mouth_corner", "mouth_corner", "mouth")  # of one face, in this order
SIZES_IOD = {"eye": (0.6, 0.4), "nose": (0.6, 0.6), "mouth_corner": (0.3, 0.3)}
MOUTH_MARGINS_IOD = (0.15, 0.3)
LEAST_IOD_PX = 2.0


def boxes_of_landmarks(points_px: np.ndarray) -> np.ndarray:
    """The boxes of one face, not cut: float64 ``6 x 4`` (left, top, right, bottom) in the order of BOXES.

    ``points_px`` is ``5 x 2`` (x, y), the middle of the first pixel at 0; boxes count from the image's edge, half a
    pixel further left and up.
    """
    points = np.asarray(points_px, np.float64) + 0.5
    iod = max(float(np.hypot(*(points[1] - points[0]))), LEAST_IOD_PX)
    halves = np.array([SIZES_IOD[name] for name in LANDMARKS]) * iod / 2
    parts = np.hstack([points - halves, points + halves])
    corners, margins = points[3:5], np.array(MOUTH_MARGINS_IOD) * iod
    mouth = np.hstack([corners.min(axis=0) - margins, corners.max(axis=0) + margins])
    return np.vstack([parts, mouth])


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
