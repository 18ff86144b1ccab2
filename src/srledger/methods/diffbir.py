"""DiffBIR (Lin et al. 2024) in small: a regression, then a frozen latent diffusion model under a control branch.

The first part of a training teaches the regression alone (MSE); then it is frozen, and the control branch learns to
steer the frozen denoiser of the encoder that the row names. With the prior `uniform` it is DiffBIR; with an attention
map it is DiffBIR + YODA in the latent space. Sections of docs/diffusion.md say the rest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.diffusion.config import DiffusionConfig, Schedule, Target
from srledger.diffusion.control import ControlBranch
from srledger.diffusion.images import upsample
from srledger.diffusion.level import Denoise
from srledger.diffusion.objective import Objective
from srledger.diffusion.sampler import Sampler, Trace
from srledger.diffusion.unet import Unet
from srledger.diffusion.wavelet import diffbir_wavelet_fix, levels_of
from srledger.methods import Batch, Method
from srledger.plugins import PluginConfig

if TYPE_CHECKING:
    from srledger.encoders import Encoder

OF_DENOISER = ("target", "schedule", "train_steps")  # settings that the frozen denoiser has learnt under


class Config(DiffusionConfig):
    """Sizes; the defaults are small, for the paper's networks are pretrained ones of a thousand times the size."""

    target: Target = "v"
    loss: Literal["l1", "mse"] = "mse"
    schedule: Schedule = "cosine"
    train_steps: int = Field(default=1000, ge=2)
    sampling_steps: int = Field(default=50, ge=1)
    clip_x0: bool = Field(default=False, description="latents have unit variance, they do not stay in [-1, 1]")
    restorer_width: int = Field(default=64, ge=4)
    restorer_blocks: int = Field(default=8, ge=1)
    restorer_patch_px: int = Field(default=4, ge=1, description="the regression works on patches of this side")
    pretraining: float = Field(default=0.4, gt=0, lt=1, description="part of a training that teaches the regression")
    colour_fix: Literal["wavelet", "none"] = Field(
        default="wavelet", description="DiffBIR's: the regression's low frequencies in place of the sample's"
    )

    @model_validator(mode="after")
    def _check_patch(self) -> Self:
        if self.restorer_patch_px & (self.restorer_patch_px - 1):
            raise ValueError(f"restorer_patch_px must be a power of 2, found {self.restorer_patch_px}")
        return self


class _Residual(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(nn.Conv2d(width, width, 3, 1, 1), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + super().forward(features)


class Restorer(nn.Module):
    """The regression: residual blocks on patches, then nearest x2 and convolution back to pixels, beside the input.

    DiffBIR's SwinIR has the same frame (patches of 8 px of 512, nearest x2 and convolution) around transformer blocks,
    and no skip from its input.
    """

    def __init__(self, width: int, blocks: int, patch_px: int) -> None:
        super().__init__()
        self.patch_px = patch_px
        self.first = nn.Sequential(nn.PixelUnshuffle(patch_px), nn.Conv2d(3 * patch_px**2, width, 3, 1, 1))
        self.body = nn.Sequential(*(_Residual(width) for _ in range(blocks)), nn.Conv2d(width, width, 3, 1, 1))
        widths = [max(width // 2**k, 8) for k in range(round(math.log2(patch_px)) + 1)]
        ups = [
            nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, 1, 1), nn.SiLU())
            for before, after in itertools.pairwise(widths)
        ]
        last = nn.Conv2d(widths[-1], 3, 3, 1, 1)
        nn.init.zeros_(last.weight)  # it starts as the degraded image, which is closer than any image of chance
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.last = nn.Sequential(*ups, last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float32 images of degraded ones, both ``B x 3 x H x W`` in [0, 1] (nominally; any H, W)."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.patch_px, 0, -height % self.patch_px), mode="replicate")
        features = self.first(padded)
        added = self.last(features + self.body(features))[..., :height, :width]
        return images + added.float()


class DiffBir(Method):
    """Noise to latents under the hint E(I_reg), decoded, with the low frequencies of I_reg, the regression's image."""

    builds_on = ("codes", "denoises")
    any_scale_factor = True
    config: Config

    @classmethod
    def network_evaluations(cls, config: PluginConfig) -> int:
        """Of the denoiser: one a step and sample."""
        assert isinstance(config, Config)
        return config.sampling_steps * config.samples

    def __init__(self, config: Config, scale_factor: int, encoder: Encoder) -> None:
        super().__init__(config, scale_factor)
        self.objective = Objective(config, continuous=False)
        self.sampler = Sampler(config)
        self.restorer = Restorer(config.restorer_width, config.restorer_blocks, config.restorer_patch_px)
        self.encoder = encoder.requires_grad_(False)
        self.control = ControlBranch(self.denoiser, encoder.latent_channels)

    @classmethod
    def check_encoder(cls, config: PluginConfig, encoder: PluginConfig) -> None:
        """Raise ValueError where the row would use the frozen denoiser otherwise than it was taught."""
        for name in OF_DENOISER:
            ours, taught = getattr(config, name), getattr(encoder, name)
            if ours != taught:
                raise ValueError(f"{name} is {ours}, and the frozen denoiser has learnt under {taught}")

    @property
    def denoiser(self) -> Unet:
        """The frozen one."""
        unet = self.encoder.denoiser
        assert isinstance(unet, Unet)
        return unet

    def regressed(self, lr: torch.Tensor) -> torch.Tensor:
        """I_reg, ``B x 3 x H x W`` in [0, 1]: what the control branch and the colour fix see of the LR images."""
        with torch.no_grad():
            return self.restorer(upsample(lr, self.scale_factor)).clamp(0, 1)

    def encoded(self, images: torch.Tensor) -> torch.Tensor:
        """Latents of images in [0, 1], without a gradient."""
        with torch.no_grad():
            return self.encoder.encode(images)

    def denoise(self, hint: torch.Tensor) -> Denoise:
        """The frozen denoiser, controlled by the latents of I_reg."""
        return lambda z, level: self.denoiser(z, level.signal, self.control(z, hint, level.signal))

    def latent_map(self, prior: torch.Tensor) -> torch.Tensor:
        """The map on the latent grid: its mean over the pixels of each latent pixel, not stretched again."""
        factor = self.encoder.factor
        padding = (0, -prior.shape[-1] % factor, 0, -prior.shape[-2] % factor)
        return F.avg_pool2d(F.pad(prior, padding, mode="replicate"), factor)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """First the regression's MSE, then the masked loss of the controlled denoiser, in the latent space."""
        if batch.progress < self.config.pretraining:
            total = F.mse_loss(self.restorer(upsample(batch.lr, self.scale_factor)), batch.hr)
            return {"restorer": total, "total": total}
        hint = self.encoded(self.regressed(batch.lr))
        total = self.objective.loss(
            self.denoise(hint), self.encoded(batch.hr), self.latent_map(batch.prior), batch.generator
        )
        return {"control": total, "total": total}

    def restore(
        self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int], trace: Trace | None = None
    ) -> torch.Tensor:
        """Sampled images; ``trace`` sees every step, of the latents."""
        regressed = self.regressed(lr)
        hint = self.encoded(regressed)
        latents = self.sampler.sample(self.denoise(hint), hint, self.latent_map(prior), seeds, trace)
        height, width = regressed.shape[-2:]
        sampled = self.encoder.decode(latents)[..., :height, :width]
        if self.config.colour_fix == "none":
            return sampled
        return diffbir_wavelet_fix(sampled, regressed, levels_of(min(height, width)))
