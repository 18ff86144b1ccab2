"""Flow matching (Lipman et al. 2023): straight lines from an image to noise, and VOSR's two branches along them.

``z_t = (1 - t) z_0 + t eps``: t = 0 is the image, t = 1 is noise, and the velocity is ``eps - z_0``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from srledger.diffusion.sampler import State, Trace

Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # z (B x C x h x w), t (B) -> of z's shape


def on_line(z0: torch.Tensor, eps: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """``z_t`` of latents ``B x C x h x w`` and their noise; ``time`` is ``B`` in [0, 1]."""
    t = over_images(time)
    return (1 - t) * z0 + t * eps


def over_images(values: torch.Tensor) -> torch.Tensor:
    """One value per image, ``B`` as ``B x 1 x 1 x 1``."""
    return values.view(-1, 1, 1, 1)


def guided(full: torch.Tensor, partial: torch.Tensor, weight: float) -> torch.Tensor:
    """``v_p + w (v_f - v_p)``: w = 1 is the full branch, more is more faithful, less is more generative."""
    return partial + weight * (full - partial)


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What the networks see of the degraded images in one step of a training.

    Attributes:
        full: their latents, a little noised: ``a c + sqrt(1 - a^2) n``, a = sigmoid(N(mean, std)) for each image.
        mixed: the same, but of the images that ``partial`` names weakened: ``alpha c``, alpha even between two bounds.
        partial: bool ``B``: whose semantics are dropped as well.
    """

    full: torch.Tensor
    mixed: torch.Tensor
    partial: torch.Tensor


def draw_conditions(
    latents: torch.Tensor,
    share: float,
    alpha: tuple[float, float],
    noise_logit: tuple[float, float],
    generator: torch.Generator,
) -> Conditions:
    """Conditions of a batch, every draw for each image by itself (the released code draws alpha once a batch).

    Args:
        latents: of the degraded images, ``B x C x h x w``.
        share: how often an image is in the partial branch.
        alpha: bounds of what is left of its latents there.
        noise_logit: mean and standard deviation of logit a.
        generator: on the latents' device.
    """
    count, device = len(latents), latents.device
    partial = torch.rand(count, generator=generator, device=device) < share
    left = alpha[0] + (alpha[1] - alpha[0]) * torch.rand(count, generator=generator, device=device)
    mean, std = noise_logit
    kept = over_images(torch.sigmoid(mean + std * torch.randn(count, generator=generator, device=device)))
    noise = torch.randn(latents.shape, generator=generator, device=device)
    full = kept * latents + (1 - kept**2).sqrt() * noise
    return Conditions(full, torch.where(over_images(partial), over_images(left) * latents, full), partial)


def euler(velocity: Velocity, z: torch.Tensor, steps: int, trace: Trace | None = None) -> torch.Tensor:
    """From noise ``z`` (``B x C x h x w``) to latents, in even steps of t from 1 to 0; ``trace`` sees each."""
    for step in range(steps, 0, -1):
        time = step / steps
        v = velocity(z, torch.full((len(z),), time, device=z.device)).float()
        estimate = z - time * v
        z = estimate if step == 1 else z - (1 / steps) * v
        if trace is not None:
            everywhere = torch.ones_like(z[:, :1], dtype=torch.bool)
            trace(State(step, steps, everywhere, z, estimate))
    return z
