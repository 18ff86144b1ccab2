"""SR3's U-Net: residual blocks under a continuous noise level, attention in the middle and at chosen levels."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

LONGEST_PERIOD = 10_000  # between the lowest and the highest frequency of the noise embedding


def group_norm(groups: int, channels: int) -> nn.GroupNorm:
    """At most ``groups`` groups: as many as divide ``channels`` too."""
    return nn.GroupNorm(math.gcd(groups, channels), channels)


class NoiseEmbedding(nn.Module):
    """Sines and cosines of ``scale * sqrt(gamma)`` through a small network, ``B`` to ``B x width``."""

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.width, self.scale = width, scale
        self.mlp = nn.Sequential(nn.Linear(width // 2 * 2, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        half = self.width // 2
        exponents = torch.arange(half, device=signal.device, dtype=torch.float32) / half
        angles = self.scale * signal[:, None] * LONGEST_PERIOD**-exponents
        return self.mlp(torch.cat([angles.sin(), angles.cos()], dim=1))


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice; the noise level is a bias per channel in between."""

    def __init__(self, channels_in: int, channels: int, embedding: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Sequential(
            group_norm(groups, channels_in), nn.SiLU(), nn.Conv2d(channels_in, channels, 3, 1, 1)
        )
        self.noise = nn.Linear(embedding, channels)
        self.second = nn.Sequential(
            group_norm(groups, channels), nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(channels, channels, 3, 1, 1)
        )
        self.shortcut = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, features: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        hidden = self.first(features) + self.noise(embedding)[:, :, None, None]
        return self.second(hidden) + self.shortcut(features)


class SelfAttention(nn.Module):
    """One head over all positions, residual."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.last = nn.Conv2d(channels, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(self.norm(features)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        attended = F.scaled_dot_product_attention(query, key, value)
        return features + self.last(attended.transpose(1, 2).reshape(features.shape))


class Block(nn.Module):
    """A residual block, with or without attention behind it."""

    def __init__(
        self, channels_in: int, channels: int, embedding: int, groups: int, dropout: float, attention: bool
    ) -> None:
        super().__init__()
        self.residual = ResidualBlock(channels_in, channels, embedding, groups, dropout)
        self.attention = SelfAttention(channels, groups) if attention else nn.Identity()

    def forward(self, features: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        return self.attention(self.residual(features, embedding))


class Control(NamedTuple):
    """What is added to a U-Net on its way up.

    Attributes:
        skips: one per skip, finest first, each of that skip's shape.
        middle: of the shape of the middle's output.
    """

    skips: Sequence[torch.Tensor]
    middle: torch.Tensor


class WayDown(nn.Module):
    """The half of a U-Net from the image to its middle."""

    embedding: NoiseEmbedding
    first: nn.Conv2d
    downs: nn.ModuleList
    middle: nn.ModuleList
    coarsest_px: int  # one pixel of the coarsest level

    def go_down(
        self, images: torch.Tensor, signal: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
        """(output of the middle, skips, noise embedding); images are continued to whole pixels of the last level."""
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % self.coarsest_px, 0, -height % self.coarsest_px), mode="replicate")
        embedding = self.embedding(signal)
        features = self.first(images)
        skips = [features]
        for layer in self.downs:
            features = layer(features, embedding) if isinstance(layer, Block) else layer(features)
            skips.append(features)
        for layer in self.middle:
            features = layer(features, embedding)
        return features, skips, embedding


class Unet(WayDown):
    """The network; its widths are ``width`` times each of ``multipliers``, from the finest level to the coarsest.

    Args:
        channels_in, channels_out: of images, condition included.
        width: channels of the finest level, and of the noise embedding.
        multipliers: one per level; each level has half the resolution of the one before.
        blocks: per level on the way down, one more on the way up.
        attention_levels: which levels attend (0 is the finest); the middle always does.
        groups: of the norms, at most.
        dropout: inside every block.
        embedding_scale: factor on sqrt(gamma) in the embedding: 1 in SR3's code.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        attention_levels: Collection[int],
        groups: int,
        dropout: float,
        embedding_scale: float,
    ) -> None:
        super().__init__()

        def block(before: int, after: int, attention: bool) -> Block:
            return Block(before, after, width, groups, dropout, attention)

        self.embedding = NoiseEmbedding(width, embedding_scale)
        self.first = nn.Conv2d(channels_in, width, 3, 1, 1)
        widths = [width * multiplier for multiplier in multipliers]
        now, skips = width, [width]
        self.downs = nn.ModuleList()
        for k, channels in enumerate(widths):
            for _ in range(blocks):
                self.downs.append(block(now, channels, k in attention_levels))
                now = channels
                skips.append(now)
            if k < len(widths) - 1:
                self.downs.append(nn.Conv2d(now, now, 3, 2, 1))
                skips.append(now)
        self.skip_widths = tuple(skips)
        self.middle = nn.ModuleList([block(now, now, True), block(now, now, False)])
        self.ups = nn.ModuleList()
        for k, channels in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.ups.append(block(now + skips.pop(), channels, k in attention_levels))
                now = channels
            if k > 0:
                self.ups.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(now, now, 3, 1, 1)))
        self.last = nn.Sequential(group_norm(groups, now), nn.SiLU(), nn.Conv2d(now, channels_out, 3, 1, 1))
        self.coarsest_px = 2 ** (len(widths) - 1)

    def forward(self, images: torch.Tensor, signal: torch.Tensor, control: Control | None = None) -> torch.Tensor:
        """``B x channels_out x H x W`` of images (any H, W) whose noise level is ``signal``, ``B``: sqrt(gamma)."""
        height, width = images.shape[-2:]
        features, skips, embedding = self.go_down(images, signal)
        if control is not None:
            features = features + control.middle
            skips = [skip + more for skip, more in zip(skips, control.skips, strict=True)]
        for layer in self.ups:
            if isinstance(layer, Block):
                features = layer(torch.cat([features, skips.pop()], dim=1), embedding)
            else:
                features = layer(features)
        return self.last(features)[..., :height, :width]
