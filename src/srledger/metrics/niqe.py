"""NIQE: how far an image's statistics lie from those of pristine photographs; needs no reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from srledger.metrics import Metric, MetricUnavailable
from srledger.metrics._images import luma_ycbcr, measure_each, weight_file
from srledger.metrics._scene_statistics import block_features, halve_bicubic, normalise_contrast
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
        features = self._features(luma_ycbcr(image)[0, 0].round().cpu().numpy())
        whole = features[~np.isnan(features).any(axis=1)]
        if len(whole) < LEAST_BLOCKS:
            return torch.tensor(float("nan"), dtype=torch.float64)
        difference = self.mean - np.nanmean(features, axis=0)
        pooled = (self.covariance + np.cov(whole, rowvar=False)) / 2
        return torch.tensor(np.sqrt(difference @ np.linalg.pinv(pooled) @ difference))  # eq. 10

    def _features(self, luma: np.ndarray) -> np.ndarray:
        """36 features of each block, 18 a scale: ``blocks x 36``."""
        rows, columns = luma.shape[0] // BLOCK_PX, luma.shape[1] // BLOCK_PX
        luma = luma[: rows * BLOCK_PX, : columns * BLOCK_PX]
        scales = []
        for block_px in (BLOCK_PX, BLOCK_PX // 2):
            contrast = normalise_contrast(luma, lambda values: ndimage.correlate(values, self.window, mode="nearest"))
            blocks = contrast.reshape(rows, block_px, columns, block_px).swapaxes(1, 2).reshape(-1, block_px, block_px)
            scales.append(np.array([block_features(block) for block in blocks]))
            luma = halve_bicubic(luma)
        return np.concatenate(scales, axis=1)
