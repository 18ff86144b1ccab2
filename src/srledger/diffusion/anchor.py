"""A network that says how far an image lies from another, its anchor (ours; after Karras et al. 2022, table 1).

Super-resolution knows an image that is nearly right before any network has looked: the enlarged LR. Where the residual
``r = z_0 - u`` of that anchor ``u`` is taken for Gaussian with a known deviation s, the best estimate of it from
``z = signal * z_0 + noise * eps`` is a linear one. A network ``F`` of unit input and output adds what is not linear:

    d = z - signal * u,    D = signal^2 s^2 + noise^2
    z_0 = u + signal s^2 / D * d + noise s / sqrt(D) * F(d / sqrt(D))

What is predicted is v all the same, so sampler, schedule and loss stay what they are; the network merely starts as an
estimate that is as good as u at every level.
"""

from __future__ import annotations

import torch

from srledger.diffusion.level import Denoise, Level


def anchored(network: Denoise, anchor: torch.Tensor, std: float) -> Denoise:
    """``network`` as F, for one that predicts v.

    Args:
        anchor: u, ``B x C x H x W``.
        std: s, of the residual, in units of the image.
    """

    def predict(z: torch.Tensor, level: Level) -> torch.Tensor:
        signal = level.signal.view(-1, 1, 1, 1)
        noise = (1 - signal.square()).clamp(min=0).sqrt()
        total = signal.square() * std**2 + noise.square()
        d = z - signal * anchor
        # Zeros stand outside the mask, where nothing is known of the noise, and stay zeros.
        found = network(torch.where(z == 0, 0.0, d / total.sqrt()), level).float()
        # v = (signal * z - z_0) / noise, written so that nothing is divided by the noise, which may be 0
        return noise * (signal * (1 - std**2) / total * d - anchor) - std / total.sqrt() * found

    return predict
