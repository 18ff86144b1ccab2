"""Cosine between a restored face and its original, by the mobile recogniser that the pipeline trains."""

from __future__ import annotations

from srledger.metrics._identity import MOBILE, SIMILARITY, PipelineIdentity, Similarity
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class IdentitySimilarityMobileRecogniser(Similarity, PipelineIdentity):
    """Cosine of the vectors of SR and HR, by the mobile recogniser that the pipeline trains."""

    pipeline_encoder = "mobile_recogniser"
    protocol = SIMILARITY + MOBILE
