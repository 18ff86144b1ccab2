"""Angle between a restored face and its original, by the published MobileFaceNet."""

from __future__ import annotations

from srledger.metrics._identity import ANGLE, MOBILEFACENET, Angle, MobileFaceNetIdentity
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class DegMobilefacenet(Angle, MobileFaceNetIdentity):
    """Angle of the vectors of SR and HR, degrees, by the published MobileFaceNet."""

    protocol = ANGLE + MOBILEFACENET
