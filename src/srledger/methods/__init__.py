"""Methods: each file is one restorer, that is a ``Config``, a network, a loss and ``restore()``."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self

import torch
from torch import nn

from srledger.plugins import PluginConfig


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one training step sees.

    Attributes:
        lr: float ``B x 3 x h x w`` in [0, 1].
        hr: float ``B x 3 x H x W`` in [0, 1], H = scale factor times h.
        prior: float ``B x 1 x H x W`` in [0, 1] (the map of the variant's prior); for a method that reads tokens
            ``B x D x rows x columns``, or one map of ones: no tokens.
        progress: how far training is, in [0, 1).
        generator: for every draw of this step; a function of variant, seed and step alone.
    """

    lr: torch.Tensor
    hr: torch.Tensor
    prior: torch.Tensor
    progress: float
    generator: torch.Generator


class Learner(nn.Module, abc.ABC):
    """What the training loop trains: a network with a loss. ``scale_factor`` is that of the images it learns from."""

    scale_factor: int

    @abc.abstractmethod
    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Scalar loss terms; ``total`` is minimised, the others are shown in the curves."""


class Method(Learner):
    """A restorer. Its ``state_dict`` is what a run saves; a method without parameters is not trained.

    Class attributes:
        trainable: False for methods that are used as they are (bicubic, published weights).
        weights: names of the weights-catalogue entries that it loads.
        builds_on: what the frozen encoder must have that a row names; empty: rows of this method name `none`. Such a
            method is built with the encoder, as ``(config, scale_factor, encoder)``, and holds it: a run saves the
            encoder's weights with its own.
        reads_tokens: its prior is a grid of tokens, or a constant map: no tokens. Others read maps alone.
        any_scale_factor: its weights restore at other scale factors than they have learnt (it enlarges LR first, say):
            a transfer may then measure it on a task of another factor.
    """

    trainable: ClassVar[bool] = True
    weights: ClassVar[tuple[str, ...]] = ()
    builds_on: ClassVar[tuple[Literal["codes", "denoises"], ...]] = ()
    reads_tokens: ClassVar[bool] = False
    any_scale_factor: ClassVar[bool] = False

    def __init__(self, config: PluginConfig, scale_factor: int) -> None:
        super().__init__()
        self.config = config
        self.scale_factor = scale_factor

    @classmethod
    def check_encoder(cls, config: PluginConfig, encoder: PluginConfig) -> None:
        """Raise ValueError where the settings of a row and those of the encoder that it names do not go together."""

    @classmethod
    def check_tokens(cls, config: PluginConfig, width: int) -> None:
        """Raise ValueError where the settings of a row do not go with tokens of ``width`` channels."""

    @classmethod
    def network_evaluations(cls, config: PluginConfig) -> int:
        """How often restoring an image evaluates the network; each branch of a guidance counts. Here: once."""
        return 1

    def load_published(self, files: Mapping[str, Path]) -> None:
        """Load the files of ``weights`` (catalogue name -> checked file); only for methods that name some."""
        if files:
            raise TypeError(f"{type(self).__name__} names weights but does not load them")

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Scalar loss terms; ``total`` is minimised, the others are shown in the curves."""
        raise TypeError(f"{type(self).__name__} is not trained")

    def distill_loss(self, batch: Batch, teacher: Self) -> dict[str, torch.Tensor]:
        """Loss terms of a student against its frozen teacher, as ``loss`` gives them."""
        raise TypeError(f"{type(self).__name__} has no distillation")

    def start_from(self, teacher: Self) -> None:
        """Set what a student starts from, before its first step; here nothing: it starts as it was drawn."""

    @abc.abstractmethod
    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """The SR images of a batch.

        Args:
            lr: float ``B x 3 x h x w`` in [0, 1].
            prior: as a batch has it.
            seeds: one per image; all noise of an image comes from its own seed, so that a result does not
                depend on the batch it was made in.

        Returns:
            float ``B x 3 x H x W``, nominally in [0, 1] (the caller clamps and rounds to 8 bits).
        """


def hr_shape(lr: torch.Tensor, scale_factor: int) -> tuple[int, int]:
    """(H, W) of the SR images of ``lr``."""
    return lr.shape[-2] * scale_factor, lr.shape[-1] * scale_factor
