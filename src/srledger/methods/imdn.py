"""IMDN x4 with its published weights: a lightweight network that others can check this pipeline against.

Information multi-distillation network (Hui et al. 2019): 6 blocks of width 64 that keep a quarter of the channels
at each of four steps, contrast-aware channel attention, pixel shuffle. It is used as published, never trained here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from srledger.methods import Method
from srledger.plugins import PluginConfig
from srledger.training.checkpoint import check_tensors

WIDTH = 64
DISTILLED = WIDTH // 4
BLOCKS = 6


class Config(PluginConfig):
    """Nothing to set: the weights fix the network."""


class _ContrastAttention(nn.Module):
    """Channel weights from each channel's standard deviation plus mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH // 16, 1), nn.ReLU(), nn.Conv2d(WIDTH // 16, WIDTH, 1), nn.Sigmoid()
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        contrast = features.std(dim=(2, 3), keepdim=True, correction=0) + features.mean(dim=(2, 3), keepdim=True)
        return features * self.conv_du(contrast)


class _Block(nn.Module):
    """Four convolutions; the first three split off 16 channels and hand 48 on."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)
        self.c2 = nn.Conv2d(WIDTH - DISTILLED, WIDTH, 3, 1, 1)
        self.c3 = nn.Conv2d(WIDTH - DISTILLED, WIDTH, 3, 1, 1)
        self.c4 = nn.Conv2d(WIDTH - DISTILLED, DISTILLED, 3, 1, 1)
        self.c5 = nn.Conv2d(4 * DISTILLED, WIDTH, 1)
        self.cca = _ContrastAttention()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        kept, rest = [], features
        for conv in (self.c1, self.c2, self.c3):
            distilled, rest = torch.split(F.leaky_relu(conv(rest), 0.05), [DISTILLED, WIDTH - DISTILLED], dim=1)
            kept.append(distilled)
        fused = torch.cat([*kept, self.c4(rest)], dim=1)
        return self.c5(self.cca(fused)) + features


class Imdn(Method):
    """Six blocks, their outputs fused, one pixel shuffle of 4. The names of its parts are those of the weights file."""

    trainable = False
    weights = ("imdn_x4",)

    def __init__(self, config: Config, scale_factor: int) -> None:
        super().__init__(config, scale_factor)
        if scale_factor != 4:
            raise ValueError(f"imdn has weights for x4 alone, found x{scale_factor}")
        self.fea_conv = nn.Conv2d(3, WIDTH, 3, 1, 1)
        for k in range(1, BLOCKS + 1):
            setattr(self, f"IMDB{k}", _Block())
        self.c = nn.Sequential(nn.Conv2d(BLOCKS * WIDTH, WIDTH, 1), nn.LeakyReLU(0.05))
        self.LR_conv = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)
        self.upsampler = nn.Sequential(nn.Conv2d(WIDTH, 3 * scale_factor**2, 3, 1, 1), nn.PixelShuffle(scale_factor))

    def load_published(self, files: Mapping[str, Path]) -> None:
        """Load the authors' state dict. Raises SrledgerError when it is of another network."""
        saved = torch.load(files["imdn_x4"], weights_only=True, map_location="cpu")
        tensors = {name.removeprefix("module."): value for name, value in saved.items()}
        check_tensors(self, tensors, files["imdn_x4"])
        self.load_state_dict(tensors)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """SR image of an LR image, both in [0, 1]."""
        first = self.fea_conv(lr)
        features, outputs = first, []
        for k in range(1, BLOCKS + 1):
            features = getattr(self, f"IMDB{k}")(features)
            outputs.append(features)
        return self.upsampler(self.LR_conv(self.c(torch.cat(outputs, dim=1))) + first)

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """The network's output."""
        return self(lr)
