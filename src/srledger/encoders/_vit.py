"""A vision transformer with DINO's names of tensors: the tiny one of the pipeline and the published ViT-S/8."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    """Self-attention over tokens ``B x N x C``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def _split(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch, count, width = tokens.shape
        return (
            self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = self._split(tokens)
        if torch.is_grad_enabled():  # on a CPU the fused kernel's backward costs more than all the rest of a step
            mixed = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(dim=-1) @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def of_class(self, tokens: torch.Tensor) -> torch.Tensor:
        """How much the class token (the first) attends to each token: ``B x heads x N``, sums to 1."""
        query, key, _ = self._split(tokens)
        return (query[:, :, :1] @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(dim=-1).squeeze(2)


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


class Block(nn.Module):
    """Attention and MLP, each behind a layer norm and in a residual."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.mlp = Mlp(width, hidden)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class PatchEmbed(nn.Module):
    """Patches of an image as tokens."""

    def __init__(self, patch_px: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_px, patch_px)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``B x width x h x w``."""
        return self.proj(images)


class VisionTransformer(nn.Module):
    """Class token, learned positions, pre-norm blocks.

    Args:
        grid: patches a side that the positions are learned for; for other sizes they are interpolated (bicubic).
        hidden: width of the MLP.
    """

    def __init__(self, patch_px: int, width: int, depth: int, heads: int, hidden: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.patch_embed = PatchEmbed(patch_px, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def positions(self, height: int, width: int) -> torch.Tensor:
        """Positions of ``height x width`` patches and of the class token: ``1 x (1 + h w) x C``."""
        if (height, width) == (self.grid, self.grid):
            return self.pos_embed
        of_patches = self.pos_embed[:, 1:].unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        resized = F.interpolate(of_patches, size=(height, width), mode="bicubic", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)

    def embed(self, images: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """Tokens ``B x (1 + h w) x C`` before the first block, and (h, w)."""
        patches = self.patch_embed(images)
        size = (patches.shape[-2], patches.shape[-1])
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        return tokens + self.positions(*size), size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The class token behind the last norm: ``B x C``."""
        tokens, _ = self.embed(images)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The patch tokens after every block, as maps ``B x C x h x w``; the last behind the norm."""
        tokens, size = self.embed(images)
        found = []
        for block in self.blocks:
            tokens = block(tokens)
            found.append(tokens)
        found[-1] = self.norm(tokens)
        return [tokens[:, 1:].transpose(1, 2).unflatten(2, size) for tokens in found]

    def tokens(self, images: torch.Tensor, block: int) -> torch.Tensor:
        """The patch tokens after block ``block`` (counted from 0), before any norm: ``B x C x h x w``."""
        tokens, size = self.embed(images)
        for one in self.blocks[: block + 1]:
            tokens = one(tokens)
        return tokens[:, 1:].transpose(1, 2).unflatten(2, size)

    def attention(self, images: torch.Tensor) -> torch.Tensor:
        """Attention of the last block's class token to the patches: ``B x heads x h x w``."""
        tokens, size = self.embed(images)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        last = self.blocks[-1]
        assert isinstance(last, Block)
        return last.attn.of_class(last.norm1(tokens))[..., 1:].unflatten(2, size)
