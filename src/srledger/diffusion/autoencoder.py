"""A KL autoencoder: the images of a latent diffusion model as a few channels on a coarse grid (Rombach et al. 2022)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from srledger.diffusion.unet import group_norm

LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -30.0, 20.0  # beyond them exp() is of no use


class Residual(nn.Module):
    """Norm, SiLU, convolution, twice, beside the identity."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            group_norm(groups, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, 1, 1),
            group_norm(groups, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, 1, 1),
        )  # fmt: skip

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.layers(features)


class Autoencoder(nn.Module):
    """Encoder and decoder, mirror images of each other but for one more block on the decoder's coarsest grid.

    Args:
        patch_px: images are cut into patches of this side first (1: they are not), which keeps the costly finest grid
            out of the network.
        widths: channels per level, from the finest; each level has half the resolution of the one before.
        blocks: residual blocks a level.
        channels: of a latent.
        groups: of the norms, at most.
    """

    def __init__(self, patch_px: int, widths: Sequence[int], blocks: int, channels: int, groups: int) -> None:
        super().__init__()

        def residuals(width: int, count: int) -> list[nn.Module]:
            return [Residual(width, groups) for _ in range(count)]

        of_patch = 3 * patch_px**2
        self.factor = patch_px * 2 ** (len(widths) - 1)
        self.levels = nn.ModuleList(
            [nn.Sequential(nn.PixelUnshuffle(patch_px), nn.Conv2d(of_patch, widths[0], 3, 1, 1),
                           *residuals(widths[0], blocks))]
        )  # fmt: skip
        for before, width in itertools.pairwise(widths):
            self.levels.append(nn.Sequential(nn.Conv2d(before, width, 3, 2, 1), *residuals(width, blocks)))
        self.to_latent = nn.Sequential(
            group_norm(groups, widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], 2 * channels, 3, 1, 1)
        )
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[-1], 3, 1, 1), *residuals(widths[-1], blocks + 1)]
        for before, width in itertools.pairwise(reversed(widths)):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, width, 3, 1, 1), *residuals(width, blocks)]
        layers += [group_norm(groups, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], of_patch, 3, 1, 1)]
        self.decoder = nn.Sequential(*layers, nn.PixelShuffle(patch_px))

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The output of every level, finest first, for images ``B x 3 x H x W`` in [-1, 1]; ``factor`` divides H, W."""
        found, features = [], images
        for level in self.levels:
            features = level(features)
            found.append(features)
        return found

    def posterior(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(mean, logarithm of the variance) of the latents, float32 ``B x channels x H/factor x W/factor`` each."""
        mean, log_variance = self.to_latent(self.features(images)[-1]).float().chunk(2, dim=1)
        return mean, log_variance.clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """float32 images, nominally in [-1, 1]."""
        return self.decoder(latents).float()


def kl_to_standard_normal(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Mean over all elements of KL(N(mean, variance) || N(0, 1)), in nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
