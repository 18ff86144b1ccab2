"""VOSR's diffusion transformer: a LightningDiT whose every block also looks at semantic tokens.

Written from the architecture as published; sizes and where they come from stand in docs/methods.md (F2).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

LONGEST_PERIOD = 10_000  # of the time embedding, and between the slowest and the fastest rotation of a position
TIME_FEATURES = 256
TOKEN_HIDDEN = 3  # times the width: the hidden layer of the tokens' MLP
EPS = 1e-6


class DitSize(NamedTuple):
    """How large a network is; ``width / heads`` must be a multiple of 4, for positions turn pairs along two axes."""

    width: int
    depth: int
    heads: int


SIZES = {
    "tiny": DitSize(96, 3, 3),
    "small": DitSize(128, 4, 4),
    "medium": DitSize(256, 8, 4),
    "large": DitSize(384, 12, 6),
    "0.5B": DitSize(1024, 28, 16),
    "1.4B": DitSize(1536, 36, 24),
}


class RmsNorm(nn.RMSNorm):
    """Over the last axis, in float32 under autocast too."""

    def __init__(self, width: int) -> None:
        super().__init__(width, EPS)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return super().forward(features.float())


class TimeEmbedding(nn.Module):
    """Cosines and sines of a time in [0, 1], as it is, through a small network: ``B`` to ``B x width``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        return self.mlp(time_features(time))


def time_features(time: torch.Tensor) -> torch.Tensor:
    """float32 ``B x 256``: cosines, then sines, of ``time`` (``B``) times 128 frequencies from 1 down to 1e-4."""
    half = TIME_FEATURES // 2
    exponents = torch.arange(half, device=time.device, dtype=torch.float32) / half
    angles = time.float()[:, None] * LONGEST_PERIOD**-exponents
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def rotations(height: int, width: int, head_width: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines that tell positions on a grid apart, float32 ``(height * width) x (head_width / 2)`` each.

    The first half of the pairs turns with the row, the second with the column. Made anew for every grid, so that any
    rectangle will do.
    """
    quarter = head_width // 4
    frequencies = LONGEST_PERIOD ** -(torch.arange(quarter, device=device, dtype=torch.float32) / quarter)
    rows = torch.arange(height, device=device, dtype=torch.float32)[:, None] * frequencies
    columns = torch.arange(width, device=device, dtype=torch.float32)[:, None] * frequencies
    angles = torch.cat(
        [rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=-1
    )  # fmt: skip
    return angles.flatten(0, 1).cos(), angles.flatten(0, 1).sin()


def rotate(features: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Neighbouring channels of ``B x heads x N x head_width`` turned as pairs, by ``rotations``; the type is kept."""
    cos, sin = turns
    first, second = features.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1)
    return turned.flatten(-2).to(features.dtype)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention of ``B x heads x N x head_width``, heads put side by side again: ``B x N x width``."""
    if query.device.type == "cpu" and torch.is_grad_enabled():  # the fused kernel's backward is slow there
        mixed = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(dim=-1).to(value.dtype) @ value
    else:
        mixed = F.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Among the patches: biased QKV, RMS norms of queries and keys, positions by rotation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.norm_query = RmsNorm(width // heads)
        self.norm_key = RmsNorm(width // heads)
        self.last = nn.Linear(width, width)

    def forward(self, patches: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        query, key, value = self.qkv(patches).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        query, key = self.norm_query(query).to(value.dtype), self.norm_key(key).to(value.dtype)
        return self.last(attend(rotate(query, turns), rotate(key, turns), value))


class CrossAttention(nn.Module):
    """From the patches to the semantic tokens, which bring their positions themselves: no rotation, no norms."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.last = nn.Linear(width, width)

    def forward(self, patches: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        query = self.query(patches).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.last(attend(query, key, value))


class SwiGlu(nn.Module):
    """The gated feed-forward network, hidden ``int(2/3 * 4 * width)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = int(2 / 3 * 4 * width)
        self.gate_and_value = nn.Linear(width, 2 * hidden)
        self.last = nn.Linear(hidden, width)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        gate, value = self.gate_and_value(patches).chunk(2, dim=-1)
        return self.last(F.silu(gate) * value)


def modulate(features: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """``features`` (``B x N x C``) scaled by 1 + scale and shifted."""
    return features * (1 + scale) + shift


class Block(nn.Module):
    """Self-attention, cross-attention (no gate, no norm before it), feed-forward; each beside the identity."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_feed = RmsNorm(width), RmsNorm(width)
        self.attention = SelfAttention(width, heads)
        self.cross = CrossAttention(width, heads)
        self.feed = SwiGlu(width)
        self.table = nn.Parameter(torch.randn(6, width) / width**0.5)

    def forward(
        self,
        patches: torch.Tensor,
        time: torch.Tensor,
        tokens: torch.Tensor,
        turns: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """``time`` is ``B x 6 x width``, the same for all blocks; each adds a table of its own."""
        shift, scale, gate, shift_feed, scale_feed, gate_feed = (self.table + time)[:, :, None].unbind(1)
        attended = self.attention(modulate(self.norm_attention(patches), shift, scale), turns)
        patches = patches + gate * attended
        patches = patches + self.cross(patches, tokens)
        return patches + gate_feed * self.feed(modulate(self.norm_feed(patches), shift_feed, scale_feed))


class Dit(nn.Module):
    """The network: velocities of latents beside the condition that stands with them, at a time, under tokens.

    Args:
        size: width, depth, heads.
        channels: of a latent.
        patch: side of the patches that latents are cut into.
        token_channels: of a semantic token.
        jumps: it is told of a second time r too, and gives the mean velocity from t to r. At r = t its time code is
            that of a network without, to the bit.
    """

    def __init__(self, size: DitSize, channels: int, patch: int, token_channels: int, *, jumps: bool = False) -> None:
        super().__init__()
        width = size.width
        if width % (4 * size.heads):
            raise ValueError(f"width {width} is no multiple of 4 x {size.heads} heads")
        self.size, self.channels, self.patch = size, channels, patch
        self.first = nn.Conv2d(2 * channels, width, patch, patch)
        self.tokens = nn.Sequential(
            nn.LayerNorm(token_channels), nn.Linear(token_channels, TOKEN_HIDDEN * width), nn.GELU("tanh"),
            nn.Linear(TOKEN_HIDDEN * width, width),
        )  # fmt: skip
        self.time = TimeEmbedding(width)
        self.time_of_blocks = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(width, size.heads) for _ in range(size.depth))
        self.norm = RmsNorm(width)
        self.time_of_last = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.last = nn.Linear(width, patch**2 * channels)
        self.jump = TimeEmbedding(width) if jumps else None  # drawn last: the rest starts as without it
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.first.weight.flatten(1))
        nn.init.zeros_(self.first.bias)  # type: ignore[arg-type]
        of_time = [self.time, self.time_of_blocks, *([self.jump] if self.jump else [])]
        for module in (one for part in of_time for one in part.modules()):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        # What is zero at first: velocities, and what the tokens say.
        crosses = [block.cross for block in self.blocks if isinstance(block, Block)]
        for layer in (self.time_of_last[1], self.last, *(cross.last for cross in crosses)):
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.weight)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Semantic tokens ``... x token_channels`` as all blocks see them, ``... x width``; zeros are no semantics."""
        return self.tokens(tokens)

    def forward(
        self,
        z: torch.Tensor,
        condition: torch.Tensor,
        time: torch.Tensor,
        tokens: torch.Tensor,
        until: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Velocities, float32 ``B x channels x h x w``.

        Args:
            z: latents at ``time``, ``B x channels x h x w``; ``patch`` divides h and w.
            condition: latents of the degraded images, of the same shape.
            time: ``B`` in [0, 1]: 1 is noise.
            tokens: of ``embed``, ``B x N x width``.
            until: ``B``, at most ``time``: the mean velocity from ``time`` to it. For networks that jump alone.
        """
        height, width = (side // self.patch for side in z.shape[-2:])
        patches = self.first(torch.cat([condition, z], dim=1)).flatten(2).transpose(1, 2)
        code = self.time(time)
        if self.jump is not None and until is not None:
            code = code + (time - until)[:, None] * self.jump(until)
        of_blocks = self.time_of_blocks(code).unflatten(1, (6, -1))
        turns = rotations(height, width, self.size.width // self.size.heads, z.device)
        for block in self.blocks:
            patches = block(patches, of_blocks, tokens, turns)
        shift, scale = self.time_of_last(code)[:, None].chunk(2, dim=-1)
        found = self.last(modulate(self.norm(patches), shift, scale)).float()
        return self._unpatched(found, height, width)

    def _unpatched(self, patches: torch.Tensor, height: int, width: int) -> torch.Tensor:
        sides = (height, width, self.patch, self.patch, self.channels)
        apart = patches.unflatten(1, sides[:2]).unflatten(-1, sides[2:])
        return apart.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def count_parameters(size: DitSize, channels: int, patch: int, token_channels: int, *, jumps: bool = False) -> int:
    """Parameters of a network that is never made: nothing is allocated."""
    with torch.device("meta"):
        network = Dit(size, channels, patch, token_channels, jumps=jumps)
    return sum(math.prod(value.shape) for value in network.parameters())
