"""An autoencoder with a codebook between its halves: one of the two that OSDFace's embedder learns.

Encoder and decoder are those of ``diffusion.autoencoder``; in the place of a posterior stand, as in VQGAN, a 3x3
convolution to the width of the codes and the 1x1 one before the codebook. The paper's attention on the coarsest grid is
left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from srledger.diffusion.autoencoder import Autoencoder
from srledger.diffusion.images import symmetric
from srledger.diffusion.unet import group_norm
from srledger.encoders._quantiser import Codebook


class VqAutoencoder(nn.Module):
    """Images to features, features to the nearest codes, codes to images.

    Args:
        patch_px, widths, blocks, groups: as ``diffusion.autoencoder.Autoencoder`` has them.
        codebook: says how wide the features are.

    Attributes:
        factor: how many pixels of an image a feature is wide.
    """

    def __init__(self, patch_px: int, widths: Sequence[int], blocks: int, groups: int, codebook: Codebook) -> None:
        super().__init__()
        channels = codebook.codes.shape[1]
        halves = Autoencoder(patch_px, widths, blocks, channels, groups)
        self.factor = halves.factor
        self.levels, self.decoder = halves.levels, halves.decoder
        self.to_codes = nn.Sequential(
            group_norm(groups, widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], channels, 3, 1, 1),
            nn.Conv2d(channels, channels, 1),
        )  # fmt: skip
        self.codebook = codebook

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The output of every level, finest first, for images ``B x 3 x H x W`` in [0, 1].

        Past the border the edge pixels are repeated to whole features.
        """
        padding = (0, -images.shape[-1] % self.factor, 0, -images.shape[-2] % self.factor)
        features = F.pad(symmetric(images), padding, mode="replicate")
        found = []
        for level in self.levels:
            features = level(features)
            found.append(features)
        return found

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What is quantised: float32 ``B x d x ceil(H / factor) x ceil(W / factor)`` of images in [0, 1]."""
        return self.to_codes(self.maps(images)[-1]).float()

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """float32 ``B x 3 x h factor x w factor``, nominally in [0, 1], of codes ``B x d x h x w``."""
        return (self.decoder(codes).float() + 1) / 2
