"""SSIM in the boxes of eyes, nose and mouth."""

from __future__ import annotations

from srledger.metrics._regions import SSIM_PROTOCOL, RegionSsim
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class SsimRgbParts(RegionSsim):
    """SSIM over RGB of the pixels in the boxes of eyes, nose and mouth."""

    region = "parts"
    protocol = SSIM_PROTOCOL.format(where="inside")
