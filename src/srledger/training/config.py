"""Training settings; all of them are part of a run's fingerprint."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from srledger.plugins import PluginConfig


class TrainingConfig(PluginConfig):
    """How a network is trained. Nothing here is picked at run time: speed and bits depend on it."""

    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="one network each")
    steps: int = Field(default=1000, ge=1)
    batch_size: int = Field(default=16, ge=1)
    crop_px: int | None = Field(default=None, ge=8, description="random HR crop; null: whole images")
    flip: bool = Field(default=True, description="random horizontal flips, of image and prior together")
    learning_rate: float = Field(default=4e-4, gt=0)
    learning_rate_schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(default=1e-4, ge=0)
    gradient_clip_norm: float | None = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = True
    threads: int = Field(default=2, ge=1, description="CPU threads; the bits of the weights depend on it")
    device: Literal["cpu", "cuda"] = "cpu"
    checkpoint_every_steps: int = Field(default=500, ge=1)
    log_every_steps: int = Field(default=20, ge=1)
    validate_every_steps: int | None = Field(default=None, ge=1, description="null: only at the end")
    validation_images: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be unique, found {list(self.seeds)}")
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be below steps ({self.steps})")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), found {list(self.betas)}")
        return self
