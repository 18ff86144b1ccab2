"""A network that says how far an image lies from another, its anchor (ours; after Karras et al. 2022, table 1).

Super-resolution knows an image that is nearly right before any network has looked: the enlarged LR. Where the residual
``r = z_0 - u`` of that anchor ``u`` is taken for Gaussian with a known deviation s, the best estimate of it from
``z = signal * z_0 + noise * eps`` is a linear one. A network ``F`` of unit output adds what is not linear:

    d = z - signal * u,    D = signal^2 s^2 + noise^2
    z_0 = u + signal s^2 / D * d + noise s / sqrt(D) * F

The network predicts v all the same, so sampler, schedule and loss stay what they are; it merely starts as an estimate
that is as good as u at every level.
"""

from __future__ import annotations

import torch


def anchored_v(
    found: torch.Tensor, z: torch.Tensor, anchor: torch.Tensor, signal: torch.Tensor, std: float
) -> torch.Tensor:
    """The prediction of v that the network's output ``found`` stands for.

    Args:
        found, z, anchor: ``B x C x H x W``.
        signal: ``B``, sqrt(gamma).
        std: s, of the residual, in units of the image.
    """
    signal = signal.view(-1, 1, 1, 1)
    variance = (1 - signal.square()).clamp(min=0)  # of the noise
    total = signal.square() * std**2 + variance
    # v = (signal * z - z_0) / noise, written so that nothing is divided by the noise, which may be 0
    linear = signal * (1 - std**2) / total * (z - signal * anchor) - anchor
    return variance.sqrt() * linear - std / total.sqrt() * found
