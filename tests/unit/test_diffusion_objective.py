"""The masked loss."""

from __future__ import annotations

import math

import pytest
import torch

from srledger.diffusion.config import DiffusionConfig
from srledger.diffusion.level import Level
from srledger.diffusion.masks import mask_at, reach_of
from srledger.diffusion.objective import Objective
from srledger.errors import SrledgerError
from srledger.seeds import torch_generator

SHAPE = (8, 3, 6, 6)


def objective(*, continuous: bool = True, **settings: object) -> Objective:
    return Objective(
        DiffusionConfig.model_validate({"train_steps": 20, "sampling_steps": 5, **settings}), continuous=continuous
    )


def image() -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch_generator("image")) * 2 - 1


def prior() -> torch.Tensor:
    return torch.rand(SHAPE[0], 1, *SHAPE[2:], generator=torch_generator("map"))


@pytest.mark.parametrize("norm", ["all", "masked"])
@pytest.mark.parametrize("loss", ["l1", "mse"])
def test_no_gradient_reaches_what_lies_outside_the_mask(norm: str, loss: str) -> None:
    prediction = torch.zeros(SHAPE, requires_grad=True)
    seen: list[tuple[torch.Tensor, Level]] = []

    def denoise(z: torch.Tensor, level: Level) -> torch.Tensor:
        seen.append((z, level))
        return prediction

    objective(loss_norm=norm, loss=loss).loss(denoise, image(), prior(), torch_generator("loss")).backward()
    ((z, level),) = seen
    mask = mask_at(reach_of(prior(), "max", 0.3), level.time.view(-1, 1, 1, 1), 20).expand(SHAPE)
    assert prediction.grad is not None
    assert bool((prediction.grad[~mask] == 0).all()) and bool((prediction.grad[mask] != 0).all())
    assert bool((z[~mask] == 0).all()) and 0 < int(mask.sum()) < mask.numel()


def test_the_norms_divide_by_all_or_by_the_masked_area() -> None:
    values = {
        norm: objective(loss_norm=norm).loss(lambda z, level: torch.zeros_like(z), image(), prior(), torch_generator(7))
        for norm in ("all", "masked")
    }
    time, _ = objective().draw_levels(SHAPE[0], torch_generator(7))
    area = mask_at(reach_of(prior(), "max", 0.3), time.view(-1, 1, 1, 1), 20).double().mean()
    assert float(values["all"]) == pytest.approx(float(values["masked"] * area), rel=1e-5)


def test_an_empty_mask_is_no_division_by_zero() -> None:
    prediction = torch.zeros(SHAPE, requires_grad=True)
    faint = torch.full((SHAPE[0], 1, *SHAPE[2:]), 0.01)  # inside at no step
    total = objective(loss_norm="masked", lower_bound=0.0).loss(
        lambda z, level: prediction, image(), faint, torch_generator("loss")
    )
    total.backward()
    assert float(total.detach()) == 0 and prediction.grad is not None and not bool(prediction.grad.any())


@pytest.mark.parametrize("target", ["eps", "v", "x0"])
def test_a_network_that_knows_the_answer_has_no_loss(target: str) -> None:
    z0, steps = image(), objective(target=target, continuous=False)

    def knows(z: torch.Tensor, level: Level) -> torch.Tensor:
        gamma = steps.schedule.gammas[level.time].view(-1, 1, 1, 1)
        signal, noise = gamma.sqrt(), (1 - gamma).sqrt()
        eps = (z - signal * z0) / noise
        answers = {"eps": eps, "x0": z0.double(), "v": signal * eps - noise * z0}
        return answers[target]

    ones = torch.ones(SHAPE[0], 1, *SHAPE[2:])
    assert float(steps.loss(knows, z0, ones, torch_generator("loss"))) < 1e-4


def test_levels_are_drawn_for_each_image_and_lie_between_two_steps() -> None:
    drawn = objective(train_steps=2000)
    time, gamma = drawn.draw_levels(4000, torch_generator("levels"))
    gammas = drawn.schedule.gammas
    assert int(time.min()) >= 1 and int(time.max()) <= 2000 and len(time.unique()) > 1500
    assert float(time.double().mean()) == pytest.approx(1000.5, rel=0.03)
    assert bool((gamma >= gammas[time] - 1e-12).all()) and bool((gamma <= gammas[time - 1] + 1e-12).all())
    share = (gamma.sqrt() - gammas[time].sqrt()) / (gammas[time - 1].sqrt() - gammas[time].sqrt())
    assert float(share.mean()) == pytest.approx(0.5, abs=0.02) and float(share.std()) == pytest.approx(
        1 / math.sqrt(12), rel=0.05
    )
    steps, at_step = objective(continuous=False, train_steps=2000).draw_levels(100, torch_generator("levels"))
    assert torch.equal(at_step, gammas[steps])


def test_guards_stop_a_training() -> None:
    for broken in (prior() * 0, prior() * float("nan"), prior()[..., :-1], prior() + 1):
        with pytest.raises(SrledgerError):
            objective().loss(lambda z, level: z, image(), broken, torch_generator("loss"))
