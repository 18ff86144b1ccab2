"""A small residual network that learns to tell the training identities apart with ArcFace's margin.

It stands in for the ArcFace networks of papers under a name of its own, where those can't be had. Source: OSDFace,
spec V, "Honest substitutes"; the head is the one of Deng et al. (CVPR 2019), section 3.2: the whole grid of the last
map, a batch norm on either side of the linear layer.
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.encoders._margin import Margin
from srledger.encoders._recognition import RecogniserConfig, TrainedRecogniser

STRIDE_PX = 16  # of the last map


class Config(RecogniserConfig):
    """Sizes; by default 0.9 million parameters."""

    widths: tuple[int, int, int] = Field(default=(32, 64, 128), description="channels at strides 4, 8 and 16")
    blocks: tuple[int, int, int] = Field(default=(1, 1, 2), description="residual blocks at each")
    margin: Margin = Margin(kind="arcface", margin=0.3)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size_px % STRIDE_PX:
            raise ValueError(f"size_px ({self.size_px}) must be a multiple of {STRIDE_PX}")
        if min(self.widths) < 1 or min(self.blocks) < 1:
            raise ValueError("widths and blocks must be at least 1")
        return self


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norms, and a shortcut that is a convolution where the size changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return F.relu(self.body(maps) + self.shortcut(maps))


class ResidualRecogniser(TrainedRecogniser):
    """Three maps, at strides 4, 8 and 16; a vector is a linear map of the last one's whole grid."""

    config: Config

    def build_network(self) -> nn.Module:
        config = self.config
        before = config.widths[0]
        stem = nn.Sequential(nn.Conv2d(3, before, 3, 2, 1, bias=False), nn.BatchNorm2d(before), nn.PReLU(before))
        layers = []
        for width, blocks in zip(config.widths, config.blocks, strict=True):
            layers.append(
                nn.Sequential(
                    *(ResidualBlock(before if k == 0 else width, width, 2 if k == 0 else 1) for k in range(blocks))
                )
            )
            before = width
        grid = before * (config.size_px // STRIDE_PX) ** 2
        head = nn.Sequential(
            nn.BatchNorm2d(before), nn.Flatten(), nn.Linear(grid, config.width, bias=False),
            nn.BatchNorm1d(config.width),
        )  # fmt: skip
        return nn.ModuleDict({"stem": stem, "layers": nn.ModuleList(layers), "head": head})

    @property
    def margin(self) -> Margin:
        return self.config.margin

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self._maps(self.seen(images))

    def vectors(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.network["head"](self._maps(images)[-1])  # type: ignore[index]
        return found

    def _maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        assert isinstance(self.network, nn.ModuleDict)
        layers = self.network["layers"]
        assert isinstance(layers, nn.ModuleList)
        maps, found = self.network["stem"](images), []
        for layer in layers:
            maps = layer(maps)
            found.append(maps)
        return found
