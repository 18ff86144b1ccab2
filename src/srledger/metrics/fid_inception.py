"""FID on the Inception network it is defined on."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from srledger.metrics._frechet import FrechetMetric
from srledger.metrics._images import weight_file
from srledger.plugins import PluginConfig

FEATURE = "2048"


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class FidInception(FrechetMetric):
    """Frechet Inception distance (Heusel et al. 2017) of the restored set to the HR set of the same images."""

    digits = 2
    weights = ("inception_fid",)
    protocol = (
        "FID to the HR images of the same set, TensorFlow Inception-v3 2015-12-05 pool3 (2048-d), resized as "
        "TensorFlow 1 does (torch-fidelity); biased upwards for small n: "
        "below 1000 images compare only values of equal n"
    )

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        self.network = build_inception(weight_file(weights, self.weights[0]))

    def features(self, image: torch.Tensor) -> torch.Tensor:
        return self.network.to(image.device)(image)[0].flatten()


def build_inception(file: Path) -> nn.Module:
    """torch-fidelity's frozen extractor: uint8 ``B x 3 x H x W`` to a tuple of one tensor ``B x 2048``."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity unpickles whatever file it is given; so it is given only tensors that were read safely before.
    safe = io.BytesIO()
    torch.save(torch.load(file, map_location="cpu", weights_only=True), safe)
    safe.seek(0)
    with torch.random.fork_rng(devices=[]):  # its layers start at random
        return FeatureExtractorInceptionV3("inception-v3-compat", [FEATURE], feature_extractor_weights_path=safe)
