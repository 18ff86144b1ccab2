"""A small KL autoencoder, learnt on the training images: the codec of methods that work on latents.

The same autoencoder as ``latent_diffusion``'s, without a denoiser: L1, a small KL divergence and, where it is asked
for, an L1 of the image's gradients. Its own ending of the training sees to the statistics of the latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator

from srledger.diffusion.autoencoder import Autoencoder
from srledger.diffusion.images import symmetric
from srledger.encoders import Encoder
from srledger.encoders._autoencoding import Autoencoding
from srledger.methods import Batch
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Sizes, and how it learns; by default f = 4, four channels, 5.1 million parameters."""

    patch_px: int = Field(default=1, ge=1, description="side of the patches that the network sees as pixels")
    widths: tuple[int, ...] = Field(default=(64, 128, 256), min_length=1, description="per level, finest first")
    blocks: int = Field(default=1, ge=1, description="residual blocks a level")
    channels: int = Field(default=4, ge=1, description="of a latent")
    norm_groups: int = Field(default=32, ge=1)
    kl_weight: float = Field(default=1e-4, ge=0, description="on the mean KL divergence of a latent value, in nats")
    gradient_weight: float = Field(default=0.0, ge=0, description="on the L1 distance of neighbours' differences")
    decoder_share: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="of the training, its end: the decoder alone, the latents being measured",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.patch_px & (self.patch_px - 1):
            raise ValueError(f"patch_px must be a power of 2, found {self.patch_px}")
        if min(self.widths) < 1:
            raise ValueError(f"widths must be positive, found {list(self.widths)}")
        return self


class KlVae(Encoder):
    """Latents are the posterior's means, of mean 0 and variance 1 in each channel; maps are the encoder's levels.

    Buffers:
        latent_mean, latent_std: of the autoencoder's own latents, one per channel; 0 and 1 until they are measured.
    """

    learns = True
    codes = True
    config: Config
    latent_mean: torch.Tensor
    latent_std: torch.Tensor

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        self.autoencoder = Autoencoder(
            config.patch_px, config.widths, config.blocks, config.channels, config.norm_groups
        )
        self.register_buffer("latent_mean", torch.zeros(config.channels))
        self.register_buffer("latent_std", torch.ones(config.channels))

    def prepared(self, images: torch.Tensor) -> torch.Tensor:
        """``B x 3 x H x W`` in [0, 1] as the autoencoder takes them: in [-1, 1], continued to whole latent pixels."""
        padding = (0, -images.shape[-1] % self.factor, 0, -images.shape[-2] % self.factor)
        return F.pad(symmetric(images), padding, mode="replicate")

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.autoencoder.features(self.prepared(images))

    @property
    def latent_channels(self) -> int:
        return self.config.channels

    @property
    def factor(self) -> int:
        return self.autoencoder.factor

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        mean, _ = self.autoencoder.posterior(self.prepared(images))
        return (mean - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        own = latents * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
        return (self.autoencoder.decode(own) + 1) / 2

    def learner(self, scale_factor: int) -> KlVaeLearning:
        return KlVaeLearning(self, scale_factor)


class KlVaeLearning(Autoencoding):
    """The autoencoder, and then its decoder alone."""

    encoder: KlVae

    def __init__(self, encoder: KlVae, scale_factor: int) -> None:
        config = encoder.config
        super().__init__(
            encoder, encoder, config.channels, scale_factor, config.kl_weight, config.gradient_weight
        )  # fmt: skip

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The reconstruction of the images."""
        if batch.progress < 1 - self.encoder.config.decoder_share:
            return self.reconstruction(batch)
        return self.reconstruction_of_fixed_latents(batch)
