"""NIQE with a pristine model that is fitted to the pipeline's own HR training images; needs no reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from srledger.encoders.scene_statistics import FEATURES, SceneStatistics, luma_of
from srledger.metrics import Metric, MetricUnavailable
from srledger.metrics._images import measure_each
from srledger.metrics._scene_statistics import distance_to_model
from srledger.plugins import PluginConfig

ENCODER = "scene_statistics"
LEAST_BLOCKS = 2


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class NiqeFitted(Metric):
    """NIQE's distance from the HR training images of the scale's faces, on smaller blocks than NIQE's."""

    higher_is_better = False
    bounds = (0, None)
    digits = 3
    pipeline_encoder = ENCODER
    paired = False
    protocol = (
        f"NIQE's features and distance, no reference, Y of YCbCr (BT.601, 16-235) from 8-bit RGB rounded, two scales, "
        f"with the pristine model and the block size of the encoder '{ENCODER}', fitted to the sharp blocks of the HR "
        "training images of its task: not NIQE and not on its scale; of one scale only, since each fits its own"
    )

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        if ENCODER not in weights:
            raise MetricUnavailable(f"there is no encoder '{ENCODER}'")
        from srledger.pipeline_encoders import load_encoder

        model = load_encoder(weights[ENCODER])
        assert isinstance(model, SceneStatistics)
        self.model = model
        self.mean, self.covariance = (values.cpu().numpy() for values in (model.mean, model.covariance))

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        """As the base. NaN for an image of which fewer than 2 blocks have any contrast."""
        (height_px, width_px), side = sr.shape[-2:], self.model.config.block_px
        blocks = (height_px // side) * (width_px // side)
        if blocks < LEAST_BLOCKS:  # one block has no covariance
            size = f"images of {width_px}x{height_px} px"
            raise MetricUnavailable(f"{size} hold {blocks} whole block(s) of {side} px, it needs {LEAST_BLOCKS}")
        return measure_each(lambda image, _: self._distance(image), sr, sr)

    def _distance(self, image: torch.Tensor) -> torch.Tensor:
        pixels: np.ndarray = image[0].permute(1, 2, 0).cpu().numpy()
        features = self.model.features(luma_of(pixels)).reshape(-1, FEATURES)
        distance = distance_to_model(features, self.mean, self.covariance, LEAST_BLOCKS)
        return torch.tensor(distance, dtype=torch.float64)
