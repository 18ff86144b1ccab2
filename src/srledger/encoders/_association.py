"""The association of two encoders: each place of an image is to find its own counterpart among all others.

As in OSDFace and DAEFR (specification I.2.2): CLIP's symmetric cross-entropy over the L2-normalised features of clean
and degraded images, before they are quantised.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from srledger.encoders._quantiser import vectors_of

Scope = Literal["batch", "image"]
FIRST_LOG_SCALE, MOST_LOG_SCALE = math.log(1 / 0.07), math.log(100)


class Matching(NamedTuple):
    """How well places find each other.

    Attributes:
        loss: scalar, in nats, the mean of both directions; ``chance_level`` is what a guess has.
        accuracy_hq, accuracy_lq: share of the clean (degraded) places whose most similar counterpart is their own.
    """

    loss: torch.Tensor
    accuracy_hq: torch.Tensor
    accuracy_lq: torch.Tensor


class Association(nn.Module):
    """``1/2 [CE(M, diagonal) + CE(M^T, diagonal)]`` with ``M_ij = exp(log_scale) h_i . l_j``.

    Args:
        scope: among which places one is sought: those of the whole ``batch`` (DAEFR's), B h w, or of its own ``image``.

    Attributes:
        log_scale: the learned logarithm of the inverse temperature, ln(1 / 0.07) at first, at most ln 100.
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope
        self.log_scale = nn.Parameter(torch.tensor(FIRST_LOG_SCALE))

    def forward(self, hq: torch.Tensor, lq: torch.Tensor) -> Matching:
        """Match features of the same places, ``B x d x h x w`` both."""
        with torch.no_grad():  # the parameter itself: a clamp in the graph would end its learning at the limit
            self.log_scale.clamp_(max=MOST_LOG_SCALE)
        with torch.autocast(hq.device.type, enabled=False):
            clean, degraded = (F.normalize(vectors_of(features), dim=-1) for features in (hq, lq))
            if self.scope == "batch":
                clean, degraded = clean.flatten(0, 1)[None], degraded.flatten(0, 1)[None]
            similar = self.log_scale.exp() * clean @ degraded.transpose(1, 2)  # images x places x places
            own = torch.arange(similar.shape[1], device=similar.device).expand(similar.shape[:2])
            both = [self._of(rows, own) for rows in (similar, similar.transpose(1, 2))]
        (loss_hq, accuracy_hq), (loss_lq, accuracy_lq) = both
        return Matching((loss_hq + loss_lq) / 2, accuracy_hq, accuracy_lq)

    def chance_level(self, images: int, places: int) -> float:
        """The loss of a guess, in nats, for so many images of so many places each."""
        return math.log(places * (images if self.scope == "batch" else 1))

    @staticmethod
    def _of(rows: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss = F.cross_entropy(rows.flatten(0, 1), own.flatten())
        return loss, (rows.detach().argmax(dim=-1) == own).float().mean()
