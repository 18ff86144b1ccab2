"""A perceptual distance on SqueezeNet features: LPIPS' form without its learned heads, and so not LPIPS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from srledger.metrics import Metric
from srledger.metrics._images import measure_each, require_size
from srledger.metrics._squeezenet import LEAST_PX, build_squeezenet, feature_maps
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class SqueezenetDistance(Metric):
    """Squared distance of channel-normalised features, mean over space, summed over seven layers."""

    higher_is_better = False
    bounds = (0, None)
    weights = ("squeezenet1_1_caffe",)
    protocol = (
        "distance on SqueezeNet 1.1 features (original Caffe weights, ImageNet), unit-normalised over channels, "
        "squared, mean over space, sum over 7 layers, no learned heads: not LPIPS and not on its scale"
    )

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        self.encoder = build_squeezenet(weights)

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, LEAST_PX)
        return measure_each(self._distance, sr, hr)

    def _distance(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        layers = zip(feature_maps(self.encoder, sr), feature_maps(self.encoder, hr), strict=True)
        return torch.stack([layer_distance(a, b) for a, b in layers]).sum()


def layer_distance(maps_a: torch.Tensor, maps_b: torch.Tensor) -> torch.Tensor:
    """Mean over space of the squared distance of unit feature vectors (Zhang et al. 2018, eq. 1, all weights 1)."""
    unit_a, unit_b = (maps / (maps.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for maps in (maps_a, maps_b))
    return (unit_a - unit_b).square().sum(dim=1).mean()
