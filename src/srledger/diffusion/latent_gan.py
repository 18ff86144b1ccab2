"""A discriminator of noised latents, and the losses of both sides (OSDFace, eq. 14 to 16, and its sister work D3SR).

Real and fake latents are diffused to one random step before they are judged, so that the discriminator sees what the
diffusion prior has learnt to see: it is the way down and the middle of that prior, frozen but for adapters, under a
small head.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn

from srledger.diffusion.conditional_unet import ConditionalUnet
from srledger.diffusion.lora import add_adapters


class LatentDiscriminator(nn.Module):
    """A logit per latent image: large for what it takes for real.

    Args:
        prior: whose way down and middle are copied.
        rank, alpha: of the adapters.
        head_width: of the hidden layer on the mean of the middle's maps.
    """

    def __init__(self, prior: ConditionalUnet, rank: int, alpha: float, head_width: int) -> None:
        super().__init__()
        trunk = copy.deepcopy(prior)
        del trunk.up_blocks, trunk.conv_norm_out, trunk.conv_out
        self.trunk = trunk
        add_adapters(trunk, rank, alpha)
        self.head = nn.Sequential(nn.Linear(trunk.middle_channels, head_width), nn.SiLU(), nn.Linear(head_width, 1))

    def forward(self, noised: torch.Tensor, time: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """``B`` logits of noised latents ``B x C x h x w`` at ``time`` (``B``, from 0) under a context."""
        maps, _, _ = self.trunk.go_down(noised, time, context)
        return self.head(maps.mean(dim=(2, 3)))[:, 0]


def generator_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """``-E log D(fake)``: non-saturating."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """``-E log D(real) - E log(1 - D(fake))``."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
