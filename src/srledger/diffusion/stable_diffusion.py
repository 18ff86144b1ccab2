"""What a denoiser of Stable Diffusion's kind has learnt: the noise, under T = 1000 steps of scaled-linear betas.

It is called with latents, a time and a context: ``diffusion.conditional_unet``. Time counts from 0 and levels from 1:
time t and level t + 1 are the same noise, and level 0 is the image. ``alphas_cumprod`` of time t, as diffusers calls
it, is ``gammas[t + 1]`` of the schedule.
"""

from __future__ import annotations

import functools

import torch

from srledger.diffusion.schedules import NoiseSchedule, scaled_linear_schedule
from srledger.diffusion.targets import amplitudes_of, diffuse, image_of

TRAIN_STEPS = 1000


@functools.cache
def stable_diffusion_schedule() -> NoiseSchedule:
    """Levels 0 to 1000."""
    return scaled_linear_schedule(TRAIN_STEPS)


def nearest_level(alphas_cumprod: float) -> int:
    """The level, from 1, whose share of the image's energy is nearest to ``alphas_cumprod``."""
    return int((stable_diffusion_schedule().gammas[1:] - alphas_cumprod).abs().argmin()) + 1


class Views:
    """Images of a batch at one level each.

    Args:
        level: int64 ``B``, from 1.

    Attributes:
        time: int64 ``B``, from 0: what a denoiser is told.
    """

    def __init__(self, level: torch.Tensor) -> None:
        self.time = level - 1
        self._at = amplitudes_of(stable_diffusion_schedule().gammas.to(level.device)[level].view(-1, 1, 1, 1))

    @classmethod
    def drawn(cls, count: int, generator: torch.Generator, last: int = TRAIN_STEPS) -> Views:
        """``count`` levels, each image its own, even over 1 to ``last``; on the generator's device."""
        return cls(torch.randint(1, last + 1, (count,), generator=generator, device=generator.device))

    @classmethod
    def at(cls, level: int, count: int, device: torch.device) -> Views:
        """All ``count`` images at one level."""
        return cls(torch.full((count,), level, device=device))

    def under(self, latents: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        """``latents`` under the noise ``eps``, both ``B x C x h x w``."""
        return diffuse(latents, eps, self._at)

    def image(self, eps: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """The estimate of the latents without noise, of ``z`` and the noise in it."""
        return image_of("eps", eps, z, self._at)


def ddim_levels(start: int, steps: int) -> list[int]:
    """``steps`` levels from ``start`` down, evenly spread, and 0, the image, behind them."""
    return [(k * start + steps // 2) // steps for k in range(steps, -1, -1)]
