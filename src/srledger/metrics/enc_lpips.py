"""A perceptual distance on the pipeline's own encoder: LPIPS' form without its learned heads, and so not LPIPS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from srledger.metrics import Metric
from srledger.metrics._images import measure_each
from srledger.metrics._pipeline_encoder import ABOUT, ENCODER, as_seen, check_size, load
from srledger.metrics.squeezenet_distance import layer_distance
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class EncLpips(Metric):
    """Squared distance of channel-normalised patch tokens, mean over space, summed over the blocks."""

    higher_is_better = False
    bounds = (0, None)
    pipeline_encoder = ENCODER
    protocol = (
        f"distance on the patch tokens of {ABOUT}, unit-normalised over channels, squared, mean over space, sum over "
        "the blocks, no learned heads: not LPIPS and not on its scale; of one scale only, since each trains its own"
    )

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        self.network = load(weights)

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        check_size(sr)
        return measure_each(self._distance, sr, hr)

    def _distance(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        blocks = zip(*(self.network(as_seen(self.network, images)) for images in (sr, hr)), strict=True)
        return torch.stack([layer_distance(a, b) for a, b in blocks]).sum()
