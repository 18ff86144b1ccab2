"""``none``: images that are poor already, restored as they are. Nobody has better ones to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np

from srledger.degradations import Degradation
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Nothing to set: nothing is done."""


class NoDegradation(Degradation):
    """LR = the image, at the task's size. Draws nothing."""

    gives_reference = False

    def degrade(
        self, hr: np.ndarray, rng: np.random.Generator, given_lr: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See ``Degradation.degrade``.

        Raises:
            SrledgerError: the scale factor is not 1: an image can't stand for a larger one.
        """
        if self.scale_factor != 1:
            raise SrledgerError(
                "images without a reference are restored at their own size", found=f"scale factor {self.scale_factor}",
                expected="scale factor 1", mend="set scale_factor: 1, or take a degradation",
            )  # fmt: skip
        return hr, {}
