"""A latent diffusion model: an autoencoder, and a denoiser of its latents that is told nothing but their noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from srledger.diffusion.autoencoder import Autoencoder
from srledger.diffusion.images import symmetric
from srledger.diffusion.unet import Unet


class LatentDiffusion(nn.Module):
    """Latents have mean 0 and variance 1 in each channel: what diffusion ends in, and what no map lets through is 0.

    Buffers:
        latent_mean, latent_std: of the autoencoder's own latents, one per channel; 0 and 1 until they are measured.
    """

    latent_mean: torch.Tensor
    latent_std: torch.Tensor

    def __init__(self, autoencoder: Autoencoder, channels: int, denoiser: Unet) -> None:
        super().__init__()
        self.autoencoder, self.denoiser = autoencoder, denoiser
        self.register_buffer("latent_mean", torch.zeros(channels))
        self.register_buffer("latent_std", torch.ones(channels))

    def prepared(self, images: torch.Tensor) -> torch.Tensor:
        """``B x 3 x H x W`` in [0, 1] as the autoencoder takes them: in [-1, 1], continued to whole latent pixels."""
        factor = self.autoencoder.factor
        padding = (0, -images.shape[-1] % factor, 0, -images.shape[-2] % factor)
        return F.pad(symmetric(images), padding, mode="replicate")

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """float32 latents (the posterior's means) of images in [0, 1]; H and W over the factor, rounded up."""
        mean, _ = self.autoencoder.posterior(self.prepared(images))
        return (mean - _per_channel(self.latent_mean)) / _per_channel(self.latent_std)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """float32 images, nominally in [0, 1], ``factor`` times as large: cut off what ``encode`` had continued."""
        own = latents * _per_channel(self.latent_std) + _per_channel(self.latent_mean)
        return (self.autoencoder.decode(own) + 1) / 2


def _per_channel(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None]
