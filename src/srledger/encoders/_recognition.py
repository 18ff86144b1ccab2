"""Recognisers: encoders whose unit vectors of two faces lie close where both are of one person."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from srledger.encoders import Encoder, EncoderLearner
from srledger.encoders._margin import Margin, MarginHead, margin_terms
from srledger.encoders._views import recoloured
from srledger.identity_examples import identities_of_maps
from srledger.methods import Batch
from srledger.plugins import PluginConfig


class Recogniser(Encoder):
    """An encoder whose ``embed`` gives unit vectors, float32 ``B x D``: their product is the cosine of two faces.

    Class attributes:
        needs_landmarks: it looks at aligned faces, so that ``embed_faces`` must be told where the parts of a face are.
    """

    recognises = True
    needs_landmarks: ClassVar[bool] = False

    @abc.abstractmethod
    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Unit vectors float32 ``B x D`` of ``B x 3 x H x W`` in [0, 1]; differentiable."""

    def embed_faces(self, images: torch.Tensor, landmarks: Sequence[np.ndarray | None]) -> torch.Tensor:
        """As ``embed``, of faces where they stand in ``images``: aligned by their landmarks where it asks for that.

        Args:
            landmarks: of each image, float64 ``5 x 2`` (x, y) in its pixels, or None.

        Raises:
            SrledgerError: it needs landmarks, and an image has none.
        """
        return self.embed(images)


class Jitter(PluginConfig):
    """How training faces are moved and recoloured; the loop mirrors them."""

    shift: float = Field(default=0.06, ge=0, lt=0.5, description="of the place, as a part of the side")
    scale: float = Field(default=0.08, ge=0, lt=1, description="of the size: a factor in 1 +- this")
    colour: float = Field(default=0.2, ge=0, lt=1, description="range of brightness, contrast and saturation")


class RecogniserConfig(PluginConfig):
    """What the recognisers that are trained here have in common."""

    size_px: int = Field(default=64, ge=16, description="side that faces are brought to")
    width: int = Field(default=128, ge=2, description="length of a face's vector")
    jitter: Jitter = Jitter()


class TrainedRecogniser(Recogniser):
    """Base of the recognisers that learn from the training identities of the pipeline: a network and a margin."""

    learns = True
    learns_identities = True
    config: RecogniserConfig

    def __init__(self, config: PluginConfig, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        self.network = self.build_network()

    @abc.abstractmethod
    def build_network(self) -> nn.Module:
        """Its parts, untrained."""

    @property
    @abc.abstractmethod
    def margin(self) -> Margin:
        """What it is trained with."""

    @abc.abstractmethod
    def vectors(self, images: torch.Tensor) -> torch.Tensor:
        """``B x width``, of any length, of ``B x 3 x size_px x size_px`` in about [-1, 1]."""

    @property
    def size_px(self) -> int:
        return self.config.size_px

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.vectors(self.seen(images)).float(), dim=1)

    def seen(self, images: torch.Tensor) -> torch.Tensor:
        """``B x 3 x H x W`` in [0, 1] as the network takes it: squares of ``size_px``, about zero mean."""
        return resized(images, self.config.size_px) * 2 - 1

    def identity_learner(self, scale_factor: int, identities: int) -> MarginLearner:
        return MarginLearner(self, scale_factor, identities)


class MarginLearner(EncoderLearner):
    """A recogniser with a direction for each training identity."""

    def __init__(self, encoder: TrainedRecogniser, scale_factor: int, identities: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.scale_factor = scale_factor
        self.identities = identities
        self.head = MarginHead(encoder.config.width, identities, encoder.margin)

    @property
    def learned(self) -> Encoder:
        return self.encoder

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """See ``margin_terms``; ``batch.prior`` holds identity maps.

        Raises:
            SrledgerError: a map is no identity map.
        """
        labels = identities_of_maps(batch.prior, self.identities)
        config = self.encoder.config
        with torch.no_grad(), torch.autocast(batch.hr.device.type, enabled=False):
            faces = moved(resized(batch.hr.float(), config.size_px), config.jitter, batch.generator)
            if config.jitter.colour:
                faces = recoloured(faces, config.jitter.colour, batch.generator)
        return margin_terms(self.head, self.encoder.embed(faces), labels, batch.progress)


def resized(images: torch.Tensor, size_px: int) -> torch.Tensor:
    """Images ``B x 3 x H x W`` as squares, bilinear and antialiased."""
    if images.shape[-2:] == (size_px, size_px):
        return images
    return F.interpolate(images, size=(size_px, size_px), mode="bilinear", antialias=True, align_corners=False)


def moved(images: torch.Tensor, jitter: Jitter, generator: torch.Generator) -> torch.Tensor:
    """Each of ``B x 3 x S x S`` shifted and scaled by a draw of its own; past the border it goes on mirrored."""
    drawn = torch.rand(len(images), 3, generator=generator, device=generator.device).to(images.device) * 2 - 1
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / (1 + jitter.scale * drawn[:, 0])
    theta[:, :, 2] = 2 * jitter.shift * drawn[:, 1:]
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
