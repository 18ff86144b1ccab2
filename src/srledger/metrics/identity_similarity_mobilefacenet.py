"""Cosine between a restored face and its original, by the published MobileFaceNet."""

from __future__ import annotations

from srledger.metrics._identity import MOBILEFACENET, SIMILARITY, MobileFaceNetIdentity, Similarity
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class IdentitySimilarityMobilefacenet(Similarity, MobileFaceNetIdentity):
    """Cosine of the vectors of SR and HR, by the published MobileFaceNet."""

    protocol = SIMILARITY + MOBILEFACENET
