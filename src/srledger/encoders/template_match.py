"""Normalised cross-correlation with the parts of the mean face of the training images.

Learnt in closed form (``fits``): the mean of the grey images, enlarged or reduced to one size, and the mean of their
landmarks. The parts are cut from it by the size rule of ``facial_parts``. For aligned faces: of others the mean shows
nothing. Source: J. P. Lewis, "Fast normalized cross-correlation", 1995, as in scikit-image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from srledger.encoders import Encoder
from srledger.encoders._detection import Asked, Detections
from srledger.encoders._facial_boxes import cut_to, detections_of, suppressed
from srledger.errors import SrledgerError
from srledger.facial_parts import BOXES, PARTS, boxes_of_landmarks
from srledger.imresize import imresize
from srledger.plugins import PluginConfig

if TYPE_CHECKING:
    from srledger.priors import PriorInput

GREY = np.array([0.299, 0.587, 0.114])  # of ITU-R BT.601


class Config(PluginConfig):
    """At which size, and how much larger or smaller than in the mean face, parts are looked for."""

    size_px: int = Field(default=64, ge=16, description="long side of what is compared; images are brought to it")
    scales: tuple[float, ...] = Field(default=(1.0,), min_length=1, description="of the parts of the mean face")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if min(self.scales) <= 0.2 or max(self.scales) >= 5:
            raise ValueError(f"scales must lie between 0.2 and 5, found {list(self.scales)}")
        return self


class TemplateMatch(Encoder):
    """One template per landmark and one for the mouth; the confidence is the correlation, negative ones being 0."""

    fits = True
    detects = True
    config: Config
    mean_face: torch.Tensor
    mean_landmarks: torch.Tensor

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        self.register_buffer("mean_face", torch.zeros(config.size_px, config.size_px))
        self.register_buffer("mean_landmarks", torch.zeros(5, 2))

    @property
    def classes(self) -> tuple[str, ...]:
        return PARTS

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """No maps."""
        return []

    def fit(self, images: Iterable[PriorInput]) -> None:
        """Take the mean of images and landmarks.

        Raises:
            SrledgerError: an image without landmarks, or one that is not square: a mean has one shape.
        """
        face, points, count = np.zeros(tuple(self.mean_face.shape)), np.zeros((5, 2)), 0
        for image in images:
            if image.landmarks is None or image.hr.shape[0] != image.hr.shape[1]:
                raise SrledgerError(
                    "the detector template_match learns from square images with landmarks", where=f"image {image.id}",
                    found="no landmarks" if image.landmarks is None else f"{image.hr.shape[1]}x{image.hr.shape[0]} px",
                    mend="take another task in its entry under encoders",
                )  # fmt: skip
            factor = self.config.size_px / image.hr.shape[0]
            face += imresize(image.hr @ GREY, self.config.size_px, self.config.size_px)
            points += (image.landmarks + 0.5) * factor - 0.5
            count += 1
        if not count:
            raise SrledgerError("the detector template_match has no images to learn from")
        self.mean_face.copy_(torch.from_numpy(face / count / 255))
        self.mean_landmarks.copy_(torch.from_numpy(points / count))

    def detect(
        self, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None], asked: Asked
    ) -> list[Detections]:
        """The peaks of each template's correlation, after non-max suppression within each class."""
        templates = list(self._templates())
        return [self._detect(image, templates, asked) for image in images]

    def _templates(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """(part, grey patch, the part's box in the patch) at every scale, cut from the mean face in whole pixels."""
        face = self.mean_face.double().cpu().numpy()
        boxes = cut_to(boxes_of_landmarks(self.mean_landmarks.double().cpu().numpy()), *face.shape)
        for name, box in zip(BOXES, boxes, strict=True):
            left, top, right, bottom = (round(float(edge)) for edge in box)
            patch = face[top : max(bottom, top + 2), left : max(right, left + 2)]
            for scale in self.config.scales:
                height, width = (max(3, round(side * scale)) for side in patch.shape)
                inside = (box - [left, top, left, top]) * (np.array([width, height] * 2) / (patch.shape[::-1] * 2))
                yield name, patch if (height, width) == patch.shape else imresize(patch, height, width), inside

    def _detect(
        self, image: np.ndarray, templates: list[tuple[str, np.ndarray, np.ndarray]], asked: Asked
    ) -> Detections:
        from skimage.feature import match_template, peak_local_max

        height, width = image.shape[:2]
        factor = self.config.size_px / max(height, width)
        grey = imresize(image @ GREY, max(1, round(height * factor)), max(1, round(width * factor))) / 255
        boxes, classes, scores = [], [], []
        for name, patch, inside in templates:
            if patch.shape[0] > grey.shape[0] or patch.shape[1] > grey.shape[1]:
                continue
            alike = match_template(grey, patch, pad_input=True, mode="edge")
            for y, x in peak_local_max(alike, threshold_abs=max(asked.confidence, 1e-6), exclude_border=False):
                # With padded input the answer stands at the pixel right of or below the middle of an even patch.
                top, left = y - patch.shape[0] // 2, x - patch.shape[1] // 2
                boxes.append(inside + np.array([left, top, left, top]))
                classes.append(name)
                scores.append(alike[y, x])
        to_image = np.array([width / grey.shape[1], height / grey.shape[0]] * 2)
        found = detections_of(
            np.array(boxes, np.float64).reshape(-1, 4) * to_image, classes, np.array(scores), (height, width)
        )
        return suppressed(found, asked)
