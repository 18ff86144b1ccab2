"""Evaluation settings; part of a result's provenance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from srledger.plugins import PluginConfig


class EvaluationConfig(PluginConfig):
    """How test images are restored and measured."""

    batch_size: int = Field(default=16, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = Field(default=2, ge=1)
    device: Literal["cpu", "cuda"] = "cpu"
    max_images: int | None = Field(default=None, ge=1, description="the first test images of a task; null: all")
    saved_images: int = Field(default=8, ge=0, description="restored images that are kept per task, for pictures")
