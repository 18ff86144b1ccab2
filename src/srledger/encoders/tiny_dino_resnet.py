"""A small residual network that learns by DINO self-distillation on the training images of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.encoders import Encoder
from srledger.encoders._self_distillation import Distillation, SelfDistillation
from srledger.plugins import PluginConfig

GROUPS = 8


class Config(PluginConfig):
    """Sizes; by default 0.9 million parameters."""

    widths: tuple[int, int, int, int] = Field(default=(32, 64, 128, 192), description="channels of layer1 to layer4")
    blocks: tuple[int, int, int, int] = Field(default=(1, 1, 1, 1), description="of layer1 to layer4")
    size_px: int = Field(default=64, ge=8, description="side that an LR image is enlarged to for its maps")
    distillation: Distillation = Distillation()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(width < GROUPS or width % GROUPS for width in self.widths) or min(self.blocks) < 1:
            raise ValueError(f"widths must be multiples of {GROUPS} and blocks at least 1")
        return self


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with group norms, which unlike batch norms are the same for any batch."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, channels)
        self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(maps)))))
        return F.relu(inner + self.shortcut(maps))


class TinyDinoResnet(Encoder):
    """Four maps, at strides 2, 4, 4 and 8 of the image; the last two are what class activation maps are made of."""

    learns = True
    config: Config

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.widths[0], 3, 2, 1, bias=False), nn.GroupNorm(GROUPS, config.widths[0]), nn.ReLU()
        )
        layers, before = [], config.widths[0]
        for width, blocks, stride in zip(config.widths, config.blocks, (1, 2, 1, 2), strict=True):
            layers.append(
                nn.Sequential(
                    *(ResidualBlock(before if k == 0 else width, width, stride if k == 0 else 1) for k in range(blocks))
                )
            )
            before = width
        self.layers = nn.ModuleList(layers)

    @property
    def size_px(self) -> int:
        return self.config.size_px

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps, found = self.stem(images * 4 - 2), []
        for layer in self.layers:
            maps = layer(maps)
            found.append(maps)
        return found

    def learner(self, scale_factor: int) -> ResnetDistillation:
        return ResnetDistillation(self, self.config.widths[-1], self.config.distillation, scale_factor)


class ResnetDistillation(SelfDistillation):
    """The head sees what sets an image apart from its batch, as behind the batch norms of DINO's ResNet-50.

    Pooled group norms are all but the same for any image. Centring takes away what is, the teacher's answers become the
    uniform one, and so do the student's: on real faces the loss stood at ln(outputs) from step 200 on.
    """

    def _answers(self, network: nn.ModuleDict, views: torch.Tensor) -> torch.Tensor:
        encoder = network["encoder"]
        assert isinstance(encoder, Encoder)
        features = F.batch_norm(encoder.embed(views).float(), None, None, training=True)
        return network["head"](features).float()
