"""A codebook: each vector of a feature map becomes the code that is nearest to it (VQ-VAE, van den Oord et al. 2017).

As in OSDFace's embedder (specification I.2.1 to I.2.3): plain L2 distance, codes that learn by gradient, and prompts
that are the distinct codes of an image in the order of how well they match. Revival of unused codes is ours: the
authors train for tens of epochs, and in the hundreds of steps of a small training most codes are never reached.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn


class Quantised(NamedTuple):
    """A feature map after the codebook.

    Attributes:
        values: float32 ``B x d x h x w``, the nearest codes; gradients pass to the features as if they were these.
        loss: scalar, ``L_VQ``: it moves codes to features and, with weight beta, features to codes.
        indices: int64 ``B x h x w``, which codes they are.
    """

    values: torch.Tensor
    loss: torch.Tensor
    indices: torch.Tensor


class Codebook(nn.Module):
    """``count`` codes of ``channels`` numbers, drawn from U(-1 / count, 1 / count).

    Args:
        beta: weight of the commitment of features to their codes.
        decay: of the counts, per batch, in (0, 1): a code counts as used for 1 / (1 - decay) batches.

    Buffers:
        uses: how often each code was the nearest, per batch: a decayed mean, 0 at first.
    """

    uses: torch.Tensor

    def __init__(self, count: int, channels: int, beta: float, decay: float) -> None:
        super().__init__()
        self.beta, self.decay = beta, decay
        self.codes = nn.Parameter(torch.empty(count, channels).uniform_(-1 / count, 1 / count))
        self.register_buffer("uses", torch.zeros(count))

    def forward(self, features: torch.Tensor) -> Quantised:
        """Quantise ``B x d x h x w``. Counts nothing: ``count_uses`` does, where it is trained.

        ``loss`` is ||sg(z) - c||^2 + beta ||z - sg(c)||^2, each the mean over all numbers.
        """
        with torch.autocast(features.device.type, enabled=False):
            rows = vectors_of(features)
            indices, _ = self.nearest(rows)
            chosen = self.codes[indices]
            loss = (rows.detach() - chosen).square().mean() + self.beta * (rows - chosen.detach()).square().mean()
            straight = rows + (chosen - rows).detach()
        size = features.shape[-2:]
        return Quantised(straight.transpose(1, 2).unflatten(2, size), loss, indices.unflatten(1, size))

    def nearest(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(index, squared L2 distance) of the nearest code of each of ``B x P x d``, ``B x P`` both; no gradient.

        Of codes that are equally near it is the first.
        """
        with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()
            # ||z - c||^2 without ||z||^2, which is the same for all codes; the distance itself is taken of the
            # difference, since what is left of two large numbers would be rounding, and prompts are sorted by it.
            indices = (self.codes.square().sum(dim=1) - 2 * vectors @ self.codes.T).argmin(dim=-1)
            return indices, (vectors - self.codes[indices]).square().sum(dim=-1)

    def distinct_codes(self, features: torch.Tensor, count: int) -> torch.Tensor:
        """The ``count`` best matching distinct codes of each image, float32 ``B x count x d``; no gradient.

        Positions of ``features`` (``B x d x h x w``) are sorted by the distance to their codes, the nearest first (of
        equal ones the first in reading order), and each code is kept where it comes first. Rows beyond an image's
        distinct codes are zero.
        """
        with torch.no_grad():
            indices, distances = self.nearest(vectors_of(features))
            in_order = indices.gather(1, distances.argsort(dim=1, stable=True))
            places = torch.arange(indices.shape[1], device=indices.device).expand_as(indices)
            never = indices.shape[1]
            first = indices.new_full((len(indices), len(self.codes)), never)
            first.scatter_reduce_(1, in_order, places, reduce="amin")
            place, code = first.sort(dim=1, stable=True)
            kept = self.codes[code[:, :count]] * (place[:, :count] < never)[..., None]
            return nn.functional.pad(kept, (0, 0, 0, count - kept.shape[1]))

    @torch.no_grad()
    def count_uses(self, indices: torch.Tensor) -> None:
        """Take the codes of one batch into the counts."""
        found = torch.bincount(indices.flatten(), minlength=len(self.codes)).to(self.uses.dtype)
        self.uses.lerp_(found, 1 - self.decay)

    @property
    def used(self) -> torch.Tensor:
        """Which codes were used of late: bool ``N``."""
        return self.uses >= (1 - self.decay) * self.decay ** (1 / (1 - self.decay))

    @property
    def usage(self) -> torch.Tensor:
        """Share of the codes that were used of late, 0 to 1."""
        return self.used.float().mean()

    @property
    def perplexity(self) -> torch.Tensor:
        """Of the counts: as many codes, used alike, would be as hard to guess. 1 (one code alone) to N."""
        shares = self.uses / self.uses.sum().clamp_min(1e-12)
        return (-(shares * shares.clamp_min(1e-12).log()).sum()).exp()

    @torch.no_grad()
    def revive(self, features: torch.Tensor, generator: torch.Generator) -> None:
        """Put codes that are not used in the places of vectors of ``B x d x h x w``, drawn without replacement.

        At the first batch no code is used yet, so all start from what the encoder gives. Where there are fewer vectors
        than such codes the first of these are replaced. Their counts stay: the batch itself shows whether they serve.
        """
        vectors = vectors_of(features).flatten(0, 1)
        drawn = torch.randperm(len(vectors), generator=generator, device=vectors.device)
        places = (~self.used).nonzero().flatten()[: len(drawn)]
        self.codes[places] = vectors[drawn[: len(places)]]


def vectors_of(features: torch.Tensor) -> torch.Tensor:
    """``B x d x h x w`` as float32 ``B x h w x d``, in reading order."""
    return features.float().flatten(2).transpose(1, 2)
