"""Shared by the tests of metrics: the encoders of the pipeline, without their training."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

from srledger.config import Params
from srledger.layout import Layout
from srledger.pipeline_encoders import write_encoder


@functools.cache
def untrained_encoder(name: str = "tiny_dino_vit") -> Path:
    """The folder of a small encoder as the train_encoder stage leaves it, with weights as they were drawn."""
    spec = Params.load(scale="quick").encoders[name]
    folder = Path(tempfile.mkdtemp(prefix="encoder"))
    write_encoder(dataclasses.replace(spec, weights="random"), Layout("quick"), folder)
    return folder
