"""Landmark-weighted U-Net ("You Only Landmark Once"): a light U-Net whose loss weighs facial landmarks.

The heatmap and the frozen networks that compare images belong to the loss alone; inference sees the LR image only. (A2)
and (A3) are sections of the method notes in docs/methods.md. In this order: settings, schedules, terms of the loss, the
frozen networks, the network that is trained.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.errors import SrledgerError
from srledger.methods import Batch, Method, hr_shape
from srledger.plugins import PluginConfig
from srledger.weights import resolve

if TYPE_CHECKING:
    from srledger.encoders import Encoder

Maps = Sequence[torch.Tensor]  # feature maps B x C x h x w, shallow to deep

# Below it the deepest stride-2 convolution sees one pixel, and in bf16 that reads memory nobody wrote (oneDNN).
SMALLEST_BF16_PX = 5
WEIGHT_OF_DIVISOR = {2: 0.2, 4: 0.05}  # of the loss at 1/2 and 1/4 of the HR side, beside 1 at the HR side (A3)
LEAST_JUDGED_PX = 96  # smaller images than these are compared by no network, the HR image itself aside (A3)
VGG16 = "vgg16_imagenet"  # its name in the weights catalogue


class Config(PluginConfig):
    """Widths and loss weights; the defaults are the paper's (7,306,371 parameters at x8), without its networks."""

    width: int = Field(default=48, ge=4, description="channels b of the first encoder level; then 2b, 4b, 8b")
    up_widths: tuple[int, ...] | None = Field(
        default=None, description="channels after each learned x2 upsampling; null: the width at every step"
    )
    refine_blocks: int = Field(default=5, ge=0, description="residual blocks at full resolution")
    pixel_loss: Literal["mse", "l1", "encoder_features"] = Field(
        default="mse", description="encoder_features: squared distance of feature maps of the row's encoder"
    )
    lambda_heat: float = Field(default=2.0, ge=0, description="weight of the heatmap-weighted L1; 0 leaves it out")
    gamma: float = Field(default=1.3, gt=0)
    floor: float = Field(default=0.10, ge=0, le=1, description="least weight of a pixel; 1 is plain L1")
    # The terms below came later: at their defaults they are left out, so that rows measured before keep their hash.
    perceptual: Literal["none", "vgg16_imagenet", "encoder"] = Field(
        default="none",
        description="whose feature maps are compared; encoder: the row's, in place of the paper's VGG16",
        exclude_if=lambda value: value == "none",
    )
    lambda_perceptual: float = Field(default=0.02, ge=0, exclude_if=lambda value: value == 0.02)
    lpips: Literal["none", "vgg16_imagenet", "encoder"] = Field(
        default="none",
        description="vgg16_imagenet: LPIPS; encoder: LPIPS' form on the row's encoder, without heads",
        exclude_if=lambda value: value == "none",
    )
    lambda_lpips: float = Field(default=0.15, ge=0, exclude_if=lambda value: value == 0.15)
    encoder_px: int | None = Field(
        default=None,
        ge=8,
        description="the encoder sees images shrunk (area) to at most this side; null: as they are",
        exclude_if=lambda value: value is None,
    )
    multiscale: bool = Field(
        default=False, description="the loss at 1/2 and 1/4 of the HR side too", exclude_if=lambda value: not value
    )
    deep_supervision: bool = Field(
        default=False,
        description="heads after the inner upsamplings, for the loss alone: restoring does not run them",
        exclude_if=lambda value: not value,
    )
    lambda_distill: float = Field(default=1.0, ge=0, description="a student's weight of its teacher's output")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.up_widths is not None and any(width < 1 for width in self.up_widths):
            raise ValueError(f"up_widths must be positive, found {list(self.up_widths)}")
        if self.pixel_loss == "encoder_features" and (self.multiscale or self.deep_supervision):
            raise ValueError("pixel_loss encoder_features is of whole images: not with multiscale or deep_supervision")
        if self.encoder_px is not None and not self.asks_encoder:
            raise ValueError("encoder_px is set, and no term of the loss has an encoder")
        return self

    @property
    def asks_encoder(self) -> bool:
        """Whether a term of the loss is an encoder's."""
        return self.pixel_loss == "encoder_features" or "encoder" in (self.perceptual, self.lpips)


