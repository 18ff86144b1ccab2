"""One step back: from level gamma to a level with less noise, given the estimate of the image."""

from __future__ import annotations

import math

import torch

from srledger.diffusion.config import Variance


def deviation_of(gamma: float, gamma_next: float, variance: Variance) -> float:
    """Standard deviation of an ancestral step; 0 when it ends at the image.

    ``posterior``: of q(z_next | z, z_0). ``beta``: 1 - alpha, the larger one of SR3's paper.
    """
    if gamma_next == 1:
        return 0.0
    beta = 1 - gamma / gamma_next
    return math.sqrt(beta if variance == "beta" else (1 - gamma_next) / (1 - gamma) * beta)


def ancestral_mean(z0: torch.Tensor, z: torch.Tensor, gamma: float, gamma_next: float) -> torch.Tensor:
    """Mean of q(z_next | z, z_0)."""
    alpha = gamma / gamma_next
    of_image = math.sqrt(gamma_next) * (1 - alpha) / (1 - gamma)
    return of_image * z0 + math.sqrt(alpha) * (1 - gamma_next) / (1 - gamma) * z


def ddim_step(z0: torch.Tensor, eps: torch.Tensor, gamma_next: float) -> torch.Tensor:
    """The deterministic step (eta 0): the same image under the same noise, less of it."""
    return math.sqrt(gamma_next) * z0 + math.sqrt(1 - gamma_next) * eps
