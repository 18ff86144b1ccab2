"""MobileFaceNet with published weights: trained with ArcFace's loss on CASIA-WebFace.

Xiaoccer/MobileFaceNet_Pytorch, epoch 68; its authors state 99.3 % on LFW. It looks at faces of 112 x 96 px that are
aligned by five landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from srledger.encoders._alignment import SPHEREFACE_PX, SPHEREFACE_SIZE, aligned
from srledger.encoders._imagenet import read_published
from srledger.encoders._mobile import MobileFace, Stage
from srledger.encoders._recognition import Recogniser
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig

STAGES: tuple[Stage, ...] = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
STATE = "net_state_dict"


class Config(PluginConfig):
    """No settings: the weights decide."""


class PublishedMobileFaceNet(Recogniser):
    """128 numbers a face; 1.0 million parameters. ``embed`` takes images for aligned faces, whatever their size."""

    weights = ("mobilefacenet",)
    needs_landmarks = True

    def __init__(self, config: PluginConfig, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        with torch.random.fork_rng(devices=[]):  # the layers start at random before the weights are read
            self.network = MobileFace(64, STAGES, 512, (7, 6), 128)
        self.network.load_state_dict(read_published(weight_files[self.weights[0]])[STATE])  # type: ignore[arg-type]
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.network.maps(_seen(images))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.network(_seen(images)).float(), dim=1)

    def embed_faces(self, images: torch.Tensor, landmarks: Sequence[np.ndarray | None]) -> torch.Tensor:
        known = [points for points in landmarks if points is not None]
        if len(known) < len(images):
            raise SrledgerError(
                "the recogniser mobilefacenet needs landmarks", found=f"{len(known)} for {len(images)} images",
                expected="five landmarks per image", mend="take another recogniser, or a data set with landmarks",
            )  # fmt: skip
        return self.embed(aligned(images, known, SPHEREFACE_PX, SPHEREFACE_SIZE))


def _seen(images: torch.Tensor) -> torch.Tensor:
    """RGB in [0, 1] as it was trained: (x - 127.5) / 128 of 8 bits, 112 x 96 px."""
    if images.shape[-2:] != SPHEREFACE_SIZE:
        images = F.interpolate(images, size=SPHEREFACE_SIZE, mode="bilinear", antialias=True, align_corners=False)
    return (images * 255 - 127.5) / 128
