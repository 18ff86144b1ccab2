"""The sampler of every diffusion method, masked (YODA, eq. 8 to 12). The map of ones is the sampler without YODA."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch

from srledger.diffusion.config import DiffusionConfig
from srledger.diffusion.level import Denoise, Level
from srledger.diffusion.masks import check_maps, check_sampled_maps, mask_at, reach_of
from srledger.diffusion.noise import ImageNoise
from srledger.diffusion.schedules import sampling_schedule
from srledger.diffusion.steps import ancestral_mean, ddim_step, deviation_of
from srledger.diffusion.targets import Amplitudes, image_of, noise_of


@dataclasses.dataclass(frozen=True)
class State:
    """One step of a sampler, for figures.

    Attributes:
        step, steps: the step that was made, from ``steps`` down to 1.
        mask: bool ``B x 1 x H x W``, who took part.
        z: what the step came to, ``B x C x H x W``.
        z0: the estimate of the image that it rests on; outside the mask it means nothing.
    """

    step: int
    steps: int
    mask: torch.Tensor
    z: torch.Tensor
    z0: torch.Tensor


Trace = Callable[[State], None]


class Sampler:
    """The sampler that a config describes; holds no weights."""

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        self.schedule = sampling_schedule(config)

    def sample(
        self,
        denoise: Denoise,
        fill: torch.Tensor,
        prior: torch.Tensor,
        seeds: Sequence[int],
        trace: Trace | None = None,
    ) -> torch.Tensor:
        """Images ``B x C x H x W``, each the mean of ``config.samples`` samples.

        Args:
            denoise: the network.
            fill: the LR images in the method's space, ``B x C x H x W``.
            prior: ``B x 1 x H x W`` in [0, 1].
            seeds: one per image.
            trace: sees every step of every sample.

        Raises:
            SrledgerError: a map is of the wrong size, not finite, outside [0, 1] or zero; or there are too few steps.
        """
        config = self.config
        check_maps(prior, fill)
        reach = reach_of(prior, config.mask_rule, config.lower_bound)
        check_sampled_maps(prior, reach, self.schedule.steps, config.lower_bound)
        total = self.run(denoise, fill, reach, seeds, 0, trace)
        for sample in range(1, config.samples):
            total = total + self.run(denoise, fill, reach, seeds, sample, trace)
        return total / config.samples

    def run(
        self,
        denoise: Denoise,
        fill: torch.Tensor,
        reach: torch.Tensor,
        seeds: Sequence[int],
        sample: int = 0,
        trace: Trace | None = None,
    ) -> torch.Tensor:
        """One chain from noise to an image, for any ``reach`` (float64 ``B x 1 x H x W``); nothing is checked."""
        chain = ImageNoise("chain", seeds, sample, fill.device)
        # Drawn once: the network never sees what lies outside the mask, so a fresh fill at every step changes nothing.
        fill_noise = ImageNoise("fill", seeds, sample, fill.device).draw(fill.shape)
        z = chain.draw(fill.shape)
        gammas, steps = self.schedule.gammas.tolist(), self.schedule.steps
        for step in range(steps, 0, -1):
            gamma, gamma_next = gammas[step], gammas[step - 1]
            mask = mask_at(reach, step, steps)
            at = Amplitudes(math.sqrt(gamma), math.sqrt(1 - gamma))
            z0 = self._estimate(denoise(torch.where(mask, z, 0.0), self._level(step, z)).float(), z, at)
            inside = self._step_back(z0, z, at, gamma, gamma_next, chain)
            z = torch.where(mask, inside, self._filled(fill, fill_noise, gamma, gamma_next))
            if trace is not None:
                trace(State(step, steps, mask, z, z0))
        return z

    def _level(self, step: int, z: torch.Tensor) -> Level:
        signal = math.sqrt(self.schedule.gammas[step])
        return Level(
            torch.full((len(z),), self.schedule.times[step], device=z.device),
            torch.full((len(z),), signal, device=z.device),
        )

    def _estimate(self, prediction: torch.Tensor, z: torch.Tensor, at: Amplitudes) -> torch.Tensor:
        z0 = image_of(self.config.target, prediction, z, at)
        return z0.clamp(-1, 1) if self.config.clip_x0 else z0

    def _step_back(
        self, z0: torch.Tensor, z: torch.Tensor, at: Amplitudes, gamma: float, gamma_next: float, chain: ImageNoise
    ) -> torch.Tensor:
        if self.config.sampler == "ddim":
            return ddim_step(z0, noise_of(z0, z, at), gamma_next)
        mean = ancestral_mean(z0, z, gamma, gamma_next)
        deviation = deviation_of(gamma, gamma_next, self.config.variance)
        return mean + deviation * chain.draw(z.shape) if deviation else mean

    def _filled(self, fill: torch.Tensor, fill_noise: torch.Tensor, gamma: float, gamma_next: float) -> torch.Tensor:
        """The LR image at the next level (eq. 11): as the forward process has it there, or read literally."""
        if self.config.lr_fill == "marginal":
            return math.sqrt(gamma_next) * fill + math.sqrt(1 - gamma_next) * fill_noise
        return fill + deviation_of(gamma, gamma_next, self.config.variance) * fill_noise
