"""Frechet distance on SqueezeNet features: FID's form on another network, and so not FID."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from srledger.metrics._frechet import FrechetMetric
from srledger.metrics._images import require_size
from srledger.metrics._squeezenet import LEAST_PX, build_squeezenet, feature_maps
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class FrechetSqueezenet(FrechetMetric):
    """Frechet distance of the restored set to the HR set of the same images, in 512 dimensions."""

    digits = 2
    weights = ("squeezenet1_1_caffe",)
    protocol = (
        "Frechet distance to the HR images of the same set on SqueezeNet 1.1 features (original Caffe weights, "
        "ImageNet), last layer, mean over space (512-d): not FID; "
        "biased upwards for small n: compare only values of equal n"
    )

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        self.encoder = build_squeezenet(weights)

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> None:
        require_size(sr, LEAST_PX)
        super().measure(sr, hr)

    def features(self, image: torch.Tensor) -> torch.Tensor:
        return feature_maps(self.encoder, image)[-1].mean(dim=(2, 3)).flatten()
