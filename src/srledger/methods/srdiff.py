"""SRDiff (Li et al. 2021): diffusion of the residual to the enlarged LR image, seen through a frozen LR encoder.

The first part of a training teaches the encoder alone (a small RRDB, L1); then it is frozen and the denoiser learns.
With the prior `uniform` it is SRDiff; with an attention map it is SRDiff + YODA, whose LR image is the residual zero.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.diffusion.config import DiffusionConfig, Target
from srledger.diffusion.images import symmetric, upsample
from srledger.diffusion.level import Denoise
from srledger.diffusion.objective import Objective
from srledger.diffusion.sampler import Sampler, Trace
from srledger.methods import Batch, Method
from srledger.plugins import PluginConfig

RESIDUAL_SCALE = 2.0  # residuals are small: twice as large they fill [-1, 1] better
LONGEST_PERIOD = 10_000  # of the step embedding


class Config(DiffusionConfig):
    """Sizes; the defaults are the paper's."""

    target: Target = "eps"
    schedule: Literal["linear", "cosine"] = "cosine"
    train_steps: int = Field(default=100, ge=2)
    sampling_steps: int = Field(default=100, ge=1)
    width: int = Field(default=64, ge=4)
    multipliers: tuple[int, ...] = Field(default=(1, 2, 2, 4), min_length=2, description="of the width, per level")
    encoder_width: int = Field(default=32, ge=4)
    encoder_blocks: int = Field(default=8, ge=1)
    encoder_growth: int = Field(default=16, ge=1)
    pretraining: float = Field(default=0.2, gt=0, lt=1, description="the part of a training that teaches the encoder")

    @model_validator(mode="after")
    def _check_multipliers(self) -> Self:
        if any(multiplier < 1 for multiplier in self.multipliers) or self.multipliers[0] != 1:
            raise ValueError(f"multipliers must be positive and begin with 1, found {list(self.multipliers)}")
        return self


class _DenseBlock(nn.Module):
    """Five 3x3 convolutions, each seeing all features before it; residual scaling 0.2."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width + k * growth, growth, 3, 1, 1) for k in range(4))
        self.last = nn.Conv2d(width + 4 * growth, width, 3, 1, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        seen = [features]
        for conv in self.convs:
            seen.append(F.leaky_relu(conv(torch.cat(seen, dim=1)), 0.2))
        return features + 0.2 * self.last(torch.cat(seen, dim=1))


class _Rrdb(nn.Sequential):
    """Three dense blocks in a residual, scaled by 0.2."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__(*(_DenseBlock(width, growth) for _ in range(3)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + 0.2 * super().forward(features)


class LrEncoder(nn.Module):
    """An RRDB network. Its image is what it learns by; its features are what the denoiser sees.

    The blocks stand here and not in the method `rrdb`: a row's weights rest on this file and the diffusion core alone.
    """

    def __init__(self, width: int, blocks: int, growth: int, upsamplings: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, 1, 1)
        self.trunk = nn.ModuleList(_Rrdb(width, growth) for _ in range(blocks))
        self.trunk_last = nn.Conv2d(width, width, 3, 1, 1)
        self.upsamplers = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(upsamplings))
        self.before_last = nn.Conv2d(width, width, 3, 1, 1)
        self.last = nn.Conv2d(width, 3, 3, 1, 1)

    @staticmethod
    def taps(blocks: int) -> int:
        """How many feature maps the condition holds: every third, counted back from the trunk's output."""
        return len(range(blocks, -1, -3))

    def features(self, lr: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of all blocks and of the trunk, ``B x width x h x w`` each, for LR images in [0, 1]."""
        first = features = self.first(lr)
        found = []
        for block in self.trunk:
            features = block(features)
            found.append(features)
        return [*found, first + self.trunk_last(features)]

    def condition(self, lr: torch.Tensor) -> torch.Tensor:
        """``B x (taps * width) x h x w``: the maps after blocks 3 and 6 and the trunk's output, for eight blocks."""
        return torch.cat(self.features(lr)[::-3][::-1], dim=1)

    def forward(self, lr: torch.Tensor, upsampled: torch.Tensor) -> torch.Tensor:
        """The SR image of LR images in [0, 1]: ``upsampled`` and what the trunk adds to it."""
        features = self.features(lr)[-1]
        for upsampler in self.upsamplers:
            features = F.leaky_relu(upsampler(F.interpolate(features, scale_factor=2, mode="nearest")), 0.2)
        return upsampled + self.last(F.leaky_relu(self.before_last(features), 0.2)).float()


def _block(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels_in, channels, 3), nn.Mish())


