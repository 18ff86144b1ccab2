"""DINO ViT-S/8 with its published weights: the file that torch.hub's ``dino_vits8`` and timm load.

The authors' own visualisations use another (300 epochs, ``dino_deitsmall8_300ep_pretrain``); YODA does not say which.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field

from srledger.encoders import Encoder
from srledger.encoders._imagenet import read_published, standardised
from srledger.encoders._vit import VisionTransformer
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """At which size it looks."""

    size_px: int = Field(default=224, ge=8, multiple_of=8, description="side that an LR image is enlarged to")


class DinoVits8(Encoder):
    """Twelve blocks of width 384, 6 heads, patches of 8 px: 21.7 million parameters."""

    weights = ("dino_vits8",)
    attends = True
    config: Config

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        with torch.random.fork_rng(devices=[]):  # the layers start at random before the weights are read
            self.vit = VisionTransformer(8, 384, 12, 6, 1536, 28)
        self.vit.load_state_dict(read_published(weight_files[self.weights[0]]))
        self.eval().requires_grad_(False)

    @property
    def size_px(self) -> int:
        return self.config.size_px

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.vit.maps(standardised(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        return self.vit(standardised(images))

    def attention(self, images: torch.Tensor) -> torch.Tensor:
        return self.vit.attention(standardised(images))
