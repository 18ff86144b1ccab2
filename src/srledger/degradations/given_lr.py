"""``given_lr``: the LR image that the data set brings, as benchmarks with their own LR files do."""

from __future__ import annotations

from typing import Any

import numpy as np

from srledger.degradations import Degradation
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig

MEND = "point the data set's lr_folder to LR files of the same names, or use degradation: bicubic"


class Config(PluginConfig):
    """Nothing to set: the images are given."""


class GivenLr(Degradation):
    """LR = the data set's own. Draws nothing."""

    def degrade(
        self, hr: np.ndarray, rng: np.random.Generator, given_lr: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See ``Degradation.degrade``.

        Raises:
            SrledgerError: there is no LR image, or it is not 1/s of the HR image in both directions.
        """
        expected = (hr.shape[0] // self.scale_factor, hr.shape[1] // self.scale_factor, hr.shape[2])
        if given_lr is None:
            raise SrledgerError("the data set brings no LR image", expected=f"one of {_size(expected)}", mend=MEND)
        if given_lr.shape != expected:
            raise SrledgerError(
                "the data set's LR image has the wrong size",
                found=_size(given_lr.shape),
                expected=f"{_size(expected)} (HR {_size(hr.shape)}, scale factor {self.scale_factor})",
                mend=MEND,
            )
        return given_lr, {}


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} px"
