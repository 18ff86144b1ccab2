"""Settings that every diffusion method has."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from srledger.plugins import PluginConfig

Target = Literal["eps", "v", "x0"]
Variance = Literal["posterior", "beta"]
MaskRule = Literal["max", "sum"]
Schedule = Literal["linear", "cosine", "scaled_linear"]


class DiffusionConfig(PluginConfig):
    """How noise is added, predicted and taken away, and what an attention map does; by default as SR3 and YODA do.

    Class attributes:
        sampling_settings: settings that no loss reads, so that one network can be sampled with several values of each.
    """

    sampling_settings: ClassVar[frozenset[str]] = frozenset(
        {"sampling_steps", "sampling_end_point", "sampler", "variance", "clip_x0", "samples", "lr_fill"}
    )

    target: Target = Field(default="eps", description="what the network predicts")
    loss: Literal["l1", "mse"] = "l1"
    schedule: Schedule = "linear"
    train_steps: int = Field(default=2000, ge=2, description="T of training")
    sampling_steps: int = Field(default=500, ge=1, description="T of sampling, spread evenly over that of training")
    match_end_point: bool = Field(
        default=True,
        description="of training, linear only; false: the last beta stays 1e-2 over any number of steps",
    )
    sampling_end_point: Literal["trained", "literal"] = Field(
        default="trained", description="linear only; literal: the betas of training over fewer steps; much is left then"
    )
    sampler: Literal["ancestral", "ddim"] = "ancestral"
    variance: Variance = Field(default="posterior", description="of an ancestral step; beta is 1 - alpha, as SR3 says")
    clip_x0: bool = Field(default=True, description="clamp the estimate of the image to [-1, 1] at every step")
    samples: int = Field(default=1, ge=1, description="an image is the mean of so many samples")
    mask_rule: MaskRule = Field(default="max", description="how a map A and the lower bound l make a mask")
    lower_bound: float = Field(default=0.3, ge=0, le=1, description="l: the share of the steps that every pixel takes")
    lr_fill: Literal["marginal", "literal"] = Field(default="marginal", description="what stands outside the mask")
    loss_norm: Literal["all", "masked"] = Field(default="all", description="the masked loss is divided by this area")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sampling_steps > self.train_steps:
            raise ValueError(f"sampling_steps ({self.sampling_steps}) must not exceed train_steps ({self.train_steps})")
        if self.schedule != "linear" and not (self.match_end_point and self.sampling_end_point == "trained"):
            raise ValueError(f"end points can be chosen for the linear schedule alone, found {self.schedule}")
        return self
