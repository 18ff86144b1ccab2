"""How an autoencoder learns in the training loop, and its latents measured: shared by the encoders that have one.

First encoder and decoder learn together. Then the encoder stands still: its latents no longer change, their mean and
deviation are measured on every image that comes by, and the decoder alone learns on.
"""

from __future__ import annotations

from typing import Protocol

import torch

from srledger.diffusion.autoencoder import Autoencoder, kl_to_standard_normal
from srledger.diffusion.images import symmetric
from srledger.encoders import Encoder, EncoderLearner
from srledger.methods import Batch


class LatentSpace(Protocol):
    """An autoencoder with the statistics of its latents (``diffusion.latent.LatentDiffusion`` is one).

    Attributes:
        latent_mean, latent_std: of the autoencoder's own latents, one per channel.
    """

    autoencoder: Autoencoder
    latent_mean: torch.Tensor
    latent_std: torch.Tensor

    def prepared(self, images: torch.Tensor) -> torch.Tensor:
        """``B x 3 x H x W`` in [0, 1] as the autoencoder takes them."""
        ...


class Autoencoding(EncoderLearner):
    """Trains the autoencoder of an encoder.

    Args:
        encoder: the encoder that comes of it.
        space: its autoencoder, with the statistics that are measured.
        channels: of a latent.
        kl_weight, gradient_weight: on the KL divergence, and on the L1 distance of neighbours' differences.

    Buffers:
        count, total, squares: float64, of all latent values seen while they were measured, per channel.
    """

    count: torch.Tensor
    total: torch.Tensor
    squares: torch.Tensor

    def __init__(
        self, encoder: Encoder, space: LatentSpace, channels: int, scale_factor: int, kl_weight: float,
        gradient_weight: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.scale_factor = scale_factor
        self.encoder = encoder
        self._space = (space,)  # in a tuple: it is a module of the encoder, which would hold it twice
        self.kl_weight, self.gradient_weight = kl_weight, gradient_weight
        for name in ("count", "total", "squares"):
            self.register_buffer(name, torch.zeros(channels, dtype=torch.float64))

    @property
    def learned(self) -> Encoder:
        return self.encoder

    @property
    def space(self) -> LatentSpace:
        """The autoencoder and the statistics of its latents."""
        return self._space[0]

    def reconstruction(self, batch: Batch) -> dict[str, torch.Tensor]:
        """L1 of a decoded sample of the posterior, with the KL divergence: encoder and decoder learn."""
        mean, log_variance = self.space.autoencoder.posterior(self.space.prepared(batch.hr))
        noise = torch.randn(mean.shape, generator=batch.generator, device=mean.device)
        terms = self._distance(mean + (0.5 * log_variance).exp() * noise, batch.hr)
        kl = kl_to_standard_normal(mean, log_variance)
        return {**terms, "kl": kl, "total": terms["total"] + self.kl_weight * kl}

    def reconstruction_of_fixed_latents(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The same distance for the decoder alone; the latents are measured."""
        with torch.no_grad():
            mean, log_variance = self.space.autoencoder.posterior(self.space.prepared(batch.hr))
            self._measure(mean)
        noise = torch.randn(mean.shape, generator=batch.generator, device=mean.device)
        return self._distance(mean + (0.5 * log_variance).exp() * noise, batch.hr)

    def _distance(self, latents: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
        height, width = images.shape[-2:]
        wrong = self.space.autoencoder.decode(latents)[..., :height, :width] - symmetric(images)
        pixel = wrong.abs().mean()
        gradient = wrong.diff(dim=-1).abs().mean() + wrong.diff(dim=-2).abs().mean()
        return {"pixel": pixel, "total": pixel + self.gradient_weight * gradient}

    def _measure(self, latents: torch.Tensor) -> None:
        values = latents.double().transpose(0, 1).flatten(1)
        self.count += values.shape[1]
        self.total += values.sum(dim=1)
        self.squares += values.square().sum(dim=1)
        mean = self.total / self.count
        self.space.latent_mean.copy_(mean)
        self.space.latent_std.copy_((self.squares / self.count - mean.square()).clamp(min=1e-12).sqrt())
