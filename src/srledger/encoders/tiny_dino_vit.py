"""A small vision transformer that learns by DINO self-distillation on the training images of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from pydantic import Field, model_validator

from srledger.encoders import Encoder
from srledger.encoders._self_distillation import Distillation, SelfDistillation
from srledger.encoders._vit import VisionTransformer
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Sizes; by default 1.2 million parameters."""

    patch_px: int = Field(default=4, ge=1)
    width: int = Field(default=192, ge=6)
    depth: int = Field(default=4, ge=1)
    heads: int = Field(default=6, ge=1)
    hidden: int = Field(default=384, ge=1, description="of the MLPs")
    size_px: int = Field(default=64, ge=8, description="side that an LR image is enlarged to for its attention")
    token_block: int | None = Field(
        default=None,
        ge=0,
        description="whose tokens are given, from 0; null: three quarters up, as VOSR's 9th of 12",
        exclude_if=lambda value: value is None,  # encoders made before there were tokens keep their hash
    )
    distillation: Distillation = Distillation()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        for name in ("global_px", "local_px"):
            if getattr(self.distillation, name) % self.patch_px:
                raise ValueError(f"distillation.{name} must be a multiple of patch_px ({self.patch_px})")
        if self.token_block is not None and self.token_block >= self.depth:
            raise ValueError(f"token_block {self.token_block} is none of the {self.depth} blocks, which count from 0")
        return self

    @property
    def block_of_tokens(self) -> int:
        """The block whose tokens are given, from 0."""
        return max(1, self.depth * 3 // 4) - 1 if self.token_block is None else self.token_block


class TinyDinoVit(Encoder):
    """One map per block, on the grid of patches."""

    learns = True
    attends = True
    tokenises = True
    config: Config

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        grid = config.distillation.global_px // config.patch_px
        self.vit = VisionTransformer(config.patch_px, config.width, config.depth, config.heads, config.hidden, grid)

    @property
    def size_px(self) -> int:
        return self.config.size_px

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.vit.maps(_signed(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        return self.vit(_signed(images))

    def attention(self, images: torch.Tensor) -> torch.Tensor:
        return self.vit.attention(_signed(images))

    @classmethod
    def token_px(cls, config: PluginConfig) -> int:
        assert isinstance(config, Config)
        return config.patch_px

    @classmethod
    def token_width(cls, config: PluginConfig) -> int:
        assert isinstance(config, Config)
        return config.width

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        return self.vit.tokens(_signed(images), self.config.block_of_tokens)

    def learner(self, scale_factor: int) -> SelfDistillation:
        return SelfDistillation(self, self.config.width, self.config.distillation, scale_factor)


def _signed(images: torch.Tensor) -> torch.Tensor:
    return images * 4 - 2  # about zero mean and unit variance
