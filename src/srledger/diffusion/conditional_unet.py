"""The denoiser of Stable Diffusion, which attends to a context, its layers named as in diffusers' UNet2DConditionModel.

Written here, as Stable Diffusion's autoencoder is (``encoders/_sd_autoencoder.py``): the pipeline needs nothing else of
diffusers, whose import takes longer than a small training starts in. Source: Rombach et al., "High-resolution image
synthesis with latent diffusion models", CVPR 2022, in the form of version 2.1 (linear projections, GEGLU); the outputs
of diffusers 0.42.1 are golden values of the tests.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

LONGEST_PERIOD = 10000.0  # of the sinusoids that tell of the time
NORM_EPS, NORM_EPS_OF_ATTENTION = 1e-5, 1e-6  # as the published weights have learnt


def sinusoids(time: torch.Tensor, channels: int) -> torch.Tensor:
    """float32 ``B x channels`` of ``time`` (``B``, from 0): cosines, then sines."""
    half = channels // 2
    rates = torch.exp(-math.log(LONGEST_PERIOD) * torch.arange(half, device=time.device, dtype=torch.float32) / half)
    angles = time.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """Two linear layers on the sinusoids."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.channels = channels
        self.linear_1 = nn.Linear(channels, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        return self.linear_2(F.silu(self.linear_1(sinusoids(time, self.channels).to(self.linear_1.weight.dtype))))


class Residual(nn.Module):
    """Norm, SiLU, convolution, twice, told of the time in between."""

    def __init__(self, channels_in: int, channels: int, embedding: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in, NORM_EPS)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding, channels)
        self.norm2 = nn.GroupNorm(groups, channels, NORM_EPS)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        if channels_in != channels:
            self.conv_shortcut = nn.Conv2d(channels_in, channels, 1)

    def forward(self, maps: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        hidden = self.conv1(F.silu(self.norm1(maps)))
        hidden = hidden + self.time_emb_proj(F.silu(embedding))[:, :, None, None]
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return hidden + (self.conv_shortcut(maps) if hasattr(self, "conv_shortcut") else maps)


class Attention(nn.Module):
    """Places attend to ``context``, or to each other."""

    def __init__(self, channels: int, heads: int, context_channels: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, places: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            values.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for values in (self.to_q(places), self.to_k(context), self.to_v(context))
        )
        return self.to_out[0](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Gate(nn.Module):
    """GEGLU."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * hidden)

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        hidden, gate = self.proj(places).chunk(2, dim=-1)
        return hidden * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU to four times the width and back; ``net.1`` is the dropout of diffusers, which is none."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(Gate(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels))

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        return self.net(places)


class Block(nn.Module):
    """Attention among the places, attention to the context, and a feed-forward layer, each beside the identity."""

    def __init__(self, channels: int, heads: int, context_channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attn1 = Attention(channels, heads, channels)
        self.attn2 = Attention(channels, heads, context_channels)
        self.ff = FeedForward(channels)

    def forward(self, places: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        normed = self.norm1(places)
        places = places + self.attn1(normed, normed)
        places = places + self.attn2(self.norm2(places), context)
        return places + self.ff(self.norm3(places))


class Transformer(nn.Module):
    """A block over all places of a map, residual."""

    def __init__(self, channels: int, heads: int, context_channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, NORM_EPS_OF_ATTENTION)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([Block(channels, heads, context_channels)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, maps: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        places = self.proj_in(self.norm(maps).flatten(2).transpose(1, 2))
        places = self.proj_out(self.transformer_blocks[0](places, context))
        return maps + places.transpose(1, 2).reshape(maps.shape)


class Down(nn.Module):
    """Halves the grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.conv(maps)


class Up(nn.Module):
    """Enlarges the grid to that of the level above: doubles it, where that one was even."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        return self.conv(F.interpolate(maps, size=tuple(size), mode="nearest"))


class Level(nn.Module):
    """Residuals of one width, each followed by a transformer where the level attends; then what leads on, if any."""

    def __init__(
        self, residuals: Sequence[Residual], transformers: Sequence[Transformer], leads: Down | Up | None
    ) -> None:
        super().__init__()
        if transformers:
            self.attentions = nn.ModuleList(transformers)
        self.resnets = nn.ModuleList(residuals)
        if isinstance(leads, Down):
            self.downsamplers = nn.ModuleList([leads])
        elif leads is not None:
            self.upsamplers = nn.ModuleList([leads])

    @property
    def lead(self) -> nn.Module | None:
        """What leads on to the next level."""
        found = getattr(self, "downsamplers", None) or getattr(self, "upsamplers", None)
        return found[0] if found else None

    def step(self, k: int, maps: torch.Tensor, embedding: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Its residual ``k`` with what follows it."""
        maps = self.resnets[k](maps, embedding)
        return self.attentions[k](maps, context) if hasattr(self, "attentions") else maps


class ConditionalUnet(nn.Module):
    """What a latent's noise is, seen under a context.

    Args:
        channels_in, channels_out: of a latent; more come in where something stands beside it.
        widths: per level, finest first; every level but the last halves the grid.
        blocks: residuals a level on the way down; one more on the way up.
        attention_levels: those that attend, 0 is the finest; the middle always does.
        head_channels: channels of an attention head; divides the width of every level that attends.
        context_channels: of a vector of the context.
        groups: of the norms; divides every width.
    """

    def __init__(
        self, channels_in: int, channels_out: int, widths: Sequence[int], blocks: int, attention_levels: Sequence[int],
        head_channels: int, context_channels: int, groups: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.context_channels, self.middle_channels = context_channels, widths[-1]
        embedding, last = 4 * widths[0], len(widths) - 1

        def transformers(level: int, count: int) -> list[Transformer]:
            width = widths[level]
            heads = width // head_channels
            return [Transformer(width, heads, context_channels, groups) for _ in range(count)]

        def residuals(sides: Sequence[int], width: int) -> list[Residual]:
            return [Residual(channels, width, embedding, groups) for channels in sides]

        self.conv_in: nn.Module = nn.Conv2d(channels_in, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], embedding)
        self.down_blocks, skips = nn.ModuleList(), [widths[0]]
        for k, (before, width) in enumerate(itertools.pairwise([widths[0], *widths])):
            leads = Down(width) if k < last else None
            attending = transformers(k, blocks) if k in attention_levels else []
            self.down_blocks.append(Level(residuals([before, *[width] * (blocks - 1)], width), attending, leads))
            skips += [width] * (blocks + (k < last))
        self.mid_block = Level(residuals([widths[-1]] * 2, widths[-1]), transformers(last, 1), None)
        self.up_blocks, below = nn.ModuleList(), widths[-1]
        for k in range(last, -1, -1):
            width = widths[k]
            sides = [channels + skips.pop() for channels in (below, *[width] * blocks)]
            attending = transformers(k, blocks + 1) if k in attention_levels else []
            self.up_blocks.append(Level(residuals(sides, width), attending, Up(width) if k else None))
            below = width
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], NORM_EPS)
        self.conv_out = nn.Conv2d(widths[0], channels_out, 3, padding=1)

    def go_down(
        self, z: torch.Tensor, time: torch.Tensor, context: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
        """(the maps behind the middle, those that the way up takes again, the embedding of the time); see forward."""
        embedding, maps = self.time_embedding(time), self.conv_in(z)
        skips = [maps]
        for level in _levels(self.down_blocks):
            for k in range(len(level.resnets)):
                maps = level.step(k, maps, embedding, context)
                skips.append(maps)
            if level.lead is not None:
                maps = level.lead(maps)
                skips.append(maps)
        maps = self.mid_block.step(0, maps, embedding, context)
        return self.mid_block.resnets[1](maps, embedding), skips, embedding

    def forward(self, z: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """The noise in ``z``.

        Args:
            z: ``B x channels_in x h x w``, any h and w.
            time: int64 ``B``: the step of training, from 0.
            context: ``B x N x context_channels``, N at least 1; zeros say nothing.
        """
        maps, skips, embedding = self.go_down(z, time, context)
        for level in _levels(self.up_blocks):
            for k in range(len(level.resnets)):
                maps = level.step(k, torch.cat([maps, skips.pop()], dim=1), embedding, context)
            if level.lead is not None:
                maps = level.lead(maps, skips[-1].shape[-2:])
        return self.conv_out(F.silu(self.conv_norm_out(maps)))


def _levels(blocks: nn.ModuleList) -> list[Level]:
    return [level for level in blocks if isinstance(level, Level)]
