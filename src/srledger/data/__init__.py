"""Data sources: each file yields named HR images with split, identity and landmarks."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from srledger.plugins import PluginConfig

SPLITS = ("train", "val", "test")
LANDMARK_NAMES = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")  # left and right as seen in the image


@dataclasses.dataclass(frozen=True)
class SourceImage:
    """One HR image as a source gives it.

    Attributes:
        id: unique in its dataset; letters, digits, ``.``, ``_`` and ``-``.
        split: ``train``, ``val`` or ``test``.
        pixels: uint8 ``H x W x 3``, RGB.
        identity: who is shown, or None where the set has no identities.
        landmarks: float64 ``5 x 2`` (x, y) in pixels of ``pixels``, in the order of LANDMARK_NAMES, or None.
            Pixel centres stand at whole numbers.
        lr: uint8 ``h x w x 3`` when the set brings its own LR image, else None.
    """

    id: str
    split: str
    pixels: np.ndarray
    identity: str | None = None
    landmarks: np.ndarray | None = None
    lr: np.ndarray | None = None


class Source(abc.ABC):
    """Where images come from. ``Source(config).images()`` yields them in a fixed order."""

    licence: str
    redistributable: bool  # may pictures made from it stand in a committed report?

    def __init__(self, config: PluginConfig) -> None:
        self.config = config
        # Files that settings let it pass over, (name, why): known when all images have been given.
        self.left_out: list[tuple[str, str]] = []

    @abc.abstractmethod
    def images(self) -> Iterator[SourceImage]:
        """All images of all splits. The same config gives the same images, bit for bit."""

    def watched_files(self) -> list[Path]:
        """Every local file that the source reads, so that an edit can be noticed; none for what is made or bundled."""
        return []
