"""How far a detector's boxes lie from the landmarks of a face, part by part.

All distances are divided by the distance between the eyes (IOD). Source: docs/methods.md, detector validation (A5).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from srledger.encoders._detection import Detections
from srledger.imresize import imresize_uint8

# Part -> classes of detectors that hold it. The mouth is the middle of its corners.
PARTS = {"eyes": ("eye",), "nose": ("nose", "nosetip"), "mouth": ("mouth",)}
NEAR, LOOSE = 0.1, 0.2  # of the IOD: a centre error below it is a success


@dataclasses.dataclass(frozen=True)
class Found:
    """What a detector found of one part of one face.

    Attributes:
        boxes: how many.
        detected: at least one box for each point of the part (two for the eyes).
        inside: every point lies in a box. near, loose: every point has a box whose centre is closer than 0.1, 0.2 IOD.
        precision: share of the boxes whose centre is closer than 0.2 IOD to a point of the part; NaN without a box.
        nme_best: mean over points of the distance to the nearest centre, whatever its confidence; NaN without a box.
        nme_top: the same with as many boxes as points, the most confident ones; NaN with fewer boxes than points.
        area: share of the image's pixels whose centres the boxes cover.
    """

    boxes: int
    detected: bool
    inside: bool
    near: bool
    loose: bool
    precision: float
    nme_best: float
    nme_top: float
    area: float


def points_of(part: str, landmarks: np.ndarray) -> np.ndarray:
    """The points of a part, float64 ``K x 2``, from landmarks ``5 x 2``: both eyes, nose, both corners of the mouth."""
    if part == "mouth":
        return landmarks[3:5].mean(axis=0, keepdims=True)
    return landmarks[:2] if part == "eyes" else landmarks[2:3]


def iod_px(landmarks: np.ndarray) -> float:
    """The distance between the eyes."""
    return float(np.hypot(*(landmarks[1] - landmarks[0])))


def found_in(detections: Detections, part: str, landmarks: np.ndarray, side_px: int) -> Found:
    """What ``detections`` hold of a part of the face with these landmarks; the image is ``side_px`` square."""
    points, iod = points_of(part, landmarks), iod_px(landmarks)
    boxes = detections.of(PARTS[part])
    if not len(boxes):
        return Found(0, False, False, False, False, math.nan, math.nan, math.nan, 0.0)
    distances = _distances(points, boxes.centres_px) / iod
    nearest = distances.min(axis=1)
    from_edge = points[:, None] + 0.5  # as boxes are counted
    after, before = from_edge >= boxes.boxes_px[None, :, :2], from_edge <= boxes.boxes_px[None, :, 2:]
    inside: np.ndarray = np.all(after & before, axis=2)  # points x boxes
    return Found(
        boxes=len(boxes),
        detected=len(boxes) >= len(points),
        inside=bool(np.all(np.any(inside, axis=1))),
        near=bool((nearest < NEAR).all()),
        loose=bool((nearest < LOOSE).all()),
        precision=float((distances.min(axis=0) < LOOSE).mean()),
        nme_best=float(nearest.mean()),
        nme_top=_matched(distances[:, : len(points)]),
        area=_covered(boxes.boxes_px, side_px),
    )


def error_of_positions(positions: np.ndarray, part: str, landmarks: np.ndarray) -> float:
    """Mean distance of predicted ``positions`` ``K x 2`` to the points of a part, in IOD, in their best pairing."""
    return _matched(_distances(points_of(part, landmarks), positions) / iod_px(landmarks))


def top_positions(detections: Detections, part: str, instead: np.ndarray) -> np.ndarray:
    """Where a detector says that the points of a part are: its most confident centres.

    ``instead`` (``K x 2``) where it has fewer boxes than the part has points: so it answers for every image, as a mean
    position does.
    """
    centres = detections.of(PARTS[part]).centres_px
    return centres[: len(instead)] if len(centres) >= len(instead) else instead


def reduced_and_back(hr: np.ndarray, side_px: int) -> np.ndarray:
    """A square uint8 image reduced to ``side_px`` and enlarged again, both bicubic; itself at its own side."""
    if side_px == hr.shape[0]:
        return hr
    return imresize_uint8(imresize_uint8(hr, side_px, side_px), *hr.shape[:2])


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.hypot(*np.moveaxis(points[:, None] - centres[None], 2, 0))


def _matched(distances: np.ndarray) -> float:
    """Mean distance of the best pairing of ``K`` points with ``K`` centres; NaN with fewer centres."""
    from scipy.optimize import linear_sum_assignment

    if distances.shape[1] < distances.shape[0]:
        return math.nan
    return float(distances[linear_sum_assignment(distances)].mean())


def _covered(boxes_px: np.ndarray, side_px: int) -> float:
    centres = np.arange(side_px) + 0.5
    x, y = centres[None, None, :], centres[None, :, None]
    left, top, right, bottom = boxes_px.T[:, :, None, None]
    covered: np.ndarray = np.any((left <= x) & (x < right) & (top <= y) & (y < bottom), axis=0)
    return float(covered.mean())
