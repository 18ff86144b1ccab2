"""SSIM outside the boxes of eyes, nose and mouth."""

from __future__ import annotations

from srledger.metrics._regions import SSIM_PROTOCOL, RegionSsim
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class SsimRgbRest(RegionSsim):
    """SSIM over RGB of the pixels outside the boxes of eyes, nose and mouth."""

    region = "rest"
    protocol = SSIM_PROTOCOL.format(where="outside")
