"""The masked sampler against plain loops written out here, and against a posterior that is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from srledger.diffusion.config import DiffusionConfig
from srledger.diffusion.level import Level
from srledger.diffusion.masks import mask_at, reach_of
from srledger.diffusion.noise import ImageNoise
from srledger.diffusion.sampler import Sampler, State
from srledger.diffusion.steps import deviation_of
from srledger.diffusion.targets import Amplitudes, image_of, noise_of, target_of
from srledger.errors import SrledgerError
from srledger.seeds import torch_generator

SHAPE = (3, 2, 5, 7)
SEEDS = [11, 12, 13]
STEPS = 12
ONES = torch.ones(SHAPE[0], 1, *SHAPE[2:])

samplers = pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
targets = pytest.mark.parametrize("target", ["eps", "v", "x0"])


def drawn(name: str, channels: int = SHAPE[1]) -> torch.Tensor:
    return torch.rand(SHAPE[0], channels, *SHAPE[2:], generator=torch_generator(name))


def config(**settings: object) -> DiffusionConfig:
    return DiffusionConfig.model_validate({"train_steps": 40, "sampling_steps": STEPS, **settings})


def toy(z: torch.Tensor, level: Level) -> torch.Tensor:
    """A denoiser that looks at its neighbours and its level, and at no other image."""
    around = torch.roll(z, 1, -1) + 0.5 * torch.roll(z, 1, -2)
    return torch.tanh(0.4 * z + 0.3 * around - level.signal.view(-1, 1, 1, 1))


def noises(seeds: list[int] = SEEDS) -> tuple[ImageNoise, torch.Tensor]:
    chain = ImageNoise("chain", seeds, 0, torch.device("cpu"))
    return chain, ImageNoise("fill", seeds, 0, torch.device("cpu")).draw((len(seeds), *SHAPE[1:]))


def reverse(
    settings: DiffusionConfig, fill: torch.Tensor, prior: torch.Tensor | None, filled: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """Equations 8 to 12 as they stand, ``filled(z_sr, lr_level, mask, step)`` making eq. 11 and 12; None: no mask."""
    plan = Sampler(settings).schedule
    chain, _ = noises()
    z = chain.draw(SHAPE)
    for step in range(plan.steps, 0, -1):
        gamma, after = float(plan.gammas[step]), float(plan.gammas[step - 1])
        level = Level(torch.full((3,), plan.times[step]), torch.full((3,), math.sqrt(gamma)))
        mask = None
        if prior is not None:
            share = torch.maximum(prior.double(), torch.tensor(settings.lower_bound, dtype=torch.float64))
            mask = share * plan.steps >= step
        at = Amplitudes(math.sqrt(gamma), math.sqrt(1 - gamma))
        seen = z if mask is None else torch.where(mask, z, torch.zeros_like(z))
        x0 = image_of(settings.target, toy(seen, level), z, at).clamp(-1, 1)
        if settings.sampler == "ddim":
            z_sr = math.sqrt(after) * x0 + math.sqrt(1 - after) * ((z - at.signal * x0) / at.noise)
        else:
            alpha = gamma / after
            z_sr = math.sqrt(after) * (1 - alpha) / (1 - gamma) * x0 + math.sqrt(alpha) * (1 - after) / (1 - gamma) * z
            if step > 1:
                z_sr = z_sr + math.sqrt((1 - after) / (1 - gamma) * (1 - alpha)) * chain.draw(SHAPE)
        z = z_sr if mask is None else filled(z_sr, after, mask, step)
    return z


@samplers
@targets
@pytest.mark.parametrize("rule", ["max", "sum"])
def test_the_uniform_map_is_the_plain_sampler_bit_for_bit(sampler: str, target: str, rule: str) -> None:
    settings = config(sampler=sampler, target=target, mask_rule=rule)
    plain = reverse(settings, drawn("fill"), None, lambda *_: torch.empty(0))
    masked = Sampler(settings).sample(toy, drawn("fill"), ONES, SEEDS)
    assert torch.equal(masked, plain)
    other_fill = Sampler(settings).sample(toy, drawn("another fill"), ONES, SEEDS)
    assert torch.equal(masked, other_fill)


@samplers
def test_a_fill_drawn_at_entry_equals_a_fill_redrawn_at_every_step(sampler: str) -> None:
    settings, fill, prior = config(sampler=sampler), drawn("fill"), drawn("map", 1)
    _, entry = noises()
    reach = reach_of(prior, "max", settings.lower_bound)

    def redrawn(z_sr: torch.Tensor, after: float, mask: torch.Tensor, step: int) -> torch.Tensor:
        noise = torch.randn(SHAPE, generator=torch_generator("redrawn", step))
        enters = mask_at(reach, step - 1, STEPS) & ~mask
        noise = torch.where(enters | (step == 1), entry, noise)  # what is drawn earlier is drawn again before entry
        return torch.where(mask, z_sr, math.sqrt(after) * fill + math.sqrt(1 - after) * noise)

    def only_at_entry(z_sr: torch.Tensor, after: float, mask: torch.Tensor, step: int) -> torch.Tensor:
        enters = mask_at(reach, step - 1, STEPS) & ~mask
        lr = math.sqrt(after) * fill + math.sqrt(1 - after) * entry
        return torch.where(mask, z_sr, torch.where(enters, lr, torch.tensor(float("nan"))))

    found = Sampler(settings).sample(toy, fill, prior, SEEDS)
    assert torch.equal(found, reverse(settings, fill, prior, redrawn))
    assert torch.equal(found, reverse(settings, fill, prior, only_at_entry))


@samplers
@pytest.mark.parametrize("fill_kind", ["marginal", "literal"])
def test_no_attention_and_no_lower_bound_gives_the_lr_image(sampler: str, fill_kind: str) -> None:
    settings = config(sampler=sampler, lower_bound=0.0, lr_fill=fill_kind)
    fill = drawn("fill")
    assert torch.equal(Sampler(settings).run(toy, fill, torch.zeros_like(ONES).double(), SEEDS), fill)


@samplers
def test_a_batch_gives_the_bits_of_its_images(sampler: str) -> None:
    settings, fill, prior = config(sampler=sampler), drawn("fill"), drawn("map", 1)
    together = Sampler(settings).sample(toy, fill, prior, SEEDS)
    alone = [Sampler(settings).sample(toy, fill[k : k + 1], prior[k : k + 1], SEEDS[k : k + 1]) for k in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert not torch.equal(together, Sampler(settings).sample(toy, fill, prior, [1, 2, 3]))


@samplers
def test_one_step_works(sampler: str) -> None:
    settings = config(sampler=sampler, sampling_steps=1)
    found = Sampler(settings).sample(toy, drawn("fill"), ONES, SEEDS)
    assert torch.isfinite(found).all() and float(found.abs().max()) <= 1


def test_the_network_sees_zeros_outside_the_mask() -> None:
    prior, seen = drawn("map", 1), []

    def look(z: torch.Tensor, level: Level) -> torch.Tensor:
        seen.append(z)
        return toy(z, level)

    states: list[State] = []
    settings = config()
    found = Sampler(settings).sample(look, drawn("fill"), prior, SEEDS, states.append)
    assert [state.step for state in states] == list(range(STEPS, 0, -1))
    assert torch.equal(states[-1].z, found) and bool(states[-1].mask.all()) and not bool(states[0].mask.all())
    for z, state in zip(seen, states, strict=True):
        assert torch.equal(z != 0, state.mask.expand_as(z))


def test_the_mean_of_samples_is_the_mean_of_different_samples() -> None:
    fill, prior = drawn("fill"), drawn("map", 1)
    mean = Sampler(config(samples=4)).sample(toy, fill, prior, SEEDS)
    reach = reach_of(prior, "max", 0.3)
    each = [Sampler(config()).run(toy, fill, reach, SEEDS, sample) for sample in range(4)]
    assert torch.equal(each[0], Sampler(config()).sample(toy, fill, prior, SEEDS))
    assert not torch.equal(each[0], each[1])
    assert torch.allclose(mean, torch.stack(each).mean(0), atol=1e-6)


@targets
def test_a_prediction_gives_back_image_and_noise(target: str) -> None:
    z0, eps = drawn("image") * 2 - 1, torch.randn(SHAPE, generator=torch_generator("eps"))
    for gamma in (0.999, 0.5, 1e-3):
        at = Amplitudes(math.sqrt(gamma), math.sqrt(1 - gamma))
        z = at.signal * z0 + at.noise * eps
        found = image_of(target, target_of(target, z0, eps, at), z, at)  # type: ignore[arg-type]
        assert torch.allclose(found, z0, atol=1e-4)
        assert torch.allclose(noise_of(z0, z, at), eps, atol=1e-4)


def test_the_literal_fill_has_the_noise_of_one_step() -> None:
    states: list[State] = []
    fill = torch.zeros(SHAPE)
    settings = config(lr_fill="literal", lower_bound=0.0)
    Sampler(settings).run(toy, fill, torch.zeros_like(ONES).double(), SEEDS, 0, states.append)
    _, noise = noises()
    gammas = Sampler(settings).schedule.gammas.tolist()
    for state in states:
        deviation = deviation_of(gammas[state.step], gammas[state.step - 1], "posterior")
        assert torch.allclose(state.z, deviation * noise)


@pytest.mark.parametrize(
    ("sampler", "steps", "variance"),
    [("ddim", 400, "posterior"), ("ancestral", 2000, "posterior"), ("ancestral", 400, "beta")],
)
@targets
def test_samples_of_a_known_gaussian_have_its_mean_and_spread(
    sampler: str, steps: int, variance: str, target: str
) -> None:
    mean, spread = 0.3, 0.2
    settings = DiffusionConfig.model_validate(
        {"target": target, "sampler": sampler, "sampling_steps": steps, "variance": variance, "clip_x0": False}
    )
    sampler_of = Sampler(settings)
    gammas = dict(zip(sampler_of.schedule.times, sampler_of.schedule.gammas.tolist(), strict=True))

    def exact(z: torch.Tensor, level: Level) -> torch.Tensor:
        gamma = gammas[int(level.time[0])]
        at = Amplitudes(math.sqrt(gamma), math.sqrt(1 - gamma))
        gain = at.signal * spread**2 / (gamma * spread**2 + 1 - gamma)
        z0 = mean + gain * (z - at.signal * mean)
        return target_of(settings.target, z0, noise_of(z0, z, at), at)

    found = sampler_of.sample(exact, torch.zeros(4, 1, 64, 64), torch.ones(4, 1, 64, 64), [1, 2, 3, 4])
    assert float(found.mean()) == pytest.approx(mean, abs=0.01)
    assert float(found.std()) == pytest.approx(spread, rel=0.05)


def test_guards_stop_a_sampling() -> None:
    sampler = Sampler(config())
    for prior in (torch.zeros_like(ONES), ONES * float("nan"), ONES[..., :-1], ONES * 2):
        with pytest.raises(SrledgerError):
            sampler.sample(toy, drawn("fill"), prior, SEEDS)
