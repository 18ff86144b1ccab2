"""PSNR in the boxes of eyes, nose and mouth."""

from __future__ import annotations

from srledger.metrics._regions import PSNR_PROTOCOL, RegionPsnr
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class PsnrRgbParts(RegionPsnr):
    """PSNR over RGB of the pixels in the boxes of eyes, nose and mouth."""

    region = "parts"
    protocol = PSNR_PROTOCOL.format(where="inside")
