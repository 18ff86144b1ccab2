"""Priors: each file makes one map per image, in [0, 1], or one grid of tokens, computed once before training."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from srledger.plugins import PluginConfig

if TYPE_CHECKING:
    from srledger.encoders import Encoder


@dataclasses.dataclass(frozen=True)
class PriorInput:
    """What a prior may look at.

    Attributes:
        id, split: of the image.
        hr: uint8 ``H x W x 3``; a prior that is used at inference must not read it.
        lr: uint8 ``h x w x 3``.
        landmarks: float64 ``5 x 2`` (x, y) in pixels of ``hr``, or None.
        others: the images of the split by id, this one among them, in the order of the task.
        training: those of the training split.
    """

    id: str
    split: str
    hr: np.ndarray
    lr: np.ndarray
    landmarks: np.ndarray | None
    others: Mapping[str, PriorInput] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    training: Mapping[str, PriorInput] = dataclasses.field(default_factory=dict, repr=False, compare=False)


class Prior(abc.ABC):
    """A map per image, or a grid of tokens.

    A Config's ``encoder`` names an entry of ``encoders`` and its ``of`` another prior; both come ready made, as
    ``self.encoder`` (frozen, on the CPU) and ``self.base``. No prior imports torch before its first map.

    Class attributes:
        constant: it says the same of every pixel, and means to.
        needs_attention: its encoder must be a transformer.
        needs_tokens: its encoder must have tokens.
        needs_prompts: its encoder must have prompts; they are the tokens that it gives, in one column.
        needs_detector: its encoder must be a detector.
        gives_tokens: what it gives is a grid of tokens.
        takes_tokens: what it makes of the prior that ``of`` names makes sense of tokens too: of tokens it gives tokens.
        has_boxes: it is made of boxes (``_boxes.OfBoxes``).
        needs_boxes: the prior that ``of`` names must have boxes.
        may_be_empty: it may have nothing to say of an image: zeros. Not of all images.
    """

    constant: ClassVar[bool] = False
    needs_attention: ClassVar[bool] = False
    needs_tokens: ClassVar[bool] = False
    needs_prompts: ClassVar[bool] = False
    needs_detector: ClassVar[bool] = False
    gives_tokens: ClassVar[bool] = False
    takes_tokens: ClassVar[bool] = False
    has_boxes: ClassVar[bool] = False
    needs_boxes: ClassVar[bool] = False
    may_be_empty: ClassVar[bool] = False

    def __init__(self, config: PluginConfig, base: Prior | None = None, encoder: Encoder | None = None) -> None:
        self.config = config
        self._base, self._encoder = base, encoder

    @property
    def has_base(self) -> bool:
        """Whether it is made from another prior."""
        return self._base is not None

    @property
    def has_tokens(self) -> bool:
        """Whether it gives tokens, of its own or of the prior that it is made from."""
        return self.gives_tokens or (self.takes_tokens and self.has_base and self.base.has_tokens)

    @property
    def base(self) -> Prior:
        """The prior that ``of`` names."""
        assert self._base is not None, "a prior with `of` in its Config is built with its base"
        return self._base

    @property
    def encoder(self) -> Encoder:
        """The encoder that ``encoder`` names."""
        assert self._encoder is not None, "a prior with `encoder` in its Config is built with it"
        return self._encoder

    @abc.abstractmethod
    def map_of(self, image: PriorInput) -> np.ndarray:
        """The map of one image: float ``H x W`` in [0, 1], or ``1 x 1`` for a constant one.

        A prior of tokens: float ``h x w x D``, a vector per cell of a grid that covers the image, cell (0, 0) top left;
        D is 2 at least and the same for all images, and all images of one size have one grid. Prompts have no places:
        ``K x 1 x D``.
        """
