"""Where eyes, nose and mouth are, told from five landmarks: one rule for whatever needs boxes of facial parts.

The unit is the distance between the eyes, so that the boxes grow with the face. The rule is this project's own:
landmarks are points, and a part's size must be assumed.
"""

from __future__ import annotations

import numpy as np

HALF_SIDE = 0.25  # of the box of an eye or the nose, in eye distances
MOUTH_MARGIN = 0.15  # around the corners of the mouth, in eye distances


def part_boxes(landmarks: np.ndarray) -> dict[str, np.ndarray]:
    """The boxes of ``left_eye``, ``right_eye``, ``nose`` and ``mouth``.

    Args:
        landmarks: float ``5 x 2`` (x, y) in pixels, in the order of ``data.LANDMARK_NAMES``: the eye on the image's
            left side, the other, nose, mouth corners.

    Returns:
        float64 ``4`` (left, top, right, bottom) in pixels for each; not cut to any image.
    """
    left_eye, right_eye, nose, *corners = np.asarray(landmarks, np.float64)
    eye_distance = float(np.hypot(*(right_eye - left_eye)))
    half_side, margin = HALF_SIDE * eye_distance, MOUTH_MARGIN * eye_distance
    squares = {"left_eye": left_eye, "right_eye": right_eye, "nose": nose}
    boxes = {name: np.concatenate([point - half_side, point + half_side]) for name, point in squares.items()}
    return {**boxes, "mouth": np.concatenate([np.min(corners, axis=0) - margin, np.max(corners, axis=0) + margin])}


def parts_mask(landmarks: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """Bool ``H x W``: the pixels whose centres lie in the box of a part, its edges included.

    Pixel centres stand at whole numbers. Parts beyond the image's border mark nothing.
    """
    x, y = np.arange(width_px)[None, :], np.arange(height_px)[:, None]
    inside = [
        (left <= x) & (x <= right) & (top <= y) & (y <= bottom)
        for left, top, right, bottom in part_boxes(landmarks).values()
    ]
    return np.logical_or.reduce(inside)
