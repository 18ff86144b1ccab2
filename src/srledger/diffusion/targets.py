"""What a network predicts, and how the image and the noise follow from it.

``signal`` and ``noise`` are the amplitudes of a level: sqrt(gamma) and sqrt(1 - gamma), numbers or ``B x 1 x 1 x 1``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from srledger.diffusion.config import Target


class Amplitudes(NamedTuple):
    """``z = signal * z_0 + noise * eps`` at one level."""

    signal: torch.Tensor | float
    noise: torch.Tensor | float


def amplitudes_of(gamma: torch.Tensor) -> Amplitudes:
    """Amplitudes of float64 levels; the difference 1 - gamma is taken before anything is rounded to float32."""
    return Amplitudes(gamma.sqrt().float(), (1 - gamma).sqrt().float())


def diffuse(z0: torch.Tensor, eps: torch.Tensor, at: Amplitudes) -> torch.Tensor:
    """``z_t`` of an image and its noise."""
    return at.signal * z0 + at.noise * eps


def target_of(target: Target, z0: torch.Tensor, eps: torch.Tensor, at: Amplitudes) -> torch.Tensor:
    """What the network is to say: the noise, the image, or v = signal * noise - noise amplitude * image."""
    if target == "eps":
        return eps
    return z0 if target == "x0" else at.signal * eps - at.noise * z0


def image_of(target: Target, prediction: torch.Tensor, z: torch.Tensor, at: Amplitudes) -> torch.Tensor:
    """The estimate of ``z_0`` that follows from what the network said about ``z``."""
    if target == "eps":
        return (z - at.noise * prediction) / at.signal
    return prediction if target == "x0" else at.signal * z - at.noise * prediction


def noise_of(z0: torch.Tensor, z: torch.Tensor, at: Amplitudes) -> torch.Tensor:
    """The noise that makes ``z`` of ``z_0``; so a clipped estimate and its noise belong together."""
    return (z - at.signal * z0) / at.noise
