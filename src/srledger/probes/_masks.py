"""Which pixels attention-guided diffusion has reached after how many steps, counted and not sampled.

Going back from t = T to 1, a pixel with attention A is refined in step t when T max(A, l) >= t (rule ``max``) or
T (A + l) >= t (rule ``sum``): so it takes part in the last floor(T max(A, l)) steps, at most T.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from srledger.probes import MapsConfig

SLACK = 1e-6  # 100 x 0.29 is 28.999999999999996: a pixel must not lose a step to that


class MaskConfig(MapsConfig):
    """The mask rule. Neither it nor l can be recovered from the paper: the reading taken is part of every number."""

    steps: int = Field(default=500, ge=1, description="T: reverse steps")
    lower_bound: float = Field(default=0.3, ge=0, le=1, description="l: least share of the steps of any pixel")
    rule: Literal["max", "sum"] = "max"

    def words(self) -> str:
        """The rule, and how sure it is, as a reader wants it."""
        meets = "max(A, l)" if self.rule == "max" else "(A + l)"
        rule = f"T {meets} \N{GREATER-THAN OR EQUAL TO} t, T = {self.steps}, l = {self.lower_bound:g}"
        return f"Mask: {rule}. Neither the rule nor l can be recovered from the paper; these are readings of it."


def steps_of(attention: np.ndarray, config: MaskConfig) -> np.ndarray:
    """How many of the T steps each pixel takes part in, int64, the shape of ``attention`` (in [0, 1])."""
    bound = config.lower_bound
    raised = np.maximum(attention, bound) if config.rule == "max" else attention + bound
    return np.minimum(np.floor(config.steps * raised + SLACK), config.steps).astype(np.int64)


def area_by_step(attention: np.ndarray, config: MaskConfig) -> np.ndarray:
    """Share of the pixels in the mask at each step, float64 ``T``: first t = T, last t = 1."""
    entered = np.bincount(config.steps - steps_of(attention, config).ravel(), minlength=config.steps + 1)
    return np.cumsum(entered[: config.steps]) / attention.size
