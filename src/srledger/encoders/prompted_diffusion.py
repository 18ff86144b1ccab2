"""A small latent diffusion model under a context: what Stable Diffusion 2.1 is to OSDFace, learnt on HR images alone.

One training has three parts: the autoencoder; its decoder alone, while the statistics of the latents, which no longer
change, are measured; and the denoiser, on the latents of the frozen autoencoder. It predicts the noise under Stable
Diffusion's schedule. In the place of text it is given what a captioner makes of the image, and for half of the images
zeros. The captioner is dropped when the training ends: what stays is a denoiser that listens to a context, and that
knows what to do without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.diffusion.autoencoder import Autoencoder
from srledger.diffusion.conditional_unet import ConditionalUnet
from srledger.diffusion.images import symmetric
from srledger.diffusion.latent import LatentDiffusion
from srledger.diffusion.stable_diffusion import Views
from srledger.encoders import Encoder
from srledger.encoders._autoencoding import Autoencoding
from srledger.methods import Batch
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Sizes, and how it learns; by default an autoencoder of 1.2 million parameters, f = 4, and a U-Net of 3.2."""

    patch_px: int = Field(default=2, ge=1, description="side of the patches that the autoencoder sees as pixels")
    widths: tuple[int, ...] = Field(default=(64, 128), min_length=1, description="of the autoencoder, finest first")
    blocks: int = Field(default=1, ge=1, description="residual blocks a level of the autoencoder")
    channels: int = Field(default=4, ge=1, description="of a latent")
    norm_groups: int = Field(default=8, ge=1, description="of all norms; divides the denoiser's widths")
    kl_weight: float = Field(default=1e-4, ge=0, description="on the mean KL divergence of a latent value, in nats")
    gradient_weight: float = Field(default=0.0, ge=0, description="on the L1 distance of neighbours' differences")
    autoencoder_share: float = Field(default=0.4, gt=0, lt=1, description="of the training; the rest is the denoiser's")
    decoder_share: float = Field(
        default=0.2, gt=0, lt=1, description="of the autoencoder's part: its decoder alone, the latents being measured"
    )
    denoiser_widths: tuple[int, ...] = Field(default=(64, 128), min_length=1, description="per level, finest first")
    denoiser_blocks: int = Field(default=1, ge=1, description="residual blocks a level")
    attention_levels: tuple[int, ...] | None = Field(
        default=None, description="levels of the denoiser that attend, 0 is finest; null: all but the coarsest"
    )
    head_channels: int = Field(default=32, ge=1, description="of an attention head; divides what attends")
    context_channels: int = Field(default=128, ge=1, description="of a vector of the context")
    captions: int = Field(default=4, ge=1, description="vectors that the captioner says of an image")
    captioner_width: int = Field(default=32, ge=1)
    caption_dropout: float = Field(default=0.5, ge=0, le=1, description="share of the images without a caption")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.patch_px & (self.patch_px - 1):
            raise ValueError(f"patch_px must be a power of 2, found {self.patch_px}")
        if min(self.widths) < 1:
            raise ValueError(f"widths must be positive, found {list(self.widths)}")
        wrong = [level for level in self.attending if not 0 <= level < len(self.denoiser_widths)]
        if wrong:
            raise ValueError(f"attention_levels {wrong} are none of the {len(self.denoiser_widths)} levels")
        if any(width < 1 or width % self.norm_groups for width in self.denoiser_widths):
            raise ValueError(f"norm_groups ({self.norm_groups}) must divide denoiser_widths")
        attend = [self.denoiser_widths[level] for level in (*self.attending, -1)]
        if any(width % self.head_channels for width in attend):
            raise ValueError(f"head_channels ({self.head_channels}) must divide the widths that attend, {attend}")
        return self

    @property
    def attending(self) -> tuple[int, ...]:
        """The levels of the denoiser that attend, beside its middle."""
        if self.attention_levels is not None:
            return self.attention_levels
        return tuple(range(len(self.denoiser_widths) - 1))


class PromptedDiffusion(Encoder):
    """Latents and their denoiser; as an encoder of maps, the levels of the autoencoder's encoder."""

    learns = True
    codes = True
    denoises = True
    takes_context = True
    config: Config

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        autoencoder = Autoencoder(config.patch_px, config.widths, config.blocks, config.channels, config.norm_groups)
        denoiser = ConditionalUnet(
            config.channels, config.channels, config.denoiser_widths, config.denoiser_blocks, config.attending,
            config.head_channels, config.context_channels, config.norm_groups,
        )  # fmt: skip
        self.model = LatentDiffusion(autoencoder, config.channels, denoiser)  # type: ignore[arg-type]  # it only holds it

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
    def denoiser(self) -> ConditionalUnet:
        unet: nn.Module = self.model.denoiser
        assert isinstance(unet, ConditionalUnet)
        return unet

    @property
    def context_channels(self) -> int:
        return self.config.context_channels

    def learner(self, scale_factor: int) -> PromptedLearning:
        return PromptedLearning(self, scale_factor)


class Captioner(nn.Module):
    """A few vectors about an image as a whole: three convolutions, their mean over space, a linear layer."""

    def __init__(self, width: int, captions: int, context_channels: int) -> None:
        super().__init__()
        self.captions = captions
        self.look = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1), nn.SiLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.SiLU(),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1), nn.SiLU(),
        )  # fmt: skip
        self.say = nn.Linear(4 * width, captions * context_channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``B x captions x context_channels`` of images in [0, 1]."""
        return self.say(self.look(symmetric(images)).mean(dim=(2, 3))).unflatten(1, (self.captions, -1))


class PromptedLearning(Autoencoding):
    """Trains the parts one after another; the captioner learns with the denoiser."""

    encoder: PromptedDiffusion

    def __init__(self, encoder: PromptedDiffusion, scale_factor: int) -> None:
        config = encoder.config
        super().__init__(
            encoder, encoder.model, config.channels, scale_factor, config.kl_weight, config.gradient_weight
        )  # fmt: skip
        self.captioner = Captioner(config.captioner_width, config.captions, config.context_channels)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The reconstruction of the autoencoder, then the squared error of the noise in its latents."""
        config = self.encoder.config
        if batch.progress < config.autoencoder_share * (1 - config.decoder_share):
            return self.reconstruction(batch)
        if batch.progress < config.autoencoder_share:
            return self.reconstruction_of_fixed_latents(batch)
        generator = batch.generator
        with torch.no_grad():
            latents = self.encoder.encode(batch.hr)
        views = Views.drawn(len(latents), generator)
        eps = torch.randn(latents.shape, generator=generator, device=latents.device)
        silent = torch.rand(len(latents), generator=generator, device=latents.device) < config.caption_dropout
        context = torch.where(silent.view(-1, 1, 1), 0.0, self.captioner(batch.hr))
        predicted = self.encoder.denoiser(views.under(latents, eps), views.time, context)
        total = F.mse_loss(predicted.float(), eps)
        return {"denoiser": total, "total": total}
