"""Frechet encoder distance: FID's form on the pipeline's own encoder, and so not FID."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from srledger.metrics._frechet import FrechetMetric
from srledger.metrics._pipeline_encoder import ABOUT, ENCODER, as_seen, check_size, load
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class Fed(FrechetMetric):
    """Frechet distance of the restored set to the HR set of the same images, on the class token."""

    digits = 2
    pipeline_encoder = ENCODER
    protocol = (
        f"Frechet distance to the HR images of the same set on the class token of {ABOUT}: not FID; "
        "biased upwards for small n: compare only values of equal n, and of one scale"
    )

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        self.network = load(weights)

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> None:
        check_size(sr)
        super().measure(sr, hr)

    def features(self, image: torch.Tensor) -> torch.Tensor:
        return self.network.embed(as_seen(self.network, image)).flatten()
