"""Priors: each file makes one map per image, in [0, 1], computed once before training."""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar

import numpy as np

from srledger.plugins import PluginConfig


@dataclasses.dataclass(frozen=True)
class PriorInput:
    """What a prior may look at.

    Attributes:
        id, split: of the image.
        hr: uint8 ``H x W x 3``; a prior that is used at inference must not read it.
        lr: uint8 ``h x w x 3``.
        landmarks: float64 ``5 x 2`` (x, y) in pixels of ``hr``, or None.
    """

    id: str
    split: str
    hr: np.ndarray
    lr: np.ndarray
    landmarks: np.ndarray | None


class Prior(abc.ABC):
    """A map per image.

    Class attributes:
        constant: it says the same of every pixel, and means to.
    """

    constant: ClassVar[bool] = False

    def __init__(self, config: PluginConfig) -> None:
        self.config = config

    @abc.abstractmethod
    def map_of(self, image: PriorInput) -> np.ndarray:
        """The map of one image: float ``H x W`` in [0, 1], or ``1 x 1`` for a constant one."""
