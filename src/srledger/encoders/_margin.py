"""Losses that pull the faces of a person together by a margin: ArcFace and CosFace.

The cosine of a face with the direction of its own identity is made smaller before the softmax, so that it must be
closer than a right answer alone would ask for. ArcFace (Deng et al., CVPR 2019, eq. 3) adds the margin to the angle:
``s cos(theta + m)``; CosFace (Wang et al., CVPR 2018, eq. 4) takes it off the cosine: ``s (cos(theta) - m)``.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from srledger.plugins import PluginConfig

LEAST_SINE_SQUARED = 1e-7  # the derivative of a sine has no limit where it is 0


class Margin(PluginConfig):
    """Which margin, how wide, and how soon."""

    kind: Literal["arcface", "cosface"] = "arcface"
    scale: float = Field(default=20.0, gt=0, description="s, which the cosines are multiplied by")
    margin: float = Field(default=0.3, ge=0, lt=math.pi / 2, description="m: of arcface in radians, else of the cosine")
    rise: float = Field(default=0.6, ge=0, le=1, description="share of the training over which the margin grows from 0")

    def at(self, progress: float) -> float:
        """The margin at a progress of training in [0, 1)."""
        return self.margin if progress >= self.rise else self.margin * progress / self.rise


class MarginHead(nn.Module):
    """A direction for each of ``identities``, and the scaled cosines of faces with all of them.

    ``directions`` are ``identities x width``; their length means nothing.
    """

    def __init__(self, width: int, identities: int, settings: Margin) -> None:
        super().__init__()
        self.settings = settings
        self.directions = nn.Parameter(torch.empty(identities, width))
        nn.init.xavier_uniform_(self.directions)

    def cosines(self, vectors: torch.Tensor) -> torch.Tensor:
        """float32 ``B x identities`` of ``B x width``."""
        with torch.autocast(vectors.device.type, enabled=False):
            return F.linear(F.normalize(vectors.float(), dim=1), F.normalize(self.directions.float(), dim=1))

    def forward(self, vectors: torch.Tensor, labels: torch.Tensor, progress: float = 1.0) -> torch.Tensor:
        """Logits ``B x identities`` of vectors ``B x width`` whose identities are ``labels``, int64 ``B``."""
        cosines = self.cosines(vectors)
        own = labels[:, None]
        with_margin = self._with_margin(cosines.gather(1, own), self.settings.at(progress))
        return self.settings.scale * cosines.scatter(1, own, with_margin)

    def _with_margin(self, cosines: torch.Tensor, margin: float) -> torch.Tensor:
        if self.settings.kind == "cosface":
            return cosines - margin
        sines = (1 - cosines.square()).clamp(min=LEAST_SINE_SQUARED).sqrt()
        added = cosines * math.cos(margin) - sines * math.sin(margin)
        # An angle above pi - m would come around to the other side: from there the cosine goes on falling in parallel.
        return torch.where(cosines > -math.cos(margin), added, cosines - math.sin(margin) * margin)


def margin_terms(
    head: MarginHead, vectors: torch.Tensor, labels: torch.Tensor, progress: float
) -> dict[str, torch.Tensor]:
    """``total``, the cross-entropy of the logits, and ``right``, the share of faces nearest to their own identity."""
    total = F.cross_entropy(head(vectors, labels, progress), labels)
    with torch.no_grad():
        right = (head.cosines(vectors).argmax(dim=1) == labels).float().mean()
    return {"total": total, "right": right}
