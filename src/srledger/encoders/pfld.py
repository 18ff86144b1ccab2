"""PFLD with published weights: 68 facial landmarks by regression (Guo et al., 2019).

cunjian/pytorch_face_landmark, onnx/pfld.onnx, which is the public PyTorch version with one pointwise convolution more.
It looks at a face of 112 x 112 px that fills the frame; the layers are written here, the file's tensors are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from srledger.encoders import Encoder
from srledger.encoders._onnx import read_onnx
from srledger.plugins import PluginConfig

SIZE_PX = 112
COUNT = 68
EYES = (slice(36, 42), slice(42, 48))  # of the 68 points (300-W's order), as seen in the image: left, right
NOSE, MOUTH_CORNERS = 30, (48, 54)


class Config(PluginConfig):
    """No settings: the weights decide."""


class Bottleneck(nn.Module):
    """MobileNetV2's block with ReLU; ``adds`` its input where the published network does."""

    def __init__(self, channels_in: int, channels: int, stride: int, expansion: int, adds: bool) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.adds = adds
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps + self.conv(maps) if self.adds else self.conv(maps)


class Pfld(Encoder):
    """Six maps, at strides 2, 4, 8, 8, 8 and 16; ``landmarks`` gives points."""

    weights = ("pfld",)

    def __init__(self, config: PluginConfig, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        with torch.random.fork_rng(devices=[]):  # the layers start at random before the weights are read
            self._build()
        state = read_onnx(weight_files[self.weights[0]], "make weights")
        counters = {name: value for name, value in self.state_dict().items() if name.endswith("num_batches_tracked")}
        self.load_state_dict({name: value for name, value in state.items() if name in self.state_dict()} | counters)
        self.eval().requires_grad_(False)

    def _build(self) -> None:
        """Layers by the names of the published network."""
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.dw_pool = nn.Conv2d(64, 64, 3, 1, 1, groups=64, bias=False)
        self.dw_bn = nn.BatchNorm2d(64)
        self.conv1_extra = nn.Conv2d(64, 64, 1, bias=False)
        self.conv3_1 = Bottleneck(64, 64, 2, 1, False)
        for k in range(2, 6):
            self.add_module(f"block3_{k}", Bottleneck(64, 64, 1, 1, True))
        self.conv4_1 = Bottleneck(64, 128, 2, 1, False)
        self.conv5_1 = Bottleneck(128, 128, 1, 2, False)
        for k in range(2, 7):
            self.add_module(f"block5_{k}", Bottleneck(128, 128, 1, 2, True))
        self.conv6_1 = Bottleneck(128, 16, 1, 1, False)
        self.conv7 = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.conv8 = nn.Conv2d(32, 128, 7)
        self.fc = nn.Linear(16 + 32 + 128, 2 * COUNT)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        stem = self.bn1(self.conv1(_seen(images))).relu()
        first = self.conv1_extra(self.dw_bn(self.dw_pool(stem))).relu()
        found = [first]
        for names in (
            ("conv3_1", *(f"block3_{k}" for k in range(2, 6))), ("conv4_1",),
            ("conv5_1", *(f"block5_{k}" for k in range(2, 7))), ("conv6_1",), ("conv7",),
        ):  # fmt: skip
            maps = found[-1]
            for name in names:
                maps = self.get_submodule(name)(maps)
            found.append(maps)
        return found

    def landmarks(self, images: torch.Tensor) -> torch.Tensor:
        """``B x 68 x 2`` (x, y) in pixels of ``B x 3 x H x W``, of the face that fills each image; differentiable.

        It answers for any image: whether there is a face is not asked.
        """
        *_, narrow, deep = self(images)
        joined = [narrow.mean(dim=(2, 3)), deep.mean(dim=(2, 3)), self.conv8(deep).relu().flatten(1)]
        shares = self.fc(torch.cat(joined, dim=1)).reshape(-1, COUNT, 2)
        height, width = images.shape[-2:]
        return shares * torch.tensor([width, height], device=images.device) - 0.5  # pixel centres at whole numbers


def five_of(points: torch.Tensor) -> torch.Tensor:
    """The data sets' five landmarks, ``B x 5 x 2``, of 68: eyes, nose and corners of the mouth."""
    eyes = [points[:, eye].mean(dim=1) for eye in EYES]
    return torch.stack([*eyes, points[:, NOSE], *(points[:, k] for k in MOUTH_CORNERS)], dim=1)


def _seen(images: torch.Tensor) -> torch.Tensor:
    if images.shape[-2:] == (SIZE_PX, SIZE_PX):
        return images
    return F.interpolate(images, size=(SIZE_PX, SIZE_PX), mode="bilinear", antialias=True, align_corners=False)
