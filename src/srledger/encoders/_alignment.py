"""Faces brought to the place where a recogniser expects them: a similarity transform fitted to five landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

# Eyes, nose and corners of the mouth in a frame 112 px high and 96 px wide (Liu et al., SphereFace, CVPR 2017).
SPHEREFACE_PX = np.array(
    [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]]
)
SPHEREFACE_SIZE = (112, 96)


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The ``2 x 3`` matrix of rotation, one scale and shift that takes ``N x 2`` points nearest to others.

    The least squares of Umeyama (1991), eq. 40 to 42; no mirroring.

    Raises:
        ValueError: all points of ``source`` are one.
    """
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    centred, wanted = source - from_mean, target - to_mean
    spread = float(np.square(centred).sum())
    if spread == 0:
        raise ValueError("all points are one")
    left, values, right = np.linalg.svd(wanted.T @ centred)
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right)) or 1.0])
    rotation = left @ np.diag(signs) @ right
    scale = float((values * signs).sum()) / spread
    linear = scale * rotation
    return np.concatenate([linear, (to_mean - linear @ from_mean)[:, None]], axis=1)


def aligned(
    images: torch.Tensor, landmarks: Sequence[np.ndarray], template_px: np.ndarray, size: tuple[int, int]
) -> torch.Tensor:
    """Faces of ``B x 3 x H x W`` as ``B x 3 x height x width``, landmarks ``5 x 2`` on the template's; differentiable.

    Bicubic, clamped to [0, 1]; what lies outside of an image is black, as in the recognisers' own preparation. Faces
    that are shrunk are not filtered: the templates hold about as many pixels as a face here.
    """
    (height, width), (high, wide) = images.shape[-2:], size
    thetas = []
    for points in landmarks:
        to_image = similarity_transform(template_px, points)  # where a pixel of the frame is looked up
        # From pixel centres at whole numbers to sides at -1 and 1, on both ends.
        from_unit = np.array([[wide / 2, 0, (wide - 1) / 2], [0, high / 2, (high - 1) / 2], [0, 0, 1]])
        to_unit = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
        thetas.append((to_unit @ np.vstack([to_image, [0, 0, 1]]) @ from_unit)[:2])
    theta = torch.tensor(np.stack(thetas), dtype=torch.float32, device=images.device)
    grid = F.affine_grid(theta, [len(images), 3, high, wide], align_corners=False)
    return F.grid_sample(images.float(), grid, mode="bicubic", align_corners=False).clamp(0, 1)