class _ResidualBlock(nn.Module):
    """Two blocks with the step as a bias per channel between them; no norm."""

    def __init__(self, channels_in: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.step = nn.Sequential(nn.Mish(), nn.Linear(embedding, channels))
        self.first, self.second = _block(channels_in, channels), _block(channels, channels)
        self.shortcut = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, features: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        hidden = self.first(features) + self.step(step)[:, :, None, None]
        return self.second(hidden) + self.shortcut(features)


class _Pair(nn.Module):
    """Two residual blocks."""

    def __init__(self, channels_in: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.first = _ResidualBlock(channels_in, channels, embedding)
        self.second = _ResidualBlock(channels, channels, embedding)

    def forward(self, features: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(features, step), step)


class Denoiser(nn.Module):
    """A U-Net without norm and attention; the condition is added once, behind the finest level."""

    def __init__(self, width: int, multipliers: Sequence[int], condition_channels: int, scale_factor: int) -> None:
        super().__init__()
        self.width = width
        widths = [width * multiplier for multiplier in multipliers]
        self.condition = nn.ConvTranspose2d(
            condition_channels, width, 2 * scale_factor, scale_factor, scale_factor // 2
        )
        self.embedding = nn.Sequential(nn.Linear(width // 2 * 2, 4 * width), nn.Mish(), nn.Linear(4 * width, width))
        self.levels = nn.ModuleList(
            _Pair(before, after, width) for before, after in zip([3, *widths], widths, strict=False)
        )
        self.downs = nn.ModuleList(
            nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, 2)) for channels in widths[:-1]
        )
        self.middle = _Pair(widths[-1], widths[-1], width)
        self.up_levels = nn.ModuleList(_Pair(2 * after, before, width) for before, after in itertools.pairwise(widths))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(channels, channels, 4, 2, 1) for channels in widths[:-1])
        self.last = nn.Sequential(_block(width, width), nn.Conv2d(width, 3, 1))
        self.coarsest_px = 2 ** (len(widths) - 1)

    def forward(self, z: torch.Tensor, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """``B x 3 x H x W`` of ``z`` at steps ``time``, ``B``; ``condition`` is what the encoder gave."""
        height, width = z.shape[-2:]
        # Whole pixels on the coarsest grid, and the two of them that mirrored borders need.
        more = [max(-side % self.coarsest_px, 2 * self.coarsest_px - side) for side in (width, height)]
        padding = (0, more[0], 0, more[1])
        step = self.embedding(self._angles(time))
        features, skips = F.pad(z, padding, mode="replicate"), []
        for k, level in enumerate(self.levels):
            features = level(features, step)
            if k == 0:
                features = features + F.pad(self.condition(condition), padding, mode="replicate")
            skips.append(features)
            if k < len(self.downs):
                features = self.downs[k](features)
        features = self.middle(features, step)
        # The finest level's own features are no skip, as in the authors' code: they come back from half resolution.
        for k in reversed(range(len(self.ups))):
            features = self.ups[k](self.up_levels[k](torch.cat([features, skips[k + 1]], dim=1), step))
        return self.last(features)[..., :height, :width]

    def _angles(self, time: torch.Tensor) -> torch.Tensor:
        half = self.width // 2
        exponents = torch.arange(half, device=time.device, dtype=torch.float32) / max(half - 1, 1)
        angles = time[:, None] * LONGEST_PERIOD**-exponents
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class SrDiff(Method):
    """``residual = 2 (HR - enlarged LR)`` in [-1, 1] is what diffuses; the encoder's features condition it."""

    config: Config

    @classmethod
    def network_evaluations(cls, config: PluginConfig) -> int:
        """Of the denoiser: one a step and sample."""
        assert isinstance(config, Config)
        return config.sampling_steps * config.samples

    def __init__(self, config: Config, scale_factor: int) -> None:
        super().__init__(config, scale_factor)
        upsamplings = round(math.log2(scale_factor))
        if 2**upsamplings != scale_factor or not upsamplings:
            raise ValueError(f"srdiff needs a scale factor of 2, 4, 8, ...; found {scale_factor}")
        self.objective = Objective(config, continuous=False)
        self.sampler = Sampler(config)
        self.encoder = LrEncoder(config.encoder_width, config.encoder_blocks, config.encoder_growth, upsamplings)
        channels = LrEncoder.taps(config.encoder_blocks) * config.encoder_width
        self.denoiser = Denoiser(config.width, config.multipliers, channels, scale_factor)

    def denoise(self, lr: torch.Tensor) -> Denoise:
        """The denoiser beside LR images in [0, 1]; no gradient reaches the encoder."""
        self.encoder.eval()
        with torch.no_grad():
            condition = self.encoder.condition(lr)
        return lambda z, level: self.denoiser(z, level.time, condition)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """First the encoder's L1, then the masked loss of the denoiser."""
        upsampled = upsample(batch.lr, self.scale_factor)
        if batch.progress < self.config.pretraining:
            total = F.l1_loss(self.encoder(batch.lr, upsampled), batch.hr)
            return {"encoder": total, "total": total}
        residual = (RESIDUAL_SCALE * (symmetric(batch.hr) - symmetric(upsampled))).clamp(-1, 1)
        total = self.objective.loss(self.denoise(batch.lr), residual, batch.prior, batch.generator)
        return {"denoiser": total, "total": total}

    def restore(
        self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int], trace: Trace | None = None
    ) -> torch.Tensor:
        """Sampled images; ``trace`` sees every step, of the residual."""
        upsampled = upsample(lr, self.scale_factor)
        residual = self.sampler.sample(self.denoise(lr), torch.zeros_like(upsampled), prior, seeds, trace)
        return upsampled + residual / (2 * RESIDUAL_SCALE)  # half of it: the residual is that of images in [-1, 1]
