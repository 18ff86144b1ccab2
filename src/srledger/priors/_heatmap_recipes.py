"""Heatmaps from boxes of facial parts, by three recipes ("You Only Landmark Once").

``repo`` is what the authors' notebook does, ``paper`` what their text says, ``gauss`` the plain reading: a Gaussian per
box. The first two are no landmarks with a bump: they are the edges inside each box, faded towards its rim (of a face
towards its middle), weighted by class, merged. How sure a detector is of a box counts for nothing in them.

Sizes in pixels are those of a 128 px image; those of another go by its longer side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from srledger.priors._maps import stretched

if TYPE_CHECKING:
    from srledger.encoders._detection import Detections

Recipe = Literal["repo", "paper", "gauss"]

REFERENCE_PX = 128  # repo, paper: the HR side
WEIGHTS = {  # repo, paper: how much a class counts
    "eye": 4.5, "mouth": 4.0, "nose": 4.0, "chin": 4.0, "ear": 4.0, "eyebrows": 4.0, "face": 4.0, "nosetip": 3.0,
}  # fmt: skip
HEAD_WEIGHTS = {"repo": 1.2 * 0.5, "paper": 2.0, "gauss": 1.2 * 0.5}  # gauss: ours, as the notebook
OTHER_WEIGHT = 1.0  # repo: of a class that the table does not have
CANNY_LOW, CANNY_HIGH = 50, 150  # repo
FADE = 2.0  # repo, paper: exp(-FADE r^2), r = 1 in the middle of a side of the box
INVERSE_FADE_SIGMA = 0.6  # repo, paper
FACE_LEAST = 0.3  # repo: what the middle of a face keeps
HALO_PX, HALO_OF_SIDE = 8, 4  # repo: a box is padded by a quarter of its shorter side, by 8 px at least
HALO_FADE, HALO_LEAST = 0.8, 0.3  # repo
EDGE_KERNEL_PX, EDGE_SIGMA_PX = 15, 3.0  # paper: the edges of a box are smoothed
FINAL_KERNEL_PX, FINAL_SIGMA_PX = 21, 2.0  # repo: the whole map is


def weight_of(name: str, recipe: Recipe) -> float:
    """How much a class counts."""
    return HEAD_WEIGHTS[recipe] if name == "head" else WEIGHTS.get(name, OTHER_WEIGHT)


def edge_heatmap(image: np.ndarray, boxes: Detections, recipe: Literal["repo", "paper"]) -> np.ndarray:
    """float64 ``H x W`` in [0, 1]; zeros without boxes, and where no box has an edge.

    Args:
        image: uint8 ``H x W x 3`` RGB. boxes: inside it.
    """
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = max(grey.shape) / REFERENCE_PX
    found = np.zeros(grey.shape)
    for box, name in zip(boxes.boxes_px.astype(int), boxes.classes, strict=True):  # repo: corners lose their fractions
        left, top, right, bottom = box.tolist()
        if right <= left or bottom <= top:
            continue
        inside = (slice(top, bottom), slice(left, right))
        edges = edges_of(grey[inside])
        if recipe == "paper":
            edges = smoothed(edges, EDGE_KERNEL_PX, EDGE_SIGMA_PX, scale)
        part = weight_of(name, recipe) * edges * fade_of(name, recipe)(edges.shape)
        if recipe == "paper":
            found[inside] += part
        else:
            part *= halo((left, top, right, bottom), found.shape, scale)
            found[inside] = np.maximum(found[inside], part)
    if recipe == "repo":
        found = smoothed(found, FINAL_KERNEL_PX, FINAL_SIGMA_PX, scale)
    return stretched(found)


def gauss_heatmap(size: tuple[int, int], boxes: Detections, width_of_box: float, confidence_power: int) -> np.ndarray:
    """``max_k conf_k^p weight_k exp(-((x - cx)^2 / (s w / 2)^2 + (y - cy)^2 / (s h / 2)^2) / 2)``, stretched to [0, 1].

    float64 ``H x W``; zeros without boxes. A side below a pixel counts as one.

    Args:
        width_of_box: s. confidence_power: p.
    """
    found = np.zeros(size)
    rows, columns = np.arange(size[0])[:, None] + 0.5, np.arange(size[1]) + 0.5
    for (left, top, right, bottom), name, confidence in zip(
        boxes.boxes_px, boxes.classes, boxes.confidences, strict=True
    ):
        sigma_x, sigma_y = (width_of_box * max(side, 1.0) / 2 for side in (right - left, bottom - top))
        squares = ((columns - (left + right) / 2) / sigma_x) ** 2 + ((rows - (top + bottom) / 2) / sigma_y) ** 2
        weight = confidence**confidence_power * weight_of(name, "gauss")
        found = np.maximum(found, weight * np.exp(-0.5 * squares))
    return stretched(found / found.max()) if found.any() else found


def edges_of(grey: np.ndarray) -> np.ndarray:
    """Scharr's magnitude and Canny's edges in equal parts, float64 with a maximum of 1; zeros where all is flat."""
    import cv2

    grey = np.ascontiguousarray(grey)
    slopes = [cv2.Scharr(grey, cv2.CV_32F, dx, 1 - dx).astype(np.float64) for dx in (1, 0)]
    canny = cv2.Canny(grey, CANNY_LOW, CANNY_HIGH).astype(np.float64)
    return _to_one(_to_one(np.hypot(*slopes)) + canny / 255)


def _to_one(values: np.ndarray) -> np.ndarray:
    most = values.max()
    return values / most if most > 0 else values


def smoothed(values: np.ndarray, kernel_px: int, sigma_px: float, scale: float) -> np.ndarray:
    """Blurred by a Gaussian of ``kernel_px x kernel_px``, both sizes times ``scale``; the border is mirrored."""
    import cv2

    side = odd(kernel_px * scale)
    return cv2.GaussianBlur(values, (side, side), sigmaX=sigma_px * scale)


def odd(length_px: float) -> int:
    """The odd number next to a length, 3 at least."""
    return max(3, 2 * round((length_px - 1) / 2) + 1)


def fade_of(name: str, recipe: Literal["repo", "paper"]) -> Callable[[tuple[int, ...]], np.ndarray]:
    """What the edges inside a box of a class are multiplied by, as a function of its height and width."""
    if name == "face":
        return face_fade if recipe == "repo" else inverse_fade
    return inverse_fade if name == "head" and recipe == "paper" else fade


def fade(shape: tuple[int, ...]) -> np.ndarray:
    """``exp(-2 r^2)``: 1 in the middle."""
    return np.exp(-FADE * _squares(shape))


def inverse_fade(shape: tuple[int, ...]) -> np.ndarray:
    """``1 - exp(-r^2 / (2 0.6^2))``: 0 in the middle."""
    return 1 - np.exp(-_squares(shape) / (2 * INVERSE_FADE_SIGMA**2))


def face_fade(shape: tuple[int, ...]) -> np.ndarray:
    """The inverse fade from 0.3 on."""
    return FACE_LEAST + (1 - FACE_LEAST) * inverse_fade(shape)


def _squares(shape: tuple[int, ...]) -> np.ndarray:
    """r^2 over a box whose coordinates go from -1 to 1 between its outermost pixels; those of a single pixel are 0."""
    y, x = (np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in shape)
    return y[:, None] ** 2 + x**2


def halo(box: tuple[int, int, int, int], size: tuple[int, ...], scale: float) -> np.ndarray:
    """A second fade of the notebook, over the box and its padding: ``clip(exp(-0.8 (d / d_max)^2), 0.3, 1)``.

    d is the distance from the middle of what the image has of the padded box, d_max half its shorter side. There are no
    edges in the padding, so it is returned over the box alone. All in whole pixels, as there.
    """
    left, top, right, bottom = box
    pad = max(round(HALO_PX * scale), min(right - left, bottom - top) // HALO_OF_SIDE)
    x_from, y_from = max(0, left - pad), max(0, top - pad)
    width, height = min(size[1], right + pad) - x_from, min(size[0], bottom + pad) - y_from
    x = np.arange(left, right) - (x_from + width // 2)
    y = np.arange(top, bottom) - (y_from + height // 2)
    squares = (y[:, None] ** 2 + x**2) / (min(width, height) / 2) ** 2
    return np.clip(np.exp(-HALO_FADE * squares), HALO_LEAST, 1)
