"""The autoencoder of Stable Diffusion, its layers named as in diffusers' ``AutoencoderKL``, so that its files load.

Written here, as SqueezeNet is, since the pipeline needs no other part of diffusers. Source: Rombach et al., "High-
resolution image synthesis with latent diffusion models", CVPR 2022; diffusers 0.42.1, whose outputs are golden values
of the tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

NORM_EPS = 1e-6
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # of attentions, in older files


class Residual(nn.Module):
    """Norm, SiLU, convolution, twice, beside the identity (or a 1x1 convolution where the width changes)."""

    def __init__(self, channels_in: int, channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in, NORM_EPS)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels, NORM_EPS)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        if channels_in != channels:
            self.conv_shortcut = nn.Conv2d(channels_in, channels, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        hidden = self.conv1(F.silu(self.norm1(maps)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return hidden + (self.conv_shortcut(maps) if hasattr(self, "conv_shortcut") else maps)


class Attention(nn.Module):
    """One head over all places, residual."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, NORM_EPS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        places = self.group_norm(maps).flatten(2).transpose(1, 2)
        attended = F.scaled_dot_product_attention(self.to_q(places), self.to_k(places), self.to_v(places))
        return maps + self.to_out[0](attended).transpose(1, 2).reshape(maps.shape)


class Middle(nn.Module):
    """Residual, attention, residual on the coarsest grid."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([Attention(channels, groups)])
        self.resnets = nn.ModuleList([Residual(channels, channels, groups) for _ in range(2)])

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](maps)))


class Down(nn.Module):
    """Halves the grid; the kernel reaches over the right and the lower border alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(maps, (0, 1, 0, 1)))


class Up(nn.Module):
    """Doubles the grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.conv(F.interpolate(maps, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residuals of one width, and what leads to the next level (None: it is the last)."""

    def __init__(
        self, channels_in: int, channels: int, blocks: int, groups: int, leads: type[Down | Up] | None
    ) -> None:
        super().__init__()
        widths = [channels_in, *[channels] * blocks]
        self.resnets = nn.ModuleList([Residual(*pair, groups) for pair in itertools.pairwise(widths)])
        self.leads = None if leads is None else ("downsamplers" if leads is Down else "upsamplers")
        if self.leads and leads:
            setattr(self, self.leads, nn.ModuleList([leads(channels)]))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        for layer in (*self.resnets, *(getattr(self, self.leads) if self.leads else ())):
            maps = layer(maps)
        return maps


class Coder(nn.Module):
    """What encoder and decoder share: the first and the last convolution, the middle, the last norm."""

    def __init__(self, channels_in: int, first: int, middle: int, last: int, channels_out: int, groups: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels_in, first, 3, padding=1)
        self.mid_block = Middle(middle, groups)
        self.conv_norm_out = nn.GroupNorm(groups, last, NORM_EPS)
        self.conv_out = nn.Conv2d(last, channels_out, 3, padding=1)

    def finished(self, maps: torch.Tensor) -> torch.Tensor:
        """Norm, SiLU and the last convolution."""
        return self.conv_out(F.silu(self.conv_norm_out(maps)))


class SdEncoder(Coder):
    """Images in [-1, 1] to means and logarithms of variances."""

    def __init__(self, widths: Sequence[int], blocks: int, channels: int, groups: int) -> None:
        super().__init__(3, widths[0], widths[-1], widths[-1], 2 * channels, groups)
        pairs = list(zip([widths[0], *widths], widths, strict=False))
        self.down_blocks = nn.ModuleList(
            [Level(*pair, blocks, groups, Down if k < len(pairs) - 1 else None) for k, pair in enumerate(pairs)]
        )

    def levels(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The output of each level, finest first."""
        found, maps = [], self.conv_in(images)
        for level in self.down_blocks:
            maps = level(maps)
            found.append(maps)
        return found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.finished(self.mid_block(self.levels(images)[-1]))


class SdDecoder(Coder):
    """Latents to images, nominally in [-1, 1]; one residual more a level than the encoder."""

    def __init__(self, widths: Sequence[int], blocks: int, channels: int, groups: int) -> None:
        super().__init__(channels, widths[-1], widths[-1], widths[0], 3, groups)
        rising = list(reversed(widths))
        pairs = list(zip([rising[0], *rising], rising, strict=False))
        self.up_blocks = nn.ModuleList(
            [Level(*pair, blocks + 1, groups, Up if k < len(pairs) - 1 else None) for k, pair in enumerate(pairs)]
        )

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        maps = self.mid_block(self.conv_in(latents))
        for level in self.up_blocks:
            maps = level(maps)
        return self.finished(maps)


class SdAutoencoder(nn.Module):
    """Encoder and decoder with the 1x1 convolutions between them.

    Args:
        widths: per level, finest first; every level but the last halves the grid.
        blocks: residuals a level of the encoder.
        channels: of a latent.
        groups: of the norms; divides every width.
    """

    def __init__(self, widths: Sequence[int], blocks: int, channels: int, groups: int) -> None:
        super().__init__()
        self.encoder = SdEncoder(widths, blocks, channels, groups)
        self.decoder = SdDecoder(widths, blocks, channels, groups)
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.post_quant_conv = nn.Conv2d(channels, channels, 1)

    def mean(self, images: torch.Tensor) -> torch.Tensor:
        """The posterior's mean of images ``B x 3 x H x W`` in [-1, 1], as the network has it."""
        return self.quant_conv(self.encoder(images)).chunk(2, dim=1)[0]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images, nominally in [-1, 1]."""
        return self.decoder(self.post_quant_conv(latents))


def named_as_now(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a file of diffusers, in float32, under the names of its newer versions.

    Older ones named the layers of attentions otherwise, and some kept them as 1x1 convolutions.
    """
    renamed = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        if "attentions" in parts:
            parts[-2] = OLD_NAMES.get(parts[-2], parts[-2])
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
        renamed[".".join(parts)] = tensor.float()
    return renamed
