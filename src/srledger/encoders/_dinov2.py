"""DINOv2 with its published weights, through timm: what its sizes share. It gives tokens, and no attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from srledger.encoders import Encoder
from srledger.encoders._imagenet import read_published, standardised
from srledger.plugins import PluginConfig

PATCH_PX = 14
OFFSET = 0.1  # of the authors' resampling of positions, kept by them for old weights' sake


class DinoV2Config(PluginConfig):
    """What the sizes of DINOv2 share; each adds ``size_px`` and ``token_block``."""

    size_px: int
    token_block: int


class DinoV2(Encoder):
    """One map per block, on a grid of patches of 14 px; the last behind the norm.

    Class attributes:
        model: timm's name of the architecture.
        width: channels of a token.
    """

    tokenises = True
    model: ClassVar[str]
    width: ClassVar[int]
    config: DinoV2Config
    vit: Any  # timm's

    def __init__(self, config: DinoV2Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        import timm  # costs seconds

        tensors = read_published(weight_files[self.weights[0]])
        tensors.pop("mask_token", None)  # of its training alone
        tensors["pos_embed"] = resampled_positions(tensors["pos_embed"], config.size_px // PATCH_PX)
        with torch.random.fork_rng(devices=[]):  # the layers start at random before the weights are read
            self.vit = timm.create_model(
                self.model, pretrained=False, num_classes=0, img_size=config.size_px, dynamic_img_size=True
            )
        self.vit.load_state_dict(tensors)
        self.eval().requires_grad_(False)

    @property
    def size_px(self) -> int:
        return self.config.size_px

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        *maps, last = self._maps(images, None)
        normed = self.vit.norm(last.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return [*maps, normed]

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.vit(standardised(images))
        return found

    @classmethod
    def token_px(cls, config: PluginConfig) -> int:
        return PATCH_PX

    @classmethod
    def token_width(cls, config: PluginConfig) -> int:
        return cls.width

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        return self._maps(images, [self.config.token_block])[0]

    def _maps(self, images: torch.Tensor, blocks: list[int] | None) -> list[torch.Tensor]:
        """Patch tokens as they leave ``blocks`` (None: all), ``B x C x h x w``; later blocks are not run."""
        found: list[torch.Tensor] = self.vit.forward_intermediates(
            standardised(images), indices=blocks, norm=False, stop_early=True, intermediates_only=True
        )
        return found


def resampled_positions(positions: torch.Tensor, side: int) -> torch.Tensor:
    """Positions ``1 x (1 + n n) x C`` for ``side x side`` patches, as the authors' code resamples them.

    Bicubic, without antialiasing, by the factor (side + 0.1) / n; timm's own are antialiased and by side / n.
    """
    before = math.isqrt(positions.shape[1] - 1)
    if side == before:
        return positions
    grid = positions[:, 1:].unflatten(1, (before, before)).permute(0, 3, 1, 2)
    factor = (side + OFFSET) / before
    resized = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)
