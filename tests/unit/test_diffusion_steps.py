"""One step back, against diffusers and against Bayes' rule."""

from __future__ import annotations

import math

import pytest
import torch

from srledger.diffusion.config import Target
from srledger.diffusion.schedules import cosine_schedule
from srledger.diffusion.steps import ancestral_mean, ddim_step, deviation_of
from srledger.diffusion.targets import Amplitudes, image_of, noise_of

Z = torch.tensor([-1.5, -0.4, 0.3, 1.1])
PREDICTION = torch.tensor([0.7, -0.2, 0.1, -0.9])

# diffusers 0.42.1: DDIMScheduler (eta 0, use_clipped_model_output) and the mean of DDPMScheduler, both with
# num_train_timesteps=100, squaredcos_cap_v2, clip_sample, timestep_spacing="trailing", set_timesteps(20), at the tenth.
OF_DIFFUSERS = {
    "eps": ([-1.489527, -0.408156, 0.311656, 1.1215], [-1.383352, -0.389206, 0.302181, 1.068595]),
    "v": ([-1.489527, -0.383216, 0.291304, 1.1215], [-1.383352, -0.342937, 0.264424, 1.068595]),
    "x0": ([-1.303502, -0.389912, 0.286963, 0.91359], [-1.03823, -0.35536, 0.256369, 0.68287]),
}
FIXED_SMALL, FIXED_LARGE = 0.3392069, 0.3686762  # its standard deviations there


@pytest.mark.parametrize("target", ["eps", "v", "x0"])
def test_steps_are_those_of_diffusers(target: Target) -> None:
    gammas = cosine_schedule(100).respaced(20).gammas.tolist()
    gamma, after = gammas[10], gammas[9]
    at = Amplitudes(math.sqrt(gamma), math.sqrt(1 - gamma))
    z0 = image_of(target, PREDICTION, Z, at).clamp(-1, 1)
    ddim, mean = OF_DIFFUSERS[target]
    assert ddim_step(z0, noise_of(z0, Z, at), after).tolist() == pytest.approx(ddim, abs=1e-5)
    assert ancestral_mean(z0, Z, gamma, after).tolist() == pytest.approx(mean, abs=1e-5)
    assert deviation_of(gamma, after, "posterior") == pytest.approx(FIXED_SMALL, abs=1e-5)
    assert deviation_of(gamma, after, "beta") == pytest.approx(FIXED_LARGE, abs=1e-5)


@pytest.mark.parametrize(("gamma", "after"), [(0.9, 0.95), (0.3, 0.5), (1e-4, 0.2)])
def test_an_ancestral_step_is_bayes_rule(gamma: float, after: float) -> None:
    """q(z_next | z, z_0) is proportional to q(z | z_next) q(z_next | z_0), two Gaussians in z_next."""
    z0, z, alpha = 0.4, -0.7, gamma / after
    precision = alpha / (1 - alpha) + 1 / (1 - after)
    mean = (math.sqrt(alpha) * z / (1 - alpha) + math.sqrt(after) * z0 / (1 - after)) / precision
    assert float(ancestral_mean(torch.tensor(z0), torch.tensor(z), gamma, after)) == pytest.approx(mean, abs=1e-6)
    assert deviation_of(gamma, after, "posterior") == pytest.approx(precision**-0.5)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_the_last_step_ends_at_the_image(variance: str) -> None:
    z0 = torch.tensor([0.2, -0.8])
    assert deviation_of(0.7, 1.0, variance) == 0  # type: ignore[arg-type]
    assert torch.allclose(ancestral_mean(z0, torch.randn(2, generator=torch.Generator()), 0.7, 1.0), z0)
    assert torch.equal(ddim_step(z0, torch.ones(2), 1.0), z0)
