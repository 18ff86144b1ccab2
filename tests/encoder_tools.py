"""Shared by the tests of metrics: the encoders of the pipeline, without their training."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

from srledger.config import Params
from srledger.layout import Layout
from srledger.pipeline_encoders import write_encoder
from srledger.plugins import plugin_class
from srledger.settings import EncoderSpec


@functools.cache
def untrained_encoder(name: str = "tiny_dino_vit") -> Path:
    """The folder of a small encoder as the train_encoder stage leaves it, with weights as they were drawn.

    One that is fitted in closed form is fitted to a few drawn faces.
    """
    spec = Params.load(scale="quick").encoders[name]
    if plugin_class("encoders", spec.plugin).fits:
        return _fitted(spec)
    folder = Path(tempfile.mkdtemp(prefix="encoder"))
    write_encoder(dataclasses.replace(spec, weights="random"), Layout("quick"), folder)
    return folder


def _fitted(spec: EncoderSpec) -> Path:
    from detector_tools import drawn_faces, layout_with_faces, write_task

    root = Path(tempfile.mkdtemp(prefix="fitted"))
    layout = layout_with_faces(root)
    write_task(layout.packs(spec.task.name), drawn_faces())
    write_encoder(spec, layout, root / "encoder")
    return root / "encoder"
