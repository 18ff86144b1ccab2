"""``bicubic``: MATLAB's antialiased bicubic reduction, the degradation of the classical benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np

from srledger.degradations import Degradation
from srledger.imresize import imresize_uint8
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Nothing to set: the kernel is fixed by the name."""


class Bicubic(Degradation):
    """LR = imresize(HR, 1/s), cubic a = -0.5 with antialiasing, rounded half up. Draws nothing."""

    def degrade(
        self, hr: np.ndarray, rng: np.random.Generator, given_lr: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See ``Degradation.degrade``."""
        height_px, width_px = hr.shape[0] // self.scale_factor, hr.shape[1] // self.scale_factor
        return imresize_uint8(hr, height_px, width_px), {}
