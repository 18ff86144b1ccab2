"""The head's geometry: outline, surface, landmarks, camera.

Lengths are in IOD (the distance between the eyes). Head coordinates: origin between the eyes, ``u`` to the right of
the image, ``v`` down, ``z`` toward the camera. The projection is orthographic.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from srledger.data._face_people import Identity, Look

# Five points of the aligned crop in units of its side; the mirror's CelebA crops use the same.
TEMPLATE = np.array([[0.375, 0.4375], [0.625, 0.4375], [0.5, 0.593], [0.3875, 0.697], [0.611, 0.697]])


def inside_head(who: Identity, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Positive inside the outline of the head without hair, zero on it, 1 in the middle."""
    up = np.clip((0.2 - v) / 1.72, 0, 2)
    down = np.clip((v - 0.2) / (who.chin - 0.2), 0, 1.6)
    blend = np.clip(0.5 - 0.7 * (v - 0.1), 0, 1)
    blend = blend * blend * (3 - 2 * blend)
    width = (who.cheek + (who.temple - who.cheek) * blend) * (1 - who.taper * down * down)
    across = np.maximum((u / width) ** 2, 1e-6) ** (1.12 + (who.jaw / 2 - 1.12) * np.clip(1.5 * down, 0, 1))
    return (1 - across - up**2.9 - down**who.jaw).astype(u.dtype)


def height(who: Identity, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """z of the head's surface at (u, v): a rounded head with a nose; smooth also beyond the outline."""
    q = inside_head(who, u, v)
    round_part = np.where(q > 0.2, np.sqrt(np.maximum(q, 0.2)), 0.447 + 1.118 * (np.maximum(q, -1.0) - 0.2))
    along = np.clip((v + 0.12) / (who.nose_length + 0.12), 0, 1.5)
    fall = np.clip((along - 0.94) / 0.32, 0, 1)
    profile = who.nose_height * (along * (0.45 + 0.55 * along)) * (1 - fall * fall * (3 - 2 * fall))
    half = who.nose_width * (0.34 + 0.34 * np.minimum(along, 1) ** 2)
    nose = profile * np.exp(-0.5 * (u / half) ** 2)
    return (who.depth * round_part + nose).astype(u.dtype)


def model_landmarks(who: Identity, look: Look) -> np.ndarray:
    """The five landmarks in head coordinates: float64 ``5 x 3`` in IOD, in the order of LANDMARK_NAMES."""
    corner_u = who.mouth_half * (1 + 0.12 * look.smile)
    corner_v = who.mouth_v - 0.07 * look.smile
    points = np.array([[-0.5, 0], [0.5, 0], [0, who.nose_length], [-corner_u, corner_v], [corner_u, corner_v]])
    return np.column_stack([points, height(who, points[:, 0], points[:, 1])])


@dataclasses.dataclass(frozen=True)
class Camera:
    """Head coordinates -> image: ``scale * (rotation @ point)[:2] + shift`` in units of the image's side."""

    rotation: np.ndarray
    scale: float
    shift: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Head coordinates ``n x 3`` to the image ``n x 2`` (0 left/top edge, 1 right/bottom edge)."""
        return self.scale * (points @ self.rotation.T)[:, :2] + self.shift


def aim_camera(points: np.ndarray, look: Look) -> Camera:
    """Put the posed landmarks on TEMPLATE by scale and shift (least squares), then add the look's jitter."""
    (sa, ca), (sb, cb), (sc, cc) = ((np.sin(a), np.cos(a)) for a in (look.yaw, look.pitch, look.roll))
    yaw = np.array([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]])
    pitch = np.array([[1, 0, 0], [0, cb, sb], [0, -sb, cb]])
    roll = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    rotation = roll @ pitch @ yaw
    seen = (points @ rotation.T)[:, :2]
    centred, target = seen - seen.mean(0), TEMPLATE - TEMPLATE.mean(0)
    scale = float((centred * target).sum() / (centred**2).sum()) * look.zoom
    return Camera(rotation, scale, TEMPLATE.mean(0) - scale * seen.mean(0) + look.shift)
