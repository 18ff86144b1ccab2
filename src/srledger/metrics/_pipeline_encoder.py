"""The encoder of the pipeline as the metrics take it: trained on the training faces, and frozen since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from srledger.encoders import Encoder
from srledger.encoders.tiny_dino_vit import TinyDinoVit
from srledger.metrics import MetricUnavailable
from srledger.metrics._images import require_size

ENCODER = "tiny_dino_vit"
LEAST_PX, MOST_PX = 16, 256  # attention grows with the fourth power of the side
ABOUT = f"the encoder '{ENCODER}', a small ViT trained in this pipeline by DINO self-distillation on the training faces"


def load(weights: Mapping[str, Path]) -> Encoder:
    """The frozen encoder. Raises MetricUnavailable where the scale has none."""
    if ENCODER not in weights:
        raise MetricUnavailable(f"there is no encoder '{ENCODER}'")
    from srledger.pipeline_encoders import load_encoder

    encoder = load_encoder(weights[ENCODER])
    if not isinstance(encoder, TinyDinoVit):
        raise MetricUnavailable(f"the encoder '{ENCODER}' is of another kind than the metric says")
    return encoder


def check_size(images: torch.Tensor) -> None:
    """Raise MetricUnavailable for images that are too small or too large to be seen by the encoder."""
    require_size(images, LEAST_PX)
    if max(images.shape[-2:]) > MOST_PX:
        raise MetricUnavailable(f"{ENCODER} sees images of at most {MOST_PX} px")


def as_seen(encoder: Encoder, images: torch.Tensor) -> torch.Tensor:
    """uint8 RGB ``B x 3 x H x W`` as the encoder takes it; moves the encoder to the images' device."""
    encoder.to(images.device)
    return images.to(torch.float32) / 255.0
