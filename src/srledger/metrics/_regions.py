"""Metrics of the pixels in the boxes of eyes, nose and mouth, and of all others."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch

from srledger.facial_parts import RULE, parts_mask
from srledger.metrics import LandmarkMetric, MetricUnavailable
from srledger.metrics._images import require_size
from srledger.metrics._psnr import psnr_db
from srledger.metrics._ssim import WINDOW_PX, ssim_map

BOXES = f"boxes of eyes, nose and mouth, from the data set's landmarks ({RULE})"


class RegionMetric(LandmarkMetric):
    """A number per image over the parts' boxes or over the rest of the image, as ``region`` says."""

    region: ClassVar[Literal["parts", "rest"]]
    higher_is_better = True

    def measure_at(self, sr: torch.Tensor, hr: torch.Tensor, landmarks: Sequence[np.ndarray]) -> torch.Tensor:
        """Image by image. Raises MetricUnavailable where an image has no pixel of the region."""
        values = []
        for k, points in enumerate(landmarks):
            mask = torch.from_numpy(parts_mask(points, *sr.shape[-2:]))
            region = self.seen(mask if self.region == "parts" else ~mask).to(sr.device)
            if not region.any():
                where = "shows no facial part" if self.region == "parts" else "shows facial parts alone"
                raise MetricUnavailable(f"an image {where} where this is measured")
            values.append(self.over(sr[k : k + 1], hr[k : k + 1], region))
        return torch.stack(values)

    def seen(self, region: torch.Tensor) -> torch.Tensor:
        """The part of a region, bool ``H x W``, that the measure has values of."""
        return region

    @abc.abstractmethod
    def over(self, sr: torch.Tensor, hr: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
        """The float64 scalar of one uint8 pair ``1 x 3 x H x W`` over ``region`` as ``seen`` left it."""


class RegionPsnr(RegionMetric):
    """One MSE over the pixels of the region and their channels."""

    bounds = (0, None)
    unit = "dB"
    digits = 2

    def over(self, sr: torch.Tensor, hr: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
        return psnr_db(sr[..., region], hr[..., region])


class RegionSsim(RegionMetric):
    """The mean of the SSIM map over the region; the map has values where the whole window lies in the image.

    A window reaches 5 px beyond its pixel, so the two regions' values are not independent along the boxes' edges.
    """

    bounds = (-1, 1)

    def seen(self, region: torch.Tensor) -> torch.Tensor:
        border_px = WINDOW_PX // 2
        return region[border_px:-border_px, border_px:-border_px]

    def measure_at(self, sr: torch.Tensor, hr: torch.Tensor, landmarks: Sequence[np.ndarray]) -> torch.Tensor:
        require_size(sr, WINDOW_PX)
        return super().measure_at(sr, hr, landmarks)

    def over(self, sr: torch.Tensor, hr: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
        return ssim_map(sr, hr)[..., region].mean()


PSNR_PROTOCOL = "PSNR, RGB, 8-bit, peak 255, one MSE over the three channels of the pixels {where} the " + (
    f"{BOXES}, at most 100 dB"
)
SSIM_PROTOCOL = (
    "SSIM, RGB, 8-bit, 11x11 Gaussian sigma 1.5, C1 = (0.01*255)^2, C2 = (0.03*255)^2: mean of the map over the pixels "
    "{where} the " + f"{BOXES}; the map is made of the whole image, its windows reach 5 px beyond the region"
)
