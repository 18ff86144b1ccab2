"""``face_single``: one pass of blur, reduction, noise and JPEG, with the ranges of a published system.

VQFR, CodeFormer, OSEDiff (on faces), DAEFR and DiffBIR degrade so (specification III.2). Values are those at 512 px;
blur and reduction are scaled by side/512.
"""

from __future__ import annotations

import numpy as np

from srledger.degradations._face_chain import Drawn, FaceChain, FaceConfig, Preset, draw_stage


class Config(FaceConfig):
    """See ``FaceConfig``."""

    preset: Preset = "codeformer"


class FaceSingle(FaceChain):
    """One pass."""

    config: Config

    def draw(self, side_px: int, rng: np.random.Generator) -> Drawn:
        """See ``FaceChain.draw``."""
        return Drawn(side_px=side_px, stages=[draw_stage(self.config, side_px, 1.0, rng)])
