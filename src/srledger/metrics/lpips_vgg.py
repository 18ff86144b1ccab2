"""LPIPS on VGG16."""

from __future__ import annotations

from srledger.metrics._lpips import LpipsMetric
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class LpipsVgg(LpipsMetric):
    """Learned perceptual distance on VGG16 features."""

    trunk = "vgg"
    weights = ("vgg16_imagenet",)
    protocol = (
        "LPIPS v0.1, VGG16 (torchvision ImageNet) with the learned linear heads, RGB, 8-bit to [-1, 1], full size"
    )
