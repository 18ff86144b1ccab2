"""A small latent diffusion model, learnt on the training images: what Stable Diffusion is to DiffBIR.

One training has three parts: the autoencoder; its decoder alone, while the statistics of the latents, which no longer
change, are measured; and the denoiser, on the latents of the frozen autoencoder. The networks are in ``diffusion/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator

from srledger.diffusion.autoencoder import Autoencoder
from srledger.diffusion.config import DiffusionConfig, Schedule, Target
from srledger.diffusion.latent import LatentDiffusion
from srledger.diffusion.objective import Objective
from srledger.diffusion.unet import Unet
from srledger.encoders import Encoder
from srledger.encoders._autoencoding import Autoencoding
from srledger.methods import Batch
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Sizes, and how the latents are made and denoised; by default an autoencoder of 1.2 million parameters, f = 4."""

    patch_px: int = Field(default=2, ge=1, description="side of the patches that the autoencoder sees as pixels")
    widths: tuple[int, ...] = Field(default=(64, 128), min_length=1, description="of the autoencoder, finest first")
    blocks: int = Field(default=1, ge=1, description="residual blocks a level of the autoencoder")
    channels: int = Field(default=4, ge=1, description="of a latent")
    norm_groups: int = Field(default=8, ge=1)
    kl_weight: float = Field(default=1e-4, ge=0, description="on the mean KL divergence of a latent value, in nats")
    gradient_weight: float = Field(default=0.0, ge=0, description="on the L1 distance of neighbours' differences")
    autoencoder_share: float = Field(default=0.5, gt=0, lt=1, description="of the training; the rest is the denoiser's")
    decoder_share: float = Field(
        default=0.2, gt=0, lt=1, description="of the autoencoder's part: its decoder alone, the latents being measured"
    )
    target: Target = "v"
    loss: Literal["l1", "mse"] = "mse"
    schedule: Schedule = "cosine"
    train_steps: int = Field(default=1000, ge=2, description="T")
    denoiser_width: int = Field(default=64, ge=4)
    denoiser_multipliers: tuple[int, ...] = Field(default=(1, 2), min_length=1, description="of the width, per level")
    denoiser_blocks: int = Field(default=1, ge=1, description="residual blocks a level")
    attention_levels: tuple[int, ...] = Field(default=(), description="levels of the denoiser that attend, 0 is finest")
    embedding_scale: float = Field(default=1000.0, gt=0, description="factor on sqrt(gamma) in the noise embedding")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.patch_px & (self.patch_px - 1):
            raise ValueError(f"patch_px must be a power of 2, found {self.patch_px}")
        for name in ("widths", "denoiser_multipliers"):
            if any(value < 1 for value in getattr(self, name)):
                raise ValueError(f"{name} must be positive, found {list(getattr(self, name))}")
        wrong = [level for level in self.attention_levels if not 0 <= level < len(self.denoiser_multipliers)]
        if wrong:
            raise ValueError(f"attention_levels {wrong} are none of the {len(self.denoiser_multipliers)} levels")
        return self

    @property
    def diffusion(self) -> DiffusionConfig:
        """What the denoiser learns, as the diffusion core is told of it."""
        return DiffusionConfig(
            target=self.target, loss=self.loss, schedule=self.schedule, train_steps=self.train_steps, sampling_steps=1
        )  # fmt: skip


class LatentDiffusionEncoder(Encoder):
    """Latents and their denoiser; as an encoder of maps, the levels of the autoencoder's encoder."""

    learns = True
    codes = True
    denoises = True
    config: Config

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        autoencoder = Autoencoder(config.patch_px, config.widths, config.blocks, config.channels, config.norm_groups)
        denoiser = Unet(
            config.channels, config.channels, config.denoiser_width, config.denoiser_multipliers,
            config.denoiser_blocks, config.attention_levels, config.norm_groups, 0.0, config.embedding_scale,
        )  # fmt: skip
        self.model = LatentDiffusion(autoencoder, config.channels, denoiser)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.model.autoencoder.features(self.model.prepared(images))

    @property
    def latent_channels(self) -> int:
        return self.config.channels

    @property
    def factor(self) -> int:
        return self.model.autoencoder.factor

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.encode(images)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.model.decode(latents)

    @property
    def denoiser(self) -> Unet:
        return self.model.denoiser

    def learner(self, scale_factor: int) -> LatentLearning:
        return LatentLearning(self, scale_factor)


class LatentLearning(Autoencoding):
    """Trains the parts of a latent diffusion model one after another."""

    encoder: LatentDiffusionEncoder

    def __init__(self, encoder: LatentDiffusionEncoder, scale_factor: int) -> None:
        config = encoder.config
        super().__init__(
            encoder, encoder.model, config.channels, scale_factor, config.kl_weight, config.gradient_weight
        )  # fmt: skip
        self.objective = Objective(config.diffusion, continuous=False)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The reconstruction of the autoencoder, then the denoiser's loss on its latents."""
        config = self.encoder.config
        if batch.progress < config.autoencoder_share * (1 - config.decoder_share):
            return self.reconstruction(batch)
        if batch.progress < config.autoencoder_share:
            return self.reconstruction_of_fixed_latents(batch)
        with torch.no_grad():
            latents = self.encoder.encode(batch.hr)
        everywhere = torch.ones_like(latents[:, :1])
        denoiser = self.encoder.denoiser
        total = self.objective.loss(
            lambda z, level: denoiser(z, level.signal), latents, everywhere, batch.generator
        )  # fmt: skip
        return {"denoiser": total, "total": total}
