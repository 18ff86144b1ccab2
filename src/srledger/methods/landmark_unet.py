"""Landmark-weighted U-Net ("You Only Landmark Once"): a light U-Net whose loss weighs facial landmarks.

The heatmap is used by the loss alone; inference sees the LR image only. (A2) and (A3) are sections of the method notes
in docs/methods.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.methods import Batch, Method, hr_shape
from srledger.plugins import PluginConfig


# Below it the deepest stride-2 convolution sees one pixel, and in bf16 that reads memory nobody wrote (oneDNN).
SMALLEST_BF16_PX = 5


class Config(PluginConfig):
    """Widths and loss weights; the defaults are the paper's (7,306,371 parameters at x8)."""

    width: int = Field(default=48, ge=4, description="channels b of the first encoder level; then 2b, 4b, 8b")
    up_widths: tuple[int, ...] | None = Field(
        default=None, description="channels after each learned x2 upsampling; null: the width at every step"
    )
    refine_blocks: int = Field(default=5, ge=0, description="residual blocks at full resolution")
    pixel_loss: Literal["mse", "l1"] = "mse"
    lambda_heat: float = Field(default=2.0, ge=0, description="weight of the heatmap-weighted L1; 0 leaves it out")
    gamma: float = Field(default=1.3, gt=0)
    floor: float = Field(default=0.10, ge=0, le=1, description="least weight of a pixel; 1 is plain L1")
    lambda_distill: float = Field(default=1.0, ge=0, description="a student's weight of its teacher's output")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.up_widths is not None and any(width < 1 for width in self.up_widths):
            raise ValueError(f"up_widths must be positive, found {list(self.up_widths)}")
        return self


def heat_schedule(progress: float) -> float:
    """Factor on lambda_heat at ``progress`` in [0, 1): 0.6 -> 1 until .30, 1 until .85, then 1 -> 0.75 (A3)."""
    if progress <= 0.30:
        return 0.6 + 0.4 * progress / 0.30
    if progress <= 0.85:
        return 1.0
    return 1.0 - 0.25 * (progress - 0.85) / 0.15


def heat_weights(prior: torch.Tensor, gamma: float, floor: float) -> torch.Tensor:
    """Pixel weights ``floor + (1 - floor) * H**gamma`` of maps ``B x 1 x H x W`` (A3).

    Each map is stretched to [0, 1] first; a map that is constant (span <= 1e-6) gives weights of one.
    """
    low, high = prior.amin(dim=(1, 2, 3), keepdim=True), prior.amax(dim=(1, 2, 3), keepdim=True)
    span = high - low
    stretched = (prior - low) / span.clamp_min(1e-6)
    weights = floor + (1 - floor) * stretched**gamma
    return torch.where(span > 1e-6, weights, torch.ones_like(weights))


def heat_loss(sr: torch.Tensor, hr: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of |sr - hr| per image (the denominator counts channels), averaged over the batch (A3)."""
    weights = weights.expand_as(hr)
    per_image = (weights * (sr - hr).abs()).sum(dim=(1, 2, 3)) / weights.sum(dim=(1, 2, 3))
    return per_image.mean()


def _convs(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels_out, channels_out, 3, 1, 1),
        nn.LeakyReLU(0.2),
    )


class _Residual(nn.Module):
    """conv-LReLU-conv with an identity skip and no trailing activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(channels, channels, 3, 1, 1)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.body(features)


class LandmarkUnet(Method):
    """U-Net on the LR grid, learned x2 upsamplings to the HR grid, bilinear global skip; no normalisation layers."""

    config: Config

    def __init__(self, config: Config, scale_factor: int) -> None:
        super().__init__(config, scale_factor)
        upsamplings = round(math.log2(scale_factor))
        if 2**upsamplings != scale_factor:
            raise ValueError(f"landmark_unet needs a scale factor of 2, 4, 8, ...; found {scale_factor}")
        widths = config.up_widths or (config.width,) * upsamplings
        if len(widths) != upsamplings:
            raise ValueError(f"up_widths needs {upsamplings} widths for x{scale_factor}, found {list(widths)}")
        b = config.width
        self.encoders = nn.ModuleList(
            [_convs(3, b), _convs(b, 2 * b, 2), _convs(2 * b, 4 * b, 2), _convs(4 * b, 8 * b, 2)]
        )
        self.bottleneck = _convs(8 * b, 8 * b)
        self.decoders = nn.ModuleList([_convs(12 * b, 4 * b), _convs(6 * b, 2 * b), _convs(3 * b, b)])
        self.upsamplers = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(before, after, 3, 1, 1), nn.LeakyReLU(0.2)
            )
            for before, after in zip((b, *widths), widths, strict=False)
        )
        last = widths[-1] if widths else b
        self.refine = nn.Sequential(nn.Conv2d(last, last, 1), *(_Residual(last) for _ in range(config.refine_blocks)))
        self.head = nn.Conv2d(last, 3, 1)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """SR image ``B x 3 x H x W`` of an LR image ``B x 3 x h x w``, both in [-1, 1]."""
        if min(lr.shape[-2:]) < SMALLEST_BF16_PX and torch.is_autocast_enabled(lr.device.type):
            with torch.autocast(lr.device.type, enabled=False):
                return self(lr)
        features, skips = lr, []
        for encoder in self.encoders:
            features = encoder(features)
            skips.append(features)
        features = self.bottleneck(features)
        for decoder, skip in zip(self.decoders, reversed(skips[:-1]), strict=True):
            features = F.interpolate(features, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            features = decoder(torch.cat([features, skip], dim=1))
        for upsampler in self.upsamplers:
            features = upsampler(features)
        skip = F.interpolate(lr, size=hr_shape(lr, self.scale_factor), mode="bilinear", align_corners=False)
        return self.head(self.refine(features)).float() + skip.float()

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Pixel loss in [-1, 1] plus the scheduled, heatmap-weighted L1 (A3)."""
        return self._loss_of(self(batch.lr * 2 - 1), batch)

    def distill_loss(self, batch: Batch, teacher: Self) -> dict[str, torch.Tensor]:
        """The task's own loss plus L1 to the teacher's output: the student is taught, not only trained small."""
        sr = self(batch.lr * 2 - 1)
        with torch.no_grad():
            taught = teacher(batch.lr * 2 - 1)
        terms = self._loss_of(sr, batch)
        terms["distill"] = F.l1_loss(sr, taught)
        terms["total"] = terms["total"] + self.config.lambda_distill * terms["distill"]
        return terms

    def _loss_of(self, sr: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        hr = batch.hr * 2 - 1
        pixel = F.mse_loss(sr, hr) if self.config.pixel_loss == "mse" else F.l1_loss(sr, hr)
        terms = {"pixel": pixel, "total": pixel}
        if self.config.lambda_heat:
            terms["heat"] = heat_loss(sr, hr, heat_weights(batch.prior, self.config.gamma, self.config.floor))
            terms["total"] = pixel + self.config.lambda_heat * heat_schedule(batch.progress) * terms["heat"]
        return terms

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """The network's output: no detector, no heatmap, no noise."""
        return (self(lr * 2 - 1) + 1) / 2