def perceptual_schedule(progress: float) -> float:
    """Factor on lambda_perceptual at ``progress`` in [0, 1): 0 -> 1 until .30, then 1 (A3)."""
    return min(progress / 0.30, 1.0)


def heat_schedule(progress: float) -> float:
    """Factor on lambda_heat at ``progress`` in [0, 1): 0.6 -> 1 until .30, 1 until .85, then 1 -> 0.75 (A3)."""
    if progress <= 0.30:
        return 0.6 + 0.4 * progress / 0.30
    if progress <= 0.85:
        return 1.0
    return 1.0 - 0.25 * (progress - 0.85) / 0.15


def lpips_schedule(progress: float) -> float:
    """Factor on lambda_lpips at ``progress`` in [0, 1): 0 until .30, 0 -> 1 until .85, then 1 (A3)."""
    return min(max((progress - 0.30) / 0.55, 0.0), 1.0)


def term_weights(config: Config, progress: float) -> dict[str, float]:
    """Weight of each term beside the pixel loss at ``progress``; 0 where the row is without it."""
    return {
        "heat": config.lambda_heat * heat_schedule(progress),
        "perceptual": config.lambda_perceptual * perceptual_schedule(progress) * (config.perceptual != "none"),
        "lpips": config.lambda_lpips * lpips_schedule(progress) * (config.lpips != "none"),
    }


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


def feature_distance(sr: Maps, hr: Maps) -> torch.Tensor:
    """Mean squared difference of feature maps, summed over the maps (A3: L_perc)."""
    return torch.stack([F.mse_loss(a, b) for a, b in zip(sr, hr, strict=True)]).sum()


