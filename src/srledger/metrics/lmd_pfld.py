"""Landmark distance by PFLD, in pixels."""

from __future__ import annotations

import torch

from srledger.metrics._landmark_distance import ABOUT, PfldMetric, distance_px
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class LmdPfld(PfldMetric):
    """Mean distance of 68 landmarks in HR pixels, of every image: PFLD answers always, so none is left out.

    On an image that shows no face any more the answer is far off, and raises the mean; how many those are,
    ``lmd_pfld_failures`` tells.
    """

    bounds = (0, None)
    unit = "px"
    digits = 2
    protocol = (
        f"mean Euclidean distance in HR pixels of {ABOUT}; every image counted, failures too (their share: "
        "lmd_pfld_failures); not the LMD of papers, which has 98 points of another network at 512 px"
    )

    def compare(self, sr_px: torch.Tensor, hr_px: torch.Tensor) -> torch.Tensor:
        return distance_px(sr_px, hr_px)
