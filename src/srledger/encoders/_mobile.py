"""MobileFaceNet (Chen et al., 2018): inverted bottlenecks, then one depthwise convolution over the whole grid.

Unlike a mean over space, the global depthwise convolution lets each place of an aligned face have a weight of its own.
Layers are named as in the public PyTorch version (github.com/Xiaoccer/MobileFaceNet_Pytorch), whose weights
``mobilefacenet`` reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

Stage = tuple[int, int, int, int]  # expansion, channels, bottlenecks, stride of the first


class ConvUnit(nn.Module):
    """Convolution and batch norm, and a PReLU where it is not ``linear``."""

    def __init__(
        self, channels_in: int, channels: int, kernel: int | tuple[int, int], stride: int = 1, padding: int = 0,
        depthwise: bool = False, linear: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        groups = channels_in if depthwise else 1
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.prelu: nn.Module | None = None if linear else nn.PReLU(channels)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.bn(self.conv(maps))
        return maps if self.prelu is None else self.prelu(maps)


class Bottleneck(nn.Module):
    """Widen by 1x1, filter each channel by 3x3, narrow by a linear 1x1 (Sandler et al. 2018); a sum if sizes allow."""

    def __init__(self, channels_in: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.adds = stride == 1 and channels_in == channels
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.PReLU(inner),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.PReLU(inner),
            nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps + self.conv(maps) if self.adds else self.conv(maps)


class MobileFace(nn.Module):
    """``B x width`` of ``B x 3 x H x W`` in [-1, 1].

    Args:
        stages: of bottlenecks, behind a stem of stride 2.
        grid: rows and columns of the last map, which the global depthwise convolution covers.
    """

    def __init__(self, stem: int, stages: Sequence[Stage], last: int, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.conv1 = ConvUnit(3, stem, 3, 2, 1)
        self.dw_conv1 = ConvUnit(stem, stem, 3, 1, 1, depthwise=True)
        blocks: list[nn.Module] = []
        before = stem
        self.ends: list[int] = []  # how many blocks lie before each map
        for expansion, channels, count, stride in stages:
            for k in range(count):
                blocks.append(Bottleneck(before, channels, stride if k == 0 else 1, expansion))
                before = channels
            self.ends.append(len(blocks))
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvUnit(before, last, 1)
        self.linear7 = ConvUnit(last, last, grid, depthwise=True, linear=True)
        self.linear1 = ConvUnit(last, width, 1, linear=True)

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """A map per stage, and the one that the global convolution covers."""
        maps, found = self.dw_conv1(self.conv1(images)), []
        for depth, block in enumerate(self.blocks, start=1):
            maps = block(maps)
            if depth in self.ends:
                found.append(maps)
        return [*found, self.conv2(maps)]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.linear1(self.linear7(self.maps(images)[-1])).flatten(1)
        return vectors
