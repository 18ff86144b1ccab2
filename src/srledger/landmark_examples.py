"""Landmarks as a third array of training examples, so that crops and mirrorings of the loop move them too.

A landmark map is float16 ``H x W x 1``: zero, and k + 1 at the pixel of landmark k.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from srledger.errors import SrledgerError
from srledger.io import read_json, sha256_file
from srledger.training.batches import Examples

COUNT = 5
IMAGES = "images.json"


class LandmarkExamples(Examples):
    """(hr, lr, landmark map) of one split of a task, before there is any prior.

    Raises:
        SrledgerError: an image of the split has no landmarks.
    """

    def __init__(self, task_folder: Path, split: str) -> None:
        super().__init__(task_folder, None, split)
        self.landmarks_sha256 = sha256_file(task_folder / IMAGES)
        known = {image["id"]: image["landmarks"] for image in read_json(task_folder / IMAGES)}
        missing = [name for name in self.ids if known.get(name) is None]
        if missing:
            raise SrledgerError(
                "images have no landmarks to learn from", where=task_folder / IMAGES,
                found=f"none for {', '.join(missing[:3])}" + (f" and {len(missing) - 3} more" if missing[3:] else ""),
                expected=f"{COUNT} landmarks for each of {len(self.ids)} images",
                mend="name a task of a data set with landmarks in the encoder's entry",
            )  # fmt: skip
        self._points = [np.array(known[name], np.float64) for name in self.ids]

    def __getitem__(self, position):
        """uint8 ``H x W x 3``, uint8 ``h x w x 3``, float16 ``H x W x 1``."""
        hr, lr, _ = super().__getitem__(position)
        return hr, lr, landmark_map(self._points[position], hr.shape[:2])


def landmark_map(points_px: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The map of ``5 x 2`` points (x, y), which may lie a little outside: each stands at the nearest free pixel."""
    height, width = size
    found = np.zeros((height, width, 1), np.float16)
    wanted = np.clip(np.asarray(points_px, np.float64), 0, [width - 1, height - 1])
    for k, (at_x, at_y) in enumerate(wanted):
        x, y = round(at_x), round(at_y)
        if found[y, x, 0]:  # taken: two landmarks at one pixel
            free_y, free_x = np.nonzero(found[..., 0] == 0)
            nearest = int(((free_x - at_x) ** 2 + (free_y - at_y) ** 2).argmin())
            x, y = int(free_x[nearest]), int(free_y[nearest])
        found[y, x, 0] = k + 1
    return found


def points_of_maps(maps: torch.Tensor) -> np.ndarray:
    """The points of maps ``B x 1 x H x W``: float64 ``B x 5 x 2`` (x, y) in pixels.

    Raises:
        SrledgerError: a map does not hold each landmark once: it is no landmark map, or was cropped.
    """
    values = maps[:, 0].float().cpu().numpy()
    found = np.full((len(values), COUNT, 2), np.nan)
    image, y, x = np.nonzero(values)
    marks = values[image, y, x]
    whole = len(marks) == len(values) * COUNT and set(np.unique(marks)) == set(range(1, COUNT + 1))
    if whole:
        found[image, marks.astype(int) - 1] = np.stack([x, y], axis=-1)
    if not whole or np.isnan(found).any():
        raise SrledgerError(
            "an image of the batch does not show all its landmarks", found=f"{len(marks)} in {len(values)} images",
            expected=f"{COUNT} in each", mend="set training.crop_px of the encoder to null",
        )  # fmt: skip
    return found
