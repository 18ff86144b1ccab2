"""The training loss of every diffusion method, masked (YODA, eq. 13). The map of ones is the loss without YODA."""

from __future__ import annotations

import torch

from srledger.diffusion.config import DiffusionConfig
from srledger.diffusion.level import Denoise, Level
from srledger.diffusion.masks import check_maps, check_trained_maps, mask_at, reach_of
from srledger.diffusion.schedules import training_schedule
from srledger.diffusion.targets import amplitudes_of, diffuse, target_of


class Objective:
    """The loss that a config describes; holds no weights.

    Args:
        config: what is predicted, and under which noise.
        continuous: draw sqrt(gamma) evenly between two steps, as SR3 does, and not at the step.
    """

    def __init__(self, config: DiffusionConfig, *, continuous: bool) -> None:
        self.config = config
        self.continuous = continuous
        self.schedule = training_schedule(config)

    def loss(self, denoise: Denoise, z0: torch.Tensor, prior: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The loss at one level per image.

        Args:
            denoise: the network.
            z0: the images in the method's space, ``B x C x H x W``.
            prior: ``B x 1 x H x W`` in [0, 1].
            generator: for every draw; on z0's device.

        Raises:
            SrledgerError: a map is of the wrong size, not finite, outside [0, 1], or zero where that teaches nothing.
        """
        config = self.config
        check_maps(prior, z0)
        check_trained_maps(prior, config.lower_bound)
        time, gamma = self.draw_levels(len(z0), generator)
        at = amplitudes_of(gamma.view(-1, 1, 1, 1))
        eps = torch.randn(z0.shape, generator=generator, device=z0.device)
        reach = reach_of(prior, config.mask_rule, config.lower_bound)
        mask = mask_at(reach, time.view(-1, 1, 1, 1), config.train_steps)
        seen = torch.where(mask, diffuse(z0, eps, at), 0.0)
        prediction = denoise(seen, Level(time, gamma.sqrt().float())).float()
        wrong = torch.where(mask, prediction - target_of(config.target, z0, eps, at), 0.0)
        total = (wrong.abs() if config.loss == "l1" else wrong.square()).sum()
        # Empty masks divide nothing by one: no gradient, and no NaN.
        area = mask.sum().clamp(min=1) * z0.shape[1] if config.loss_norm == "masked" else z0.numel()
        return total / area

    def draw_levels(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """(steps t, int64 ``count``; gammas, float64 ``count``): t even over 1 to T, each image its own."""
        device = generator.device
        time = torch.randint(1, self.schedule.steps + 1, (count,), generator=generator, device=device)
        gammas = self.schedule.gammas.to(device)
        if not self.continuous:
            return time, gammas[time]
        least, most = gammas[time].sqrt(), gammas[time - 1].sqrt()
        share = torch.rand(count, generator=generator, device=device, dtype=torch.float64)
        return time, (least + share * (most - least)) ** 2
