"""Five landmarks as a shape: how far a face is from a frontal one after the best similarity transform."""

from __future__ import annotations

import numpy as np

# A frontal face with the eyes one unit apart, in the order of data.LANDMARK_NAMES, as aligned 128 px faces have them.
FRONTAL = np.array([(48, 56), (80, 56), (64, 75.9), (49.6, 89.2), (78.2, 89.2)]) / 32
SHAPE_LIMIT = 0.3  # in eye distances; of 10,700 machine-found CelebA faces the worst has 0.22
SHAPE_TYPICAL = 0.11  # half of the faces stay below; of CelebA the median is 0.07


def shape_residuals(landmarks: np.ndarray) -> np.ndarray:
    """Root mean square distance to FRONTAL after scale, rotation and shift, in eye distances.

    Args:
        landmarks: float64 ``N x 5 x 2``.

    Returns:
        float64 ``N``; infinite for points that coincide.
    """
    template = _complex(FRONTAL - FRONTAL.mean(axis=0))
    points = _complex(landmarks - landmarks.mean(axis=1, keepdims=True))
    similarity = (points * template.conj()).sum(axis=1) / (abs(template) ** 2).sum()  # scale and rotation in one number
    residual = np.sqrt((abs(points - similarity[:, None] * template) ** 2).mean(axis=1))
    return np.divide(residual, abs(similarity), out=np.full(len(points), np.inf), where=similarity != 0)


def tilt_products(landmarks: np.ndarray) -> np.ndarray:
    """Tilt of the eyes times tilt of the mouth, px^2: negative where they lean to different sides. float64 ``N``."""
    left_eye, right_eye, _, mouth_left, mouth_right = np.moveaxis(landmarks, 1, 0)
    return (right_eye - left_eye)[:, 1] * (mouth_right - mouth_left)[:, 1]


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0] + 1j * points[..., 1]
