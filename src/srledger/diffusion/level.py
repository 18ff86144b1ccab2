"""What a network is told of the noise in its input, and the network as the core sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch


@dataclasses.dataclass(frozen=True)
class Level:
    """The noise of each image of a batch.

    Attributes:
        time: int64 ``B``, the step of training, 1 to T.
        signal: float32 ``B``, sqrt(gamma): 1 is no noise.
    """

    time: torch.Tensor
    signal: torch.Tensor


# ``z`` (``B x C x H x W``, zeros outside the mask) and its level -> the prediction, of the same shape. A method closes
# it over whatever else its network sees.
Denoise = Callable[[torch.Tensor, Level], torch.Tensor]
