"""Encoders: frozen networks that priors, losses and learned metrics use."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import torch
from torch import nn

from srledger.methods import Learner
from srledger.plugins import PluginConfig

if TYPE_CHECKING:
    import numpy as np

    from srledger.encoders._detection import Asked, Detections
    from srledger.priors import PriorInput


class Encoder(nn.Module, abc.ABC):
    """A frozen network. Files it needs are named in ``weights`` (weights catalogue) and come checked.

    ``forward`` takes float images ``B x 3 x H x W``, RGB in [0, 1], and returns a list of feature maps
    ``B x C x h x w``, shallow to deep; the encoder does its own normalisation of the input.

    Class attributes:
        weights: names of the weights-catalogue entries that it loads.
        bakes: names of files that ``bake`` makes of the weights once, in the train_encoder stage; ``weight_files``
            then holds them too. Weights that only baking needs are missing there later.
        learns: it can be trained in the pipeline (``learner``).
        learns_landmarks: its learner finds a landmark map (``landmark_examples``) in the place of a batch's prior.
        learns_pairs: its learner lays LR beside HR, so its task is one of scale factor 1.
        learns_identities: its learner comes of ``identity_learner`` and finds an identity map (``identity_examples``)
            in the place of a batch's prior.
        fits: it learns in closed form (``fit``).
        attends: it has ``attention``.
        tokenises: it has ``tokens``, ``token_px`` and ``token_width``.
        prompts: it has ``prompts_of``, ``prompt_count`` and ``prompt_width``.
        codes: it has ``encode``, ``decode``, ``latent_channels`` and ``factor``.
        denoises: it has ``denoiser``.
        takes_context: its denoiser is told of a context too, and has learnt as ``diffusion.stable_diffusion`` says.
        detects: it has ``detect`` and ``classes``.
        recognises: it tells people apart: it has ``embed_faces`` (``_recognition.Recogniser``).
    """

    weights: ClassVar[tuple[str, ...]] = ()
    bakes: ClassVar[tuple[str, ...]] = ()
    learns: ClassVar[bool] = False
    learns_landmarks: ClassVar[bool] = False
    learns_pairs: ClassVar[bool] = False
    learns_identities: ClassVar[bool] = False
    fits: ClassVar[bool] = False
    attends: ClassVar[bool] = False
    tokenises: ClassVar[bool] = False
    prompts: ClassVar[bool] = False
    codes: ClassVar[bool] = False
    denoises: ClassVar[bool] = False
    takes_context: ClassVar[bool] = False
    detects: ClassVar[bool] = False
    recognises: ClassVar[bool] = False

    def __init__(self, config: PluginConfig, weight_files: Mapping[str, Path]) -> None:
        super().__init__()
        self.config = config
        self.weight_files = weight_files
        self._judge: tuple[Encoder, ...] = ()

    @property
    def judge(self) -> Encoder | None:
        """A frozen network that came with this one, for the loss of what builds on it: no part of its state."""
        return self._judge[0] if self._judge else None

    def judged_by(self, judge: Encoder) -> Self:
        """This encoder with a judge."""
        self._judge = (judge.eval().requires_grad_(False),)
        return self

    @classmethod
    def bake(cls, config: PluginConfig, weight_files: Mapping[str, Path], folder: Path) -> None:
        """Write the files of ``bakes`` into ``folder``."""
        raise TypeError(f"{cls.__name__} bakes nothing")

    @abc.abstractmethod
    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of ``images``, shallow to deep; differentiable."""

    @property
    def size_px(self) -> int | None:
        """The side to which an LR image is enlarged before priors are made of it; None: the side of its HR image."""
        return None

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """One vector per image, ``B x D``: the deepest map's mean over space, where there is nothing better."""
        return self(images)[-1].mean(dim=(2, 3))

    def attention(self, images: torch.Tensor) -> torch.Tensor:
        """Attention of the last block's class token to the patches: ``B x heads x h x w``, each head sums to <= 1."""
        raise TypeError(f"{type(self).__name__} has no attention")

    @classmethod
    def token_px(cls, config: PluginConfig) -> int:
        """Side of the patch that a token stands for, in pixels of the image that is looked at."""
        raise TypeError(f"{cls.__name__} has no tokens")

    @classmethod
    def token_width(cls, config: PluginConfig) -> int:
        """Channels of a token: D."""
        raise TypeError(f"{cls.__name__} has no tokens")

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        """Patch tokens of one block as they leave it, behind no norm: ``B x D x h x w``, cell (0, 0) top left.

        The sides of ``images`` are multiples of ``token_px``.
        """
        raise TypeError(f"{type(self).__name__} has no tokens")

    @classmethod
    def prompt_count(cls, config: PluginConfig) -> int:
        """How many prompts it gives of an image: K."""
        raise TypeError(f"{cls.__name__} has no prompts")

    @classmethod
    def prompt_width(cls, config: PluginConfig) -> int:
        """Channels of a prompt: D."""
        raise TypeError(f"{cls.__name__} has no prompts")

    def prompts_of(self, images: torch.Tensor, source: Literal["hq", "lq"]) -> torch.Tensor:
        """What clean (``hq``) or degraded (``lq``) images show, as vectors without places: float32 ``B x K x D``.

        In an order that means something; rows beyond what is to be said of an image are zero.
        """
        raise TypeError(f"{type(self).__name__} has no prompts")

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        raise TypeError(f"{type(self).__name__} has no latents")

    @property
    def factor(self) -> int:
        """How many pixels of an image a latent pixel is wide."""
        raise TypeError(f"{type(self).__name__} has no latents")

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latents of ``images``, float32 ``B x C x ceil(H / factor) x ceil(W / factor)`` of unit variance."""
        raise TypeError(f"{type(self).__name__} has no latents")

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The images of latents, float32 ``B x 3 x h factor x w factor``, nominally in [0, 1]."""
        raise TypeError(f"{type(self).__name__} has no latents")

    @property
    def denoiser(self) -> nn.Module:
        """The network that takes noise from latents."""
        raise TypeError(f"{type(self).__name__} has no denoiser")

    @property
    def context_channels(self) -> int:
        """Channels of a vector of the denoiser's context."""
        raise TypeError(f"{type(self).__name__} takes no context")

    @property
    def classes(self) -> tuple[str, ...]:
        """What it looks for."""
        raise TypeError(f"{type(self).__name__} detects nothing")

    def detect(
        self, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None], asked: Asked
    ) -> list[Detections]:
        """The boxes of each image, uint8 ``H x W x 3`` RGB.

        ``landmarks`` (float64 ``5 x 2``, (x, y) in pixels of the image, or None) are for oracles: a detector that is
        worth its name doesn't read them.
        """
        raise TypeError(f"{type(self).__name__} detects nothing")

    def fit(self, images: Iterable[PriorInput]) -> None:
        """Set the buffers of this encoder from training images, which come once and in the order of their task."""
        raise TypeError(f"{type(self).__name__} is not fitted")

    def learner(self, scale_factor: int) -> EncoderLearner:
        """What the training loop trains in place of this encoder, which it takes into itself."""
        raise TypeError(f"{type(self).__name__} is not trained")

    def identity_learner(self, scale_factor: int, identities: int) -> EncoderLearner:
        """As ``learner``, for one that learns to tell so many people apart."""
        raise TypeError(f"{type(self).__name__} does not learn people")

    def check_learned(self) -> None:
        """Raise SrledgerError where what it has learnt is of no use; asked once, when its training has ended."""


class EncoderLearner(Learner):
    """An encoder with what it needs to learn: heads, teachers, centres."""

    @property
    @abc.abstractmethod
    def learned(self) -> Encoder:
        """The encoder that comes of it."""
