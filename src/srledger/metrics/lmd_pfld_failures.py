"""The share of restored faces whose landmarks PFLD no longer finds where the original has them."""

from __future__ import annotations

import torch

from srledger.metrics._landmark_distance import ABOUT, FAILED, PfldMetric, between_eyes_px, distance_px
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class LmdPfldFailures(PfldMetric):
    """100 for an image whose mean landmark distance is more than a tenth of the distance between the eyes, else 0.

    The distance between the eyes is the HR image's; the mean over images is the failure rate in percent.
    """

    counts = True
    bounds = (0, 100)
    unit = "%"
    digits = 1
    protocol = (
        f"share of images whose mean distance of {ABOUT} is more than {FAILED:g} of the distance between the eyes of HR"
    )

    def compare(self, sr_px: torch.Tensor, hr_px: torch.Tensor) -> torch.Tensor:
        return 100.0 * (distance_px(sr_px, hr_px) > FAILED * between_eyes_px(hr_px)).to(torch.float64)
