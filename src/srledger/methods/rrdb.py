"""RRDB (ESRGAN's generator) trained by L1: the regression row of the tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from srledger.methods import Batch, Method, hr_shape
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Sizes; the defaults are ESRGAN's (23 blocks of width 64, growth 32)."""

    width: int = Field(default=64, ge=4)
    blocks: int = Field(default=23, ge=1)
    growth: int = Field(default=32, ge=1)
    up_width: int | None = Field(default=None, ge=1, description="channels on the upsampled grids; null: the width")


class _DenseBlock(nn.Module):
    """Five 3x3 convolutions, each seeing all features before it; residual scaling 0.2."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width + k * growth, growth, 3, 1, 1) for k in range(4))
        self.last = nn.Conv2d(width + 4 * growth, width, 3, 1, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        seen = [features]
        for conv in self.convs:
            seen.append(F.leaky_relu(conv(torch.cat(seen, dim=1)), 0.2))
        return features + 0.2 * self.last(torch.cat(seen, dim=1))


class _Rrdb(nn.Module):
    """Three dense blocks in a residual, scaled by 0.2."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(_DenseBlock(width, growth) for _ in range(3)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + 0.2 * self.body(features)


class Rrdb(Method):
    """Trunk on the LR grid, nearest x2 + convolution to the HR grid, bilinear global skip.

    The global skip is ours: it makes short trainings start from an interpolation.
    """

    config: Config

    def __init__(self, config: Config, scale_factor: int) -> None:
        super().__init__(config, scale_factor)
        upsamplings = round(math.log2(scale_factor))
        if 2**upsamplings != scale_factor:
            raise ValueError(f"rrdb needs a scale factor of 2, 4, 8, ...; found {scale_factor}")
        width, up_width = config.width, config.up_width or config.width
        self.first = nn.Conv2d(3, width, 3, 1, 1)
        self.trunk = nn.Sequential(*(_Rrdb(width, config.growth) for _ in range(config.blocks)))
        self.trunk_last = nn.Conv2d(width, width, 3, 1, 1)
        self.upsamplers = nn.ModuleList(
            nn.Conv2d(width if k == 0 else up_width, up_width, 3, 1, 1) for k in range(upsamplings)
        )
        self.before_last = nn.Conv2d(up_width if upsamplings else width, up_width, 3, 1, 1)
        self.last = nn.Conv2d(up_width, 3, 3, 1, 1)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """SR image ``B x 3 x H x W`` of an LR image ``B x 3 x h x w``, both in [0, 1]."""
        features = self.first(lr)
        features = features + self.trunk_last(self.trunk(features))
        for upsampler in self.upsamplers:
            features = F.leaky_relu(upsampler(F.interpolate(features, scale_factor=2, mode="nearest")), 0.2)
        skip = F.interpolate(lr, size=hr_shape(lr, self.scale_factor), mode="bilinear", align_corners=False)
        return self.last(F.leaky_relu(self.before_last(features), 0.2)).float() + skip.float()

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """L1."""
        pixel = F.l1_loss(self(batch.lr), batch.hr)
        return {"pixel": pixel, "total": pixel}

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """The network's output."""
        return self(lr)
