"""The SqueezeNet encoder as the metrics build it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from srledger.encoders import Encoder
from srledger.encoders.squeezenet1_1_caffe import Config, SqueezeNet11Caffe
from srledger.metrics._images import weight_file

ENCODER = "squeezenet1_1_caffe"
LEAST_PX = 32


def build_squeezenet(weights: Mapping[str, Path]) -> Encoder:
    """The frozen encoder. Raises MetricUnavailable when its weights are not among ``weights``."""
    weight_file(weights, ENCODER)
    return SqueezeNet11Caffe(Config(), weights)


def feature_maps(encoder: Encoder, images: torch.Tensor) -> list[torch.Tensor]:
    """The encoder's maps of uint8 RGB ``B x 3 x H x W``."""
    return encoder.to(images.device)(images.to(torch.float32) / 255.0)
