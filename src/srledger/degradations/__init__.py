"""Degradations: each file turns an HR image into its LR image."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np

from srledger.plugins import PluginConfig


class Degradation(abc.ABC):
    """HR -> LR. Draws come from the generator that is passed in, one per image.

    Class attributes:
        gives_reference: whether HR is what is to be restored; False where the images are restored as they are and
            nobody has better ones: then HR and LR are one image.
    """

    gives_reference: ClassVar[bool] = True

    def __init__(self, config: PluginConfig, scale_factor: int) -> None:
        self.config = config
        self.scale_factor = scale_factor

    @abc.abstractmethod
    def degrade(
        self, hr: np.ndarray, rng: np.random.Generator, given_lr: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The LR image of ``hr`` and the parameters that were drawn for it.

        Args:
            hr: uint8 ``H x W x 3``; H and W are multiples of the scale factor.
            rng: seeded by (image id, degradation, seed).
            given_lr: the LR image that the data set brought, when it brought one.

        Returns:
            uint8 ``H/s x W/s x 3`` and a JSON-able dict (empty when nothing is drawn).
        """
