"""LPIPS on AlexNet."""

from __future__ import annotations

from srledger.metrics._lpips import LpipsMetric
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class LpipsAlex(LpipsMetric):
    """Learned perceptual distance on AlexNet features."""

    trunk = "alex"
    weights = ("alexnet_imagenet",)
    protocol = (
        "LPIPS v0.1, AlexNet (torchvision ImageNet) with the learned linear heads, RGB, 8-bit to [-1, 1], full size"
    )
