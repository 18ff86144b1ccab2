"""``face_dual``: the face degradation of OSDFace, WaveFace's ranges in two passes, drawn anew for each.

That OSDFace degrades in two stages with WaveFace's parameters is stated; the ranges themselves are second-hand (grade
B, specification III.2), and that both passes blur and that half of the kernels are isotropic is our reading.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.degradations._face_chain import Drawn, FaceChain, FaceConfig, Preset, draw_stage


class Config(FaceConfig):
    """See ``FaceConfig``.

    Attributes:
        n_stages: passes.
        later_blur_probability: of the blur in the second pass and those after it.
    """

    preset: Preset = "waveface"
    n_stages: int = Field(default=2, ge=1, le=4)
    later_blur_probability: float = Field(default=1.0, ge=0, le=1)


class FaceDual(FaceChain):
    """Two passes, or ``n_stages``."""

    config: Config

    def draw(self, side_px: int, rng: np.random.Generator) -> Drawn:
        """See ``FaceChain.draw``."""
        blurs = [1.0] + [self.config.later_blur_probability] * (self.config.n_stages - 1)
        return Drawn(side_px=side_px, stages=[draw_stage(self.config, side_px, blur, rng) for blur in blurs])
