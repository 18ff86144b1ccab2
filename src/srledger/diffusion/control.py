"""A control branch for a frozen U-Net (ControlNet, Zhang et al. 2023, as DiffBIR's second version wires it)."""

from __future__ import annotations

import copy

import torch
from torch import nn

from srledger.diffusion.unet import Control, Unet, WayDown


class ControlBranch(WayDown):
    """A trainable copy of a U-Net's way down and middle that also sees a hint, and adds what it finds to the way up.

    All that is new is zero: the hint's part of the first convolution and the convolutions behind the copy. So until it
    has learnt something it changes nothing.

    Args:
        unet: the frozen network, with its weights.
        hint_channels: of the hint, which stands beside the noisy image.
    """

    def __init__(self, unet: Unet, hint_channels: int) -> None:
        super().__init__()
        self.embedding = copy.deepcopy(unet.embedding).requires_grad_(True)
        self.downs = copy.deepcopy(unet.downs).requires_grad_(True)
        self.middle = copy.deepcopy(unet.middle).requires_grad_(True)
        self.coarsest_px = unet.coarsest_px
        seen = unet.first.in_channels
        self.first = nn.Conv2d(seen + hint_channels, unet.first.out_channels, 3, 1, 1)
        with torch.no_grad():
            self.first.weight.zero_()[:, :seen] = unet.first.weight
            self.first.bias.copy_(unet.first.bias)  # type: ignore[union-attr,arg-type]
        self.of_skips = nn.ModuleList(_zero_convolution(width) for width in unet.skip_widths)
        self.of_middle = _zero_convolution(unet.skip_widths[-1])

    def forward(self, z: torch.Tensor, hint: torch.Tensor, signal: torch.Tensor) -> Control:
        """What to add to the U-Net's way up; ``z`` and ``hint`` are ``B x C x H x W``, ``signal`` is ``B``."""
        features, skips, _ = self.go_down(torch.cat([z, hint], dim=1), signal)
        added = [convolution(skip) for convolution, skip in zip(self.of_skips, skips, strict=True)]
        return Control(added, self.of_middle(features))


def _zero_convolution(channels: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels, channels, 1)
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution
