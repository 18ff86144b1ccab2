"""SR3 (Saharia et al. 2021): diffusion in pixels, the enlarged LR image beside the noisy one at every step.

With the prior `uniform` it is SR3; with an attention map it is SR3 + YODA. Sections of docs/diffusion.md say the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field, model_validator

from srledger.diffusion.anchor import anchored
from srledger.diffusion.config import DiffusionConfig
from srledger.diffusion.images import symmetric, upsample
from srledger.diffusion.level import Denoise, Level
from srledger.diffusion.objective import Objective
from srledger.diffusion.sampler import Sampler, Trace
from srledger.diffusion.unet import Unet
from srledger.methods import Batch, Method
from srledger.plugins import PluginConfig


class Config(DiffusionConfig):
    """Sizes; the defaults are YODA's SR3 (three blocks a level; SR3's own code has two)."""

    width: int = Field(default=64, ge=4)
    multipliers: tuple[int, ...] = Field(default=(1, 2, 4, 8, 8), min_length=1, description="of the width, per level")
    blocks: int = Field(default=3, ge=1, description="residual blocks a level")
    attention_levels: tuple[int, ...] = Field(
        default=(3,), description="levels that attend, 0 is the finest: 3 is 16 px of 128; the middle always does"
    )
    norm_groups: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    embedding_scale: float = Field(default=1.0, gt=0, description="factor on sqrt(gamma) in the noise embedding")
    anchor_std: float = Field(
        default=0.0, ge=0, description="v alone: deviation of HR from the enlarged LR that the network starts from, in "
        "[-1, 1]; 0: it starts from nothing, as SR3's; ours (diffusion/anchor.py)"
    )  # fmt: skip

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if any(multiplier < 1 for multiplier in self.multipliers):
            raise ValueError(f"multipliers must be positive, found {list(self.multipliers)}")
        wrong = [level for level in self.attention_levels if not 0 <= level < len(self.multipliers)]
        if wrong:
            raise ValueError(f"attention_levels {wrong} are none of the {len(self.multipliers)} levels")
        if self.anchor_std and self.target != "v":
            raise ValueError(f"anchor_std is for target v, found {self.target}")
        return self


class Sr3(Method):
    """The U-Net on six channels: the enlarged LR image and ``z``."""

    any_scale_factor = True
    config: Config

    @classmethod
    def network_evaluations(cls, config: PluginConfig) -> int:
        """Of the denoiser: one a step and sample."""
        assert isinstance(config, Config)
        return config.sampling_steps * config.samples

    def __init__(self, config: Config, scale_factor: int) -> None:
        super().__init__(config, scale_factor)
        self.objective = Objective(config, continuous=True)
        self.sampler = Sampler(config)
        self.unet = Unet(
            6, 3, config.width, config.multipliers, config.blocks, config.attention_levels, config.norm_groups,
            config.dropout, config.embedding_scale,
        )  # fmt: skip

    def denoise(self, upsampled: torch.Tensor) -> Denoise:
        """The network beside ``upsampled``, ``B x 3 x H x W`` in [-1, 1]."""

        def say(z: torch.Tensor, level: Level) -> torch.Tensor:
            return self.unet(torch.cat([upsampled, z], dim=1), level.signal)

        return anchored(say, upsampled, self.config.anchor_std) if self.config.anchor_std else say

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The masked loss at one noise level per image."""
        upsampled = symmetric(upsample(batch.lr, self.scale_factor))
        total = self.objective.loss(self.denoise(upsampled), symmetric(batch.hr), batch.prior, batch.generator)
        return {"total": total}

    def restore(
        self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int], trace: Trace | None = None
    ) -> torch.Tensor:
        """Sampled images; ``trace`` sees every step (in [-1, 1])."""
        upsampled = symmetric(upsample(lr, self.scale_factor))
        return (self.sampler.sample(self.denoise(upsampled), upsampled, prior, seeds, trace) + 1) / 2
