"""A Gaussian model of the natural-scene statistics of the pipeline's own HR images: NIQE's pristine model, fitted here.

Blocks are described by NIQE's 36 features (Mittal et al. 2013), with smaller blocks, since NIQE's 96 px are more than a
face has here. As there, the model is made of the sharp blocks of each training image alone. Source: spec IV.2, 6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage

from srledger.encoders import Encoder
from srledger.errors import SrledgerError
from srledger.metrics._scene_statistics import block_maps
from srledger.plugins import PluginConfig

if TYPE_CHECKING:
    from srledger.priors import PriorInput

FEATURES = 36
LUMA_YCBCR = (65.481, 128.553, 24.966)  # ITU-R BT.601 limited range of RGB in [0, 1], as NIQE's
WINDOW_PX, WINDOW_SIGMA_PX = 7, 7 / 6
LEAST_BLOCKS = 2


class Config(PluginConfig):
    """Size of the blocks, and which of them are sharp."""

    block_px: int = Field(default=32, ge=8, multiple_of=2, description="side of a block; halved for the second scale")
    sharpness: float = Field(
        default=0.75,
        ge=0,
        lt=1,
        description="least contrast of a block, as a share of its image's greatest",
    )


class SceneStatistics(Encoder):
    """Its only map holds the features of each whole block of luma; it is a rule, and has no gradient.

    Buffers:
        mean: float64 ``36``. covariance: float64 ``36 x 36``, of the sharp blocks of the training images.
        blocks: how many those were; 0 before it is fitted.
    """

    fits = True
    config: Config
    mean: torch.Tensor
    covariance: torch.Tensor
    blocks: torch.Tensor

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        self.window = gaussian_window()
        self.register_buffer("mean", torch.zeros(FEATURES, dtype=torch.float64))
        self.register_buffer("covariance", torch.eye(FEATURES, dtype=torch.float64))
        self.register_buffer("blocks", torch.zeros((), dtype=torch.int64))

    def fit(self, images: Iterable[PriorInput]) -> None:
        """Take the mean and the covariance of the sharp blocks of the HR images.

        Raises:
            SrledgerError: there are fewer than two blocks that have any contrast.
        """
        kept = [self._sharp_blocks(luma_of(image.hr)) for image in images]
        features = np.concatenate(kept) if kept else np.empty((0, FEATURES))
        if len(features) < LEAST_BLOCKS:
            raise SrledgerError(
                "there are no blocks to fit natural-scene statistics to", found=len(features),
                expected=f"at least {LEAST_BLOCKS} blocks of {self.config.block_px} px with some contrast",
                mend="lower block_px of the encoder's entry",
            )  # fmt: skip
        self.mean.copy_(torch.from_numpy(features.mean(axis=0)))
        self.covariance.copy_(torch.from_numpy(np.cov(features, rowvar=False)))
        self.blocks.fill_(len(features))

    def _sharp_blocks(self, luma: np.ndarray) -> np.ndarray:
        """``N x 36``; none of an image that is smaller than a block."""
        side = self.config.block_px
        rows, columns = luma.shape[0] // side, luma.shape[1] // side
        if not rows * columns:
            return np.empty((0, FEATURES))
        mean = ndimage.correlate(luma, self.window, mode="nearest")
        deviation = np.sqrt(np.abs(ndimage.correlate(luma * luma, self.window, mode="nearest") - mean * mean))
        cut = deviation[: rows * side, : columns * side].reshape(rows, side, columns, side)
        sharp = cut.mean(axis=(1, 3)).ravel()
        features = self.features(luma).reshape(-1, FEATURES)
        return features[(sharp > self.config.sharpness * sharp.max()) & ~np.isnan(features).any(axis=1)]

    def features(self, luma: np.ndarray) -> np.ndarray:
        """Features ``rows x columns x 36`` of luma ``H x W`` in [16, 235]; NaN where a block is flat."""
        return block_maps(luma, self.config.block_px, self.window)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        pixels = images.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        maps = np.stack([self.features(luma_of(image)) for image in pixels])
        return [torch.from_numpy(maps).permute(0, 3, 1, 2).to(images)]


def luma_of(pixels: np.ndarray) -> np.ndarray:
    """Y of YCbCr in [16, 235], float64 ``H x W`` of uint8 RGB ``H x W x 3``, rounded to whole levels as in NIQE."""
    luma: np.ndarray = np.round(16.0 + pixels.astype(np.float64) @ (np.array(LUMA_YCBCR) / 255))
    return luma


def gaussian_window() -> np.ndarray:
    """NIQE's window, ``7 x 7``, summing to 1."""
    taps = np.exp(-((np.arange(WINDOW_PX) - WINDOW_PX // 2) ** 2) / (2 * WINDOW_SIGMA_PX**2))
    window = np.outer(taps, taps)
    return window / window.sum()
