"""Where eyes, nose and mouth are, told from five landmarks: one rule for whatever needs boxes of facial parts.

In distances between the eyes (IOD; at least 2 px): an eye is 0.6 wide and 0.4 high, the nose 0.6 x 0.6 about its tip,
a mouth corner 0.3 x 0.3. The mouth is the box around both corners, 0.15 wider on either side and 0.3 higher above and
below. Every part's box is centred on its landmark, the mouth's on the middle between its corners. No data set here has
boxes: the shares are this project's own, those of a frontal face (an eye is half as wide as the eyes are apart).
"""

from __future__ import annotations

import numpy as np

# Landmarks of a data set, in their order there: the eye on the image's left side, the other, nose, mouth corners.
LANDMARKS = ("eye", "eye", "nose", "mouth_corner", "mouth_corner")
PARTS = ("eye", "nose", "mouth", "mouth_corner")
BOXES = (*LANDMARKS, "mouth")  # of one face, in this order
SIZES_IOD = {"eye": (0.6, 0.4), "nose": (0.6, 0.6), "mouth_corner": (0.3, 0.3)}
MOUTH_MARGINS_IOD = (0.15, 0.3)
LEAST_IOD_PX = 2.0
RULE = (
    "eyes {:g} x {:g} of the distance between the eyes, nose {:g} x {:g}, mouth: around both corners, {:g} wider "
    "on either side and {:g} higher above and below"
).format(*SIZES_IOD["eye"], *SIZES_IOD["nose"], *MOUTH_MARGINS_IOD)


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


def parts_mask(landmarks: np.ndarray, height_px: int, width_px: int) -> np.ndarray:
    """Bool ``H x W``: the pixels whose centres lie in the box of an eye, the nose or the mouth, its edges included.

    Parts beyond the image's border mark nothing.
    """
    x, y = np.arange(width_px)[None, :] + 0.5, np.arange(height_px)[:, None] + 0.5
    boxes = [box for name, box in zip(BOXES, boxes_of_landmarks(landmarks), strict=True) if name != "mouth_corner"]
    return np.logical_or.reduce(
        [(left <= x) & (x <= right) & (top <= y) & (y <= bottom) for left, top, right, bottom in boxes]
    )
