"""A MobileFaceNet cut down, which learns to tell the training identities apart with CosFace's margin.

The second opinion beside ``recogniser``: another architecture and another loss, so that a method that was trained
against the one can be judged by the other.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import nn

from srledger.encoders._margin import Margin
from srledger.encoders._mobile import MobileFace
from srledger.encoders._recognition import RecogniserConfig, TrainedRecogniser

STRIDE_PX = 8  # of the last map


class Config(RecogniserConfig):
    """Sizes; by default 0.13 million parameters."""

    stem: int = Field(default=32, ge=1, description="channels of the first two layers")
    channels: int = Field(default=64, ge=1, description="of the last bottlenecks; half as many before them")
    expansion: int = Field(default=2, ge=1, description="how much wider a bottleneck is inside")
    blocks: int = Field(default=2, ge=1, description="bottlenecks of each of the two sizes")
    last: int = Field(default=256, ge=1, description="channels that the global depthwise convolution sees")
    margin: Margin = Margin(kind="cosface", margin=0.2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size_px % STRIDE_PX:
            raise ValueError(f"size_px ({self.size_px}) must be a multiple of {STRIDE_PX}")
        if self.channels % 2:
            raise ValueError(f"channels ({self.channels}) must be even")
        return self


class MobileRecogniser(TrainedRecogniser):
    """Three maps, at strides 4, 8 and 8."""

    config: Config

    def build_network(self) -> nn.Module:
        config, grid = self.config, self.config.size_px // STRIDE_PX
        stages = [
            (config.expansion, config.channels // 2, config.blocks, 2),
            (2 * config.expansion, config.channels, 1, 2),
            (config.expansion, config.channels, config.blocks, 1),
        ]
        return MobileFace(config.stem, stages, config.last, (grid, grid), config.width)

    @property
    def margin(self) -> Margin:
        return self.config.margin

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        assert isinstance(self.network, MobileFace)
        return self.network.maps(self.seen(images))

    def vectors(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.network(images)
        return found
