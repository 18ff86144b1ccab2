"""DINO ResNet-50 with its published weights (torch.hub's ``dino_resnet50``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field
from torch import nn

from srledger.encoders import Encoder
from srledger.encoders._imagenet import read_published, standardised
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """At which size it looks."""

    size_px: int = Field(default=224, ge=32, description="side that an LR image is enlarged to")


class DinoResnet50(Encoder):
    """Four maps, at strides 4, 8, 16 and 32, of 256 to 2048 channels: 23.5 million parameters."""

    weights = ("dino_resnet50",)
    config: Config

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        from torchvision.models import resnet50

        with torch.random.fork_rng(devices=[]):  # the layers start at random before the weights are read
            self.network = resnet50(weights=None)
        self.network.fc = nn.Identity()
        self.network.load_state_dict(read_published(weight_files[self.weights[0]]))
        self.eval().requires_grad_(False)

    @property
    def size_px(self) -> int:
        return self.config.size_px

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        network, found = self.network, []
        maps = network.maxpool(network.relu(network.bn1(network.conv1(standardised(images)))))
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            maps = layer(maps)
            found.append(maps)
        return found
