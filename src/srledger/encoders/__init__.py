"""Encoders: frozen networks that priors, losses and learned metrics use."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from srledger.plugins import PluginConfig


class Encoder(nn.Module, abc.ABC):
    """A frozen network. Files it needs are named in ``weights`` (weights catalogue) and come checked.

    ``forward`` takes float images ``B x 3 x H x W``, RGB in [0, 1], and returns a list of feature maps
    ``B x C x h x w``, shallow to deep; the encoder does its own normalisation of the input.
    """

    weights: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: PluginConfig, weight_files: Mapping[str, Path]) -> None:
        super().__init__()
        self.config = config
        self.weight_files = weight_files

    @abc.abstractmethod
    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of ``images``, shallow to deep."""
