"""NIQE: how far an image's statistics lie from those of pristine photographs; needs no reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from srledger.metrics import Metric, MetricUnavailable
from srledger.metrics._images import luma_ycbcr, measure_each, weight_file
from srledger.metrics._scene_statistics import block_maps, distance_to_model
from srledger.plugins import PluginConfig

BLOCK_PX = 96
LEAST_BLOCKS = 2


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class Niqe(Metric):
    """Natural image quality evaluator (Mittal et al. 2013) as BasicSR computes it; lower is more natural."""

    higher_is_better = False
    bounds = (0, None)
    digits = 3
    weights = ("niqe_pris_params",)
    paired = False
    protocol = (
        "NIQE, no reference, Y of YCbCr (BT.601, 16-235) from 8-bit RGB rounded, 96 px blocks, two scales, MATLAB "
        "bicubic halving, border 0, BasicSR's pristine model"
    )

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        with np.load(weight_file(weights, self.weights[0]), allow_pickle=False) as pristine:
            self.mean = pristine["mu_pris_param"].ravel()
            self.covariance = pristine["cov_pris_param"]
            self.window = pristine["gaussian_window"]

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        """As the base. NaN for an image of which fewer than 2 blocks have any contrast."""
        height_px, width_px = sr.shape[-2:]
        blocks = (height_px // BLOCK_PX) * (width_px // BLOCK_PX)
        if blocks < LEAST_BLOCKS:  # one block has no covariance
            size = f"images of {width_px}x{height_px} px"
            raise MetricUnavailable(f"{size} hold {blocks} whole block(s) of {BLOCK_PX} px, NIQE needs {LEAST_BLOCKS}")
        return measure_each(lambda image, _: self._distance(image), sr, sr)

    def _distance(self, image: torch.Tensor) -> torch.Tensor:
        features = block_maps(luma_ycbcr(image)[0, 0].round().cpu().numpy(), BLOCK_PX, self.window)
        distance = distance_to_model(features.reshape(-1, features.shape[-1]), self.mean, self.covariance, LEAST_BLOCKS)
        return torch.tensor(distance, dtype=torch.float64)
