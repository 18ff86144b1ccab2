"""Angle between a restored face and its original, by the mobile recogniser that the pipeline trains."""

from __future__ import annotations

from srledger.metrics._identity import ANGLE, MOBILE, Angle, PipelineIdentity
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class DegMobileRecogniser(Angle, PipelineIdentity):
    """Angle of the vectors of SR and HR, degrees, by the mobile recogniser that the pipeline trains."""

    pipeline_encoder = "mobile_recogniser"
    protocol = ANGLE + MOBILE
