"""Noise schedules: where they end, and that fewer steps are steps that were trained on."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from srledger.diffusion.config import DiffusionConfig
from srledger.diffusion.schedules import (
    cosine_schedule,
    linear_schedule,
    sampling_schedule,
    scaled_linear_schedule,
    training_schedule,
)


def test_sr3_leaves_almost_nothing_of_the_image_after_2000_steps() -> None:
    gammas = linear_schedule(2000).gammas
    assert gammas[0] == 1 and bool((gammas.diff() < 0).all())
    assert float(gammas[-1]) == pytest.approx(4.4e-5, rel=0.02)


@pytest.mark.parametrize(("steps", "left"), [(500, 0.081), (200, 0.37), (100, 0.61), (50, 0.78)])
def test_the_unmatched_end_point_leaves_most_of_the_image(steps: int, left: float) -> None:
    config = DiffusionConfig(sampling_steps=steps, sampling_end_point="literal")
    assert float(sampling_schedule(config).gammas[-1]) == pytest.approx(left, abs=0.006)


def test_the_end_points_of_training_and_of_sampling_are_two_settings() -> None:
    """SR3's ratio, four steps of training to one of sampling, leaves as much of the image over any number of steps."""
    few = {"train_steps": 80, "sampling_steps": 20}
    matched, literal = DiffusionConfig(**few), DiffusionConfig(sampling_end_point="literal", **few)
    assert torch.equal(training_schedule(matched).gammas, training_schedule(literal).gammas)
    assert float(sampling_schedule(matched).gammas[-1]) < 5e-5
    assert float(sampling_schedule(literal).gammas[-1]) == pytest.approx(0.081, abs=0.02)
    public = DiffusionConfig(match_end_point=False, sampling_end_point="literal", train_steps=1000, sampling_steps=100)
    assert float(training_schedule(public).gammas[-1]) == pytest.approx(math.exp(-5), rel=0.03)
    assert float(sampling_schedule(public).gammas[-1]) == pytest.approx(0.61, abs=0.006)


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 100, 500])
def test_a_matched_end_point_leaves_nothing(steps: int) -> None:
    assert float(linear_schedule(steps).gammas[-1]) < 2e-3  # one step of beta 0.999 at the least
    assert float(sampling_schedule(DiffusionConfig(sampling_steps=steps)).gammas[-1]) < 5e-5


def test_the_cosine_schedule_of_srdiff_ends_where_its_code_does() -> None:
    assert float(cosine_schedule(100).gammas[-1]) == pytest.approx(2.4e-7, rel=0.02)


def test_the_schedule_of_stable_diffusion_leaves_something_of_the_image() -> None:
    config = DiffusionConfig(schedule="scaled_linear", train_steps=1000, sampling_steps=50)
    gammas = training_schedule(config).gammas
    assert torch.equal(gammas, scaled_linear_schedule(1000).gammas) and bool((gammas.diff() < 0).all())
    assert float(gammas[1]) == pytest.approx(1 - 8.5e-4) and float(gammas[-1] / gammas[-2]) == pytest.approx(1 - 1.2e-2)
    assert float(gammas[-1]) == pytest.approx(0.0047, abs=5e-5)


@pytest.mark.parametrize("steps", [1, 3, 50, 333, 2000])
def test_fewer_steps_are_steps_that_were_trained_on(steps: int) -> None:
    trained = linear_schedule(2000)
    fewer = trained.respaced(steps)
    assert fewer.steps == steps and fewer.times[0] == 0 and fewer.times[-1] == 2000
    assert list(fewer.times) == sorted(set(fewer.times))
    assert torch.equal(fewer.gammas, trained.gammas[list(fewer.times)])
    gaps = torch.tensor(fewer.times).diff()
    assert int(gaps.max() - gaps.min()) <= 1


def test_impossible_schedules_are_refused() -> None:
    with pytest.raises(ValueError, match="spread 11 steps over 10"):
        linear_schedule(10).respaced(11)
    with pytest.raises(ValidationError, match="must not exceed train_steps"):
        DiffusionConfig(train_steps=10, sampling_steps=11)
    with pytest.raises(ValidationError, match="train_steps"):
        DiffusionConfig(train_steps=1, sampling_steps=1)
    for end_point in ({"match_end_point": False}, {"sampling_end_point": "literal"}):
        with pytest.raises(ValidationError, match="linear schedule"):
            DiffusionConfig(schedule="cosine", **end_point)
    for bound in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValidationError, match="lower_bound"):
            DiffusionConfig(lower_bound=bound)


def test_training_and_sampling_agree_on_the_levels() -> None:
    config = DiffusionConfig(schedule="cosine", train_steps=100, sampling_steps=20)
    trained, sampled = training_schedule(config), sampling_schedule(config)
    assert torch.equal(sampled.gammas, trained.gammas[list(sampled.times)])


def test_the_schedules_are_those_of_diffusers() -> None:
    """First, middle and last ``alphas_cumprod`` of diffusers 0.42.1, ``linear`` and ``squaredcos_cap_v2``."""
    linear, cosine = linear_schedule(2000).gammas, cosine_schedule(100).gammas
    assert linear[[1, 1001, 2000]].tolist() == pytest.approx([0.9999989867, 0.0813746229, 4.3859792e-5], abs=1e-6)
    assert cosine[[1, 51, 100]].tolist() == pytest.approx([0.9993687272, 0.4782645702, 2.4285407e-7], abs=1e-6)
