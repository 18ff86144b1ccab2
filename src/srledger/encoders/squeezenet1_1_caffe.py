"""SqueezeNet 1.1 features with the weights of the original Caffe model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from srledger.encoders import Encoder
from srledger.plugins import PluginConfig

BGR_MEAN = (103.939, 116.779, 123.68)
SLICE_ENDS = (2, 5, 8, 10, 11, 12, 13)  # where LPIPS cuts SqueezeNet into its seven layers


class Config(PluginConfig):
    """No settings."""


class Fire(nn.Module):
    """Squeeze to few channels, expand by 1x1 and 3x3 side by side (Iandola et al. 2016, section 3.2)."""

    def __init__(self, channels_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels_in, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        squeezed = self.squeeze(maps).relu()
        return torch.cat([self.expand1x1(squeezed).relu(), self.expand3x3(squeezed).relu()], dim=1)


def squeezenet_features() -> nn.Sequential:
    """The feature layers, named as torchvision names them (written here since torchvision takes seconds to import)."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, stride=2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool(),
        Fire(64, 16, 64), Fire(128, 16, 64), pool(),
        Fire(128, 32, 128), Fire(256, 32, 128), pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip


class SqueezeNet11Caffe(Encoder):
    """Seven feature maps, 64 to 512 channels, at strides 2, 4, 8 and 16. Needs images of at least 32 px."""

    weights = ("squeezenet1_1_caffe",)
    mean: torch.Tensor

    def __init__(self, config: PluginConfig, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        with torch.random.fork_rng(devices=[]):  # the layers start at random before the weights are read
            self.features = squeezenet_features()
        self.load_state_dict(load_file(weight_files[self.weights[0]]))
        self.register_buffer("mean", torch.tensor(BGR_MEAN).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        # Channels last: on the CPU one image then costs a third of the time.
        maps = (images.flip(1) * 255.0 - self.mean).contiguous(memory_format=torch.channels_last)
        found = []
        for depth, layer in enumerate(self.features, start=1):
            maps = layer(maps)
            if depth in SLICE_ENDS:
                found.append(maps)
        return found
