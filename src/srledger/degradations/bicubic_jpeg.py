"""``bicubic_jpeg``: MATLAB's antialiased bicubic reduction, then JPEG once: compression and nothing else.

The chains of ``real_esrgan`` compress among blur, noise and resizing; this tells what compression does alone.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from srledger.degradations import Degradation
from srledger.degradations._operators.draws import IntegerRange, integer
from srledger.degradations._operators.eight_bit import pixels_of, planes_of, through_jpeg
from srledger.imresize import imresize_uint8
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """The range of qualities is that of ``real_esrgan`` (specification III.1)."""

    jpeg_quality: IntegerRange = Field(default=(30, 95), description="drawn uniformly, both ends included; 1 to 100")

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.jpeg_quality
        if not 1 <= low <= high <= 100:
            raise ValueError(f"jpeg_quality lies within 1 and 100, found {list(self.jpeg_quality)}")
        return self


class BicubicJpeg(Degradation):
    """LR = JPEG_q(imresize(HR, 1/s)), q whole and uniform, chroma halved (4:2:0)."""

    config: Config

    def degrade(
        self, hr: np.ndarray, rng: np.random.Generator, given_lr: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See ``Degradation.degrade``."""
        height_px, width_px = hr.shape[0] // self.scale_factor, hr.shape[1] // self.scale_factor
        quality = integer(rng, self.config.jpeg_quality)
        compressed = through_jpeg(planes_of(imresize_uint8(hr, height_px, width_px)), quality)
        return pixels_of(compressed), {"jpeg_quality": quality}