def lpips_distance(sr: Maps, hr: Maps, heads: Sequence[nn.Module] = ()) -> torch.Tensor:
    """LPIPS of feature maps, averaged over the batch: squared distance of unit feature vectors, weighted by ``heads``.

    Without heads every channel weighs 1, as in the metric enc_lpips. Vectors of zeros have a gradient of zero; in the
    lpips package it is not a number.
    """
    found = []
    for k, (a, b) in enumerate(zip(sr, hr, strict=True)):
        squared = (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square()
        found.append((heads[k](squared) if heads else squared.sum(dim=1)).mean())
    return torch.stack(found).sum()


@dataclasses.dataclass(frozen=True)
class View:
    """SR and HR images ``B x 3 x H x W`` in [-1, 1] with their heatmaps, at one size.

    ``weight`` is that of this size in the loss; ``judged`` says whether networks compare it too.
    """

    weight: float
    sr: torch.Tensor
    hr: torch.Tensor
    heatmap: torch.Tensor
    judged: bool

    def shrunk_to(self, divisor: int, sr: torch.Tensor | None = None) -> View:
        """The view at 1/divisor of the side, averaged over areas; ``sr`` takes the place of the shrunk SR image."""
        small, hr, heatmap = (F.avg_pool2d(images, divisor) for images in (self.sr, self.hr, self.heatmap))
        judged = min(hr.shape[-2:]) >= LEAST_JUDGED_PX
        return View(WEIGHT_OF_DIVISOR[divisor], small if sr is None else sr, hr, heatmap, judged)


class Vgg16:
    """The published VGG16 and LPIPS' heads for it: frozen, in float32."""

    def __init__(self, trunk_file: Path) -> None:
        import lpips

        # pnet_rand: lpips would download the trunk otherwise. Its random start must not touch the global generator.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torchvision's own deprecation notes
            network = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
        tensors = torch.load(trunk_file, map_location="cpu", weights_only=True)
        # lpips cuts torchvision's ``features.N`` into ``sliceK.N``.
        name_there = {key: "features." + key.split(".", 1)[1] for key in network.net.state_dict()}
        network.net.load_state_dict({key: tensors[name] for key, name in name_there.items()})
        self.network = network.eval().requires_grad_(False)

    @property
    def heads(self) -> list[nn.Module]:
        """LPIPS v0.1's weights of channels, one 1x1 convolution per map."""
        return [head.model for head in self.network.lins]

    def maps(self, images: torch.Tensor, count: int = 5) -> list[torch.Tensor]:
        """The first of relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 of images in [-1, 1], by ImageNet's statistics."""
        network = self.network.to(images.device)
        features, found = network.scaling_layer(images), []
        for k in range(1, count + 1):
            features = getattr(network.net, f"slice{k}")(features)
            found.append(features)
        return found


@functools.cache
def published_vgg16() -> Vgg16:
    """The catalogue's VGG16, loaded once in a process. Raises SrledgerError where it is not at hand."""
    found = resolve(VGG16)
    if found.path is None:
        raise SrledgerError(
            "published weights are not at hand", where="method landmark_unet", found=found.reason,
            mend="make weights, or point SRLEDGER_WEIGHTS to a folder that holds them",
        )  # fmt: skip
    return Vgg16(found.path)


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
    """U-Net on the LR grid, learned x2 upsamplings to the HR grid, bilinear global skip; no normalisation layers.

    ``encoder`` is for the loss alone: it is neither saved, nor trained, nor counted.
    """

    config: Config

    def __init__(self, config: Config, scale_factor: int, encoder: Encoder | None = None) -> None:
        super().__init__(config, scale_factor)
        upsamplings = round(math.log2(scale_factor))
        if 2**upsamplings != scale_factor:
            raise ValueError(f"landmark_unet needs a scale factor of 2, 4, 8, ...; found {scale_factor}")
        widths = config.up_widths or (config.width,) * upsamplings
        if len(widths) != upsamplings:
            raise ValueError(f"up_widths needs {upsamplings} widths for x{scale_factor}, found {list(widths)}")
        if config.deep_supervision and upsamplings < 2:
            raise ValueError(f"deep_supervision needs a scale factor of at least 4, found {scale_factor}")
        if config.asks_encoder and encoder is None:
            raise ValueError("a term of the loss asks for an encoder, and the row names none")
        # In a tuple, it is no part of this module.
        self.encoder: tuple[Encoder, ...] = () if encoder is None else (encoder.eval().requires_grad_(False),)
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
        if config.deep_supervision:  # drawn last: the rest starts as without them
            self.side_heads = nn.ModuleList(nn.Conv2d(width, 3, 1) for width in widths[-2:-4:-1])

    @classmethod
    def judges_by_encoder(cls, config: Config) -> bool:
        """Whether a row of these settings names an encoder: its loss has one, and nothing else of it has."""
        return config.asks_encoder

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """SR image ``B x 3 x H x W`` of an LR image ``B x 3 x h x w``, both in [-1, 1]."""
        with self._precision(lr):
            return self._image(self._levels(lr)[-1], lr)

    def _precision(self, lr: torch.Tensor) -> contextlib.AbstractContextManager[object]:
        kind = lr.device.type
        too_small = min(lr.shape[-2:]) < SMALLEST_BF16_PX and torch.is_autocast_enabled(kind)
        return torch.autocast(kind, enabled=False) if too_small else contextlib.nullcontext()

    def _levels(self, lr: torch.Tensor) -> list[torch.Tensor]:
        """Features on the LR grid, then after each upsampling."""
        features, skips = lr, []
        for encoder in self.encoders:
            features = encoder(features)
            skips.append(features)
        features = self.bottleneck(features)
        for decoder, skip in zip(self.decoders, reversed(skips[:-1]), strict=True):
            features = F.interpolate(features, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            features = decoder(torch.cat([features, skip], dim=1))
        levels = [features]
        for upsampler in self.upsamplers:
            levels.append(upsampler(levels[-1]))
        return levels

    def _image(self, features: torch.Tensor, lr: torch.Tensor) -> torch.Tensor:
        skip = F.interpolate(lr, size=hr_shape(lr, self.scale_factor), mode="bilinear", align_corners=False)
        return self.head(self.refine(features)).float() + skip.float()

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Pixel loss in [-1, 1] plus the scheduled terms: heatmap-weighted L1, perceptual, LPIPS (A3)."""
        return self._loss_of(self._views(batch), batch)

    def distill_loss(self, batch: Batch, teacher: Self) -> dict[str, torch.Tensor]:
        """The task's own loss plus L1 to the teacher's output: the student is taught, not only trained small."""
        views = self._views(batch)
        with torch.no_grad():
            taught = teacher(batch.lr * 2 - 1)
        terms = self._loss_of(views, batch)
        terms["distill"] = F.l1_loss(views[0].sr, taught)
        terms["total"] = terms["total"] + self.config.lambda_distill * terms["distill"]
        return terms

    def _views(self, batch: Batch) -> list[View]:
        """The sizes at which the loss compares images; the HR size first."""
        lr = batch.lr * 2 - 1
        with self._precision(lr):
            levels = self._levels(lr)
            whole = View(1.0, self._image(levels[-1], lr), batch.hr * 2 - 1, batch.prior, judged=True)
            views = [whole]
            if self.config.multiscale:
                views += [whole.shrunk_to(divisor) for divisor in WEIGHT_OF_DIVISOR]
            if self.config.deep_supervision:
                inner = zip(WEIGHT_OF_DIVISOR, self.side_heads, levels[-2:0:-1], strict=False)
                views += [whole.shrunk_to(divisor, head(features).float()) for divisor, head, features in inner]
        return views

    def _loss_of(self, views: list[View], batch: Batch) -> dict[str, torch.Tensor]:
        weights = term_weights(self.config, batch.progress)
        terms: dict[str, torch.Tensor] = {}
        for view in views:
            for name, value in self._compared(view, weights).items():
                part = view.weight * value
                terms[name] = terms[name] + part if name in terms else part
        total = terms["pixel"]
        for name in [name for name in weights if name in terms]:
            total = total + weights[name] * terms[name]
        return {**terms, "total": total}

    def _compared(self, view: View, weights: dict[str, float]) -> dict[str, torch.Tensor]:
        """The terms of one view, without those whose weight is zero."""
        config, sr, hr = self.config, view.sr, view.hr
        encoded = functools.cache(lambda: (self._encoded(sr), self._encoded(hr)))  # once for all terms
        with torch.autocast(sr.device.type, enabled=False):
            if config.pixel_loss == "encoder_features":
                terms = {"pixel": feature_distance(*encoded())}
            else:
                terms = {"pixel": F.mse_loss(sr, hr) if config.pixel_loss == "mse" else F.l1_loss(sr, hr)}
            if weights["heat"]:
                terms["heat"] = heat_loss(sr, hr, heat_weights(view.heatmap, config.gamma, config.floor))
            if weights["perceptual"] and view.judged:
                if config.perceptual == "encoder":
                    terms["perceptual"] = feature_distance(*encoded())
                else:
                    of_both = (published_vgg16().maps(images.clamp(-1, 1), 3) for images in (sr, hr))
                    terms["perceptual"] = feature_distance(*of_both)
            if weights["lpips"] and view.judged:
                if config.lpips == "encoder":
                    terms["lpips"] = lpips_distance(*encoded())
                else:
                    vgg = published_vgg16()
                    terms["lpips"] = lpips_distance(vgg.maps(sr), vgg.maps(hr), vgg.heads)
        return terms

    def _encoded(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of images in [-1, 1] on the row's encoder, which takes [0, 1]."""
        (encoder,) = self.encoder
        side, most = max(images.shape[-2:]), self.config.encoder_px
        if most is not None and side > most:
            images = F.avg_pool2d(images, math.ceil(side / most))
        maps: list[torch.Tensor] = encoder.to(images.device)((images + 1) / 2)
        return maps

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """The network's output: no detector, no heatmap, no noise."""
        return (self(lr * 2 - 1) + 1) / 2
