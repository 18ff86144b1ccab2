"""Noise schedules: how much of the image is left at each of T steps.

``gamma_t`` is the product of ``1 - beta_s`` up to t: ``z_t = sqrt(gamma_t) z_0 + sqrt(1 - gamma_t) noise``.
"""

from __future__ import annotations

import dataclasses
import math

import torch

from srledger.diffusion.config import DiffusionConfig

SR3_STEPS, FIRST_BETA, LAST_BETA = 2000, 1e-6, 1e-2
COSINE_OFFSET = 0.008
FIRST_SCALED_BETA, LAST_SCALED_BETA = 8.5e-4, 1.2e-2
LARGEST_BETA = 0.999  # of one step: with 1 the last gamma would be 0, and the image could not be told from the noise


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """Levels 0 (the image) to T (noise).

    Attributes:
        gammas: float64, T + 1 values falling from 1.
        times: for each level, the step of training that it is; ``0, 1, ..., T`` unless the schedule was respaced.
    """

    gammas: torch.Tensor
    times: tuple[int, ...]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.times) - 1

    def respaced(self, steps: int) -> NoiseSchedule:
        """``steps`` of these levels, evenly spread, the last among them: only levels that a network was trained on."""
        if not 1 <= steps <= self.steps:
            raise ValueError(f"can't spread {steps} steps over {self.steps}")
        kept = [(k * self.steps + steps // 2) // steps for k in range(steps + 1)]
        return NoiseSchedule(self.gammas[kept], tuple(self.times[t] for t in kept))


def from_betas(betas: torch.Tensor) -> NoiseSchedule:
    """The schedule of float64 ``betas`` (T values in (0, 1))."""
    gammas = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas.double(), 0)])
    return NoiseSchedule(gammas, tuple(range(len(gammas))))


def matched_last_beta(steps: int) -> float:
    """The last beta of a linear schedule that leaves as little of the image as SR3's 1e-2 does after 2000 steps."""
    return LAST_BETA * SR3_STEPS / steps


def linear_schedule(steps: int, last_beta: float | None = None) -> NoiseSchedule:
    """SR3's: betas from 1e-6 to 1e-2 over 2000 steps, to ``matched_last_beta`` over another number of them.

    With a smaller ``last_beta`` some of the image is left at the end, and a sampler that starts from pure noise starts
    wrong.
    """
    last = matched_last_beta(steps) if last_beta is None else last_beta
    if steps == 1:
        return from_betas(torch.tensor([last], dtype=torch.float64).clamp(max=LARGEST_BETA))
    return from_betas(torch.linspace(FIRST_BETA, last, steps, dtype=torch.float64).clamp(max=LARGEST_BETA))


def cosine_schedule(steps: int) -> NoiseSchedule:
    """Nichol and Dhariwal's: gamma falls like a squared cosine (offset 0.008)."""

    def left(share: float) -> float:
        return math.cos((share + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2

    betas = [1 - left((t + 1) / steps) / left(t / steps) for t in range(steps)]
    return from_betas(torch.tensor(betas, dtype=torch.float64).clamp(max=LARGEST_BETA))


def scaled_linear_schedule(steps: int) -> NoiseSchedule:
    """Stable Diffusion's: the square roots of the betas rise evenly, for 1000 steps from those of 8.5e-4 to 1.2e-2.

    0.0047 of the image's energy is left at the last of 1000 steps. Fewer or more steps have the same betas.
    """
    roots = torch.linspace(math.sqrt(FIRST_SCALED_BETA), math.sqrt(LAST_SCALED_BETA), steps, dtype=torch.float64)
    return from_betas(roots.square())


def training_schedule(config: DiffusionConfig) -> NoiseSchedule:
    """The levels that a network learns."""
    if config.schedule == "cosine":
        return cosine_schedule(config.train_steps)
    if config.schedule == "scaled_linear":
        return scaled_linear_schedule(config.train_steps)
    return linear_schedule(config.train_steps, _last_beta(config))


def sampling_schedule(config: DiffusionConfig) -> NoiseSchedule:
    """The levels that a sampler visits: a part of those of training.

    With a ``literal`` end point the betas run from the first to the last of training over fewer steps, as SR3's code
    has it: the last level is far less noisy than what the network was told of pure noise.
    """
    respaced = training_schedule(config).respaced(config.sampling_steps)
    if config.sampling_end_point == "trained":
        return respaced
    return dataclasses.replace(respaced, gammas=linear_schedule(config.sampling_steps, _last_beta(config)).gammas)


def _last_beta(config: DiffusionConfig) -> float:
    return matched_last_beta(config.train_steps) if config.match_end_point else LAST_BETA
