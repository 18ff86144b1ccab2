"""OSDFace as a method: its one step, what learns and when, its losses, the several steps of the control."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from osdface_tools import CONTROL, PROMPT_CHANNELS, batch, images, prompts, recogniser, tiny
from pydantic import ValidationError

from srledger.diffusion.edges import dists, ea_dists, sobel
from srledger.diffusion.latent_gan import discriminator_loss, generator_loss
from srledger.diffusion.noise import ImageNoise
from srledger.errors import SrledgerError
from srledger.methods import osdface
from srledger.packs import PackWriter
from srledger.seeds import torch_generator
from srledger.training import loop
from srledger.training.batches import Examples
from srledger.training.checkpoint import CheckpointStore
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch
from srledger.training.loop import Job, train_seed

ALPHAS_CUMPROD = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)
NO_PROMPTS = torch.ones(2, 1, 16, 16)


def at(time: int, size: int = 2) -> torch.Tensor:
    return torch.full((size,), time)


def test_one_step_takes_the_noise_from_latents_that_were_given_none() -> None:
    method, lr = tiny().eval(), images(2, 3, 16, 16)
    with torch.inference_mode():
        z = method.encoder.encode(lr)
        context = method.adapter(prompts().flatten(2).transpose(1, 2))
        eps = method.network(z, at(399), context)
        kept = float(ALPHAS_CUMPROD[399])
        expected = method.encoder.decode((z - math.sqrt(1 - kept) * eps) / math.sqrt(kept))
        found = method.restore(lr, prompts(), [0, 1])
        assert torch.allclose(found, expected, atol=1e-5)
        assert torch.equal(method.restore(lr, prompts(), [7, 8]), found), "it draws nothing"
        assert not torch.allclose(method.restore(lr, 2 * prompts(), [0, 1]), found, atol=1e-4)


@pytest.mark.parametrize(("alphas_cumprod", "time"), [(0.42609, 399), (0.9, 95), (0.001, 999)])
def test_the_step_is_the_one_that_leaves_as_much_of_the_image(alphas_cumprod: float, time: int) -> None:
    method = tiny(start_alphas_cumprod=alphas_cumprod)
    assert method.start == time + 1 == int((ALPHAS_CUMPROD - alphas_cumprod).abs().argmin()) + 1


@pytest.mark.parametrize("settings", [{}, {"concatenate_lq": True}, CONTROL])
def test_before_its_first_step_it_is_the_frozen_prior(settings: dict[str, object]) -> None:
    method = tiny(learnt=False, **settings)
    z, degraded, context = images(2, 4, 5, 6), images(2, 4, 5, 6, name="degraded"), images(2, 3, 6)
    with torch.no_grad():
        frozen = method.encoder.denoiser(z, at(399), context)  # type: ignore[operator]
        assert torch.allclose(method.noise_in(z, at(399), degraded, context), frozen, atol=1e-6)
        assert method.discriminator is not None
        ours, _, _ = method.discriminator.trunk.go_down(z, at(399), context)
        theirs, _, _ = method.encoder.denoiser.go_down(z, at(399), context)  # type: ignore[operator, union-attr]
        assert torch.equal(ours, theirs)


def learns(name: str) -> bool:
    """Whether a tensor of the state is one of those that a training changes."""
    return (
        any(part in name for part in (".lora_A.", ".lora_B.", ".beside."))
        or name.startswith(("adapter.", "discriminator.head."))
        or name == "steps_taken"
    )


@pytest.mark.parametrize("settings", [{}, CONTROL])
def test_nothing_but_adapters_and_heads_learns(settings: dict[str, object]) -> None:
    method = tiny(judged=True, learnt=False, **settings).train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    optimizer = torch.optim.AdamW([value for value in method.parameters() if value.requires_grad], lr=1e-2)
    given = batch()
    for _ in range(6):
        optimizer.zero_grad(set_to_none=True)
        method.loss(given)["total"].backward()
        assert all(learns(name) for name, value in method.named_parameters() if value.grad is not None)
        optimizer.step()
    changed = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if learns(name)}
    assert method.encoder.judge is not None
    assert all(value.grad is None for value in method.encoder.judge.parameters())
    assert not method.encoder.training and not any(value.requires_grad for value in method.encoder.parameters())


def sides(method: osdface.OsdFace) -> tuple[set[bool], set[bool]]:
    """Whether parameters of the restorer and of the discriminator have gradients."""
    assert method.discriminator is not None
    found = []
    for modules in ((method.network, method.adapter), (method.discriminator,)):
        values = [value for module in modules for value in module.parameters() if value.requires_grad]
        found.append({value.grad is not None for value in values})
    return found[0], found[1]


def test_restorer_and_discriminator_take_turns() -> None:
    method = tiny(gan_warm_up=0.3)
    seen = []
    for progress in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        method.zero_grad(set_to_none=True)
        terms = method.loss(batch(progress=progress))
        terms["total"].backward()
        learner = "discriminator" if "discriminator" in terms else "restorer"
        assert sides(method) == (({False}, {True}) if learner == "discriminator" else ({True}, {False}))
        seen.append((learner, "gan" in terms))
    alone, against, judge = ("restorer", False), ("restorer", True), ("discriminator", False)
    assert seen == [alone, alone, alone, judge, against, judge]
    again = tiny(gan_warm_up=0.3)
    again.load_state_dict(method.state_dict())
    assert int(again.steps_taken) == 6 and "gan" in again.loss(batch())


def test_without_a_gan_there_is_no_discriminator() -> None:
    method = tiny(gan_weight=0.0)
    assert method.discriminator is None and not any("discriminator" in name for name in method.state_dict())
    assert all("gan" not in (terms := method.loss(batch())) and "mse" in terms for _ in range(3))


def test_the_losses_of_the_gan_at_even_odds() -> None:
    even = torch.zeros(5)
    assert float(generator_loss(even)) == pytest.approx(math.log(2))
    assert float(discriminator_loss(even, even)) == pytest.approx(2 * math.log(2))
    assert generator_loss(torch.tensor([3.0])) < generator_loss(torch.tensor([-3.0]))
    assert discriminator_loss(even + 3, even - 3) < discriminator_loss(even - 3, even + 3)


def test_the_discriminator_sees_both_sides_at_one_step_under_noise() -> None:
    method = tiny(gan_warm_up=0.0)
    assert method.discriminator is not None
    calls: list[tuple[torch.Tensor, ...]] = []
    method.discriminator.register_forward_pre_hook(lambda network, given: calls.append(given))
    method.loss(batch())
    terms = method.loss(batch())
    _, real, fake = calls
    assert torch.equal(real[1], fake[1]) and torch.equal(real[2], fake[2]) and "discriminator" in terms
    latents = method.encoded(batch().hr)
    kept = ALPHAS_CUMPROD[real[1]].view(-1, 1, 1, 1).float()
    noise = (real[0] - kept.sqrt() * latents) / (1 - kept).sqrt()
    assert 0.6 < float(noise.std()) < 1.5 and not torch.allclose(real[0], latents, atol=0.1)


@pytest.mark.parametrize("what", ["time", "context"])
def test_the_discriminator_is_told_of_step_and_prompts(what: str) -> None:
    judge = tiny().discriminator
    assert judge is not None
    z, context = images(2, 4, 4, 4), images(2, 3, 6)
    with torch.no_grad():
        first = judge(z, at(10), context)
        second = judge(z, at(900), context) if what == "time" else judge(z, at(10), -context)
    assert first.shape == (2,) and not torch.allclose(first, second, atol=1e-5)


def levels(method: osdface.OsdFace, given: torch.Tensor) -> list[torch.Tensor]:
    return [given, *method.encoder(given)]


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    method, given = tiny(judged=True, gan_weight=0.0, identity_weight=0.3, ea_dists_weight=0.5), batch(factor=2)
    method.scale_factor = 2
    terms = method.loss(given)
    with torch.no_grad():
        sr = method.restore(given.lr, given.prior, [0, 0])
        assert torch.allclose(terms["mse"], 4 * F.mse_loss(sr, given.hr), atol=1e-5)
        edges = [sobel(one).expand(-1, 3, -1, -1) for one in (sr, given.hr)]
        expected = dists(levels(method, sr), levels(method, given.hr)) + dists(*(levels(method, one) for one in edges))
        assert torch.allclose(terms["enc_ea_dists"], expected.mean(), atol=1e-5)
        known = [recogniser().eval().embed(one) for one in (sr, given.hr)]
        assert torch.allclose(terms["identity"], (1 - F.cosine_similarity(*known)).mean(), atol=1e-5)
    total = terms["mse"] + 0.5 * terms["enc_ea_dists"] + 0.3 * terms["identity"]
    assert torch.allclose(terms["total"], total, atol=1e-6)


def test_the_identity_term_compares_what_the_judge_sees() -> None:
    judge, hr = recogniser().eval(), images(2, 3, 16, 16)
    sr = images(2, 3, 16, 16, name="sr").requires_grad_(True)
    with torch.no_grad():
        assert float(osdface.identity_loss(judge, hr, hr)) == pytest.approx(0, abs=1e-6)
    osdface.identity_loss(judge, sr, hr).backward()
    assert sr.grad is not None and float(sr.grad.abs().max()) > 0
    assert "identity" not in tiny().loss(batch()) and "identity" not in tiny(judged=True, identity_weight=0.0).loss(
        batch()
    )
    assert not any("judge" in name for name in tiny(judged=True).state_dict())


def test_the_strength_of_edges() -> None:
    """Golden: a ramp, and the border of a plane, beyond which there are zeros."""
    ramp = (torch.arange(7.0) / 10).expand(1, 3, 5, 7)
    assert torch.allclose(sobel(ramp)[0, 0, 1:-1, 1:-1], torch.tensor(math.sqrt(0.8**2 + 1e-6)))
    plane = sobel(torch.ones(1, 3, 5, 5))[0, 0]
    assert torch.allclose(plane[1:-1, 1:-1], torch.tensor(1e-3))
    assert torch.allclose(plane[0, 2], torch.tensor(4.0)) and torch.allclose(plane[0, 0], torch.tensor(math.sqrt(18)))
    grey = images(2, 3, 6, 6)
    assert torch.allclose(sobel(grey), sobel(grey.mean(dim=1, keepdim=True)))


def test_dists_by_hand() -> None:
    """Means 0.5 and 2, variances 0.25 and 1, covariance 0.5: l = 2 / 4.25, s = 1 / 1.25."""
    first, second = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[1.0, 3.0]]]])
    assert float(dists([first], [second])) == pytest.approx(1 - (2 / 4.25 + 0.8) / 2, abs=1e-5)
    both = dists(
        [first, torch.zeros(1, 3, 2, 2)], [second, torch.zeros(1, 3, 2, 2)]
    )  # three channels that are the same
    assert float(both) == pytest.approx((1 - (2 / 4.25 + 0.8) / 2) / 4, abs=1e-5)


def test_ea_dists_is_a_distance_of_images_and_of_their_edges() -> None:
    method = tiny()
    first, second = images(2, 3, 16, 16), images(2, 3, 16, 16, name="second")
    found = ea_dists(first, second, method.encoder)
    assert float(ea_dists(first, first, method.encoder)) == pytest.approx(0, abs=1e-5)
    assert torch.allclose(found, ea_dists(second, first, method.encoder), atol=1e-6)
    assert float(found) > 0.01
    flat = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    ea_dists(flat, first[:1], method.encoder).backward()
    assert flat.grad is not None and flat.grad.isfinite().all()


def test_the_control_learns_the_noise_of_hr_latents_up_to_its_start() -> None:
    method, given = tiny(**CONTROL, gan_weight=0.0), batch(6)
    terms = method.loss(given)
    generator = torch_generator("loss")
    with torch.no_grad():
        latents, degraded = method.encoded(given.hr), method.encoded(given.lr)
        time = torch.randint(1, 401, (6,), generator=generator) - 1
        eps = torch.randn(latents.shape, generator=generator)
        kept = ALPHAS_CUMPROD[time].view(-1, 1, 1, 1).float()
        z = kept.sqrt() * latents + (1 - kept).sqrt() * eps
        found = method.network(torch.cat([z, degraded], dim=1), time, method.context(given.prior))
        sr = method.encoder.decode((z - (1 - kept).sqrt() * found) / kept.sqrt())
        expected = ea_dists(sr, given.hr, method.encoder)
    assert torch.allclose(terms["mse"], F.mse_loss(found, eps), atol=1e-5)
    assert torch.allclose(terms["enc_ea_dists"], expected, atol=1e-4)


def test_the_control_samples_from_the_degraded_image_under_noise() -> None:
    method, lr = tiny(**{**CONTROL, "sampling_steps": 2}).eval(), images(2, 3, 16, 16)
    with torch.inference_mode():
        degraded, context = method.encoded(lr), method.context(prompts())
        noise = ImageNoise("osdface", [3, 4], 0, lr.device).draw(degraded.shape)
        first, second = (float(ALPHAS_CUMPROD[time]) for time in (399, 199))
        z = math.sqrt(first) * degraded + math.sqrt(1 - first) * noise
        eps = method.network(torch.cat([z, degraded], dim=1), at(399), context)
        z0 = (z - math.sqrt(1 - first) * eps) / math.sqrt(first)
        z = math.sqrt(second) * z0 + math.sqrt(1 - second) * eps
        eps = method.network(torch.cat([z, degraded], dim=1), at(199), context)
        z0 = (z - math.sqrt(1 - second) * eps) / math.sqrt(second)
        found = method.restore(lr, prompts(), [3, 4])
        assert torch.allclose(found, method.encoder.decode(z0), atol=1e-4)
        assert not torch.allclose(method.restore(lr, prompts(), [3, 5])[1], found[1], atol=1e-4)
        assert torch.equal(method.restore(lr, prompts(), [3, 5])[0], found[0])
    assert method.network_evaluations(method.config) == 2 and osdface.OsdFace.network_evaluations(osdface.Config()) == 1


def test_both_regimes_have_as_many_parameters() -> None:
    counts = [
        sum(value.numel() for value in tiny(**settings).parameters())
        for settings in ({"concatenate_lq": True}, CONTROL)
    ]
    assert counts[0] == counts[1] == sum(value.numel() for value in tiny().parameters()) + 4 * 8 * 9


@pytest.mark.parametrize("settings", [{}, CONTROL])
@pytest.mark.parametrize("shape", [(17, 22), (5, 9)])
def test_images_of_any_size_are_restored(shape: tuple[int, int], settings: dict[str, object]) -> None:
    method = tiny(**settings).eval()
    with torch.inference_mode():
        together = method.restore(images(2, 3, *shape), prompts(), [0, 1])
        alone = method.restore(images(2, 3, *shape)[1:], prompts()[1:], [1])
    assert together.shape == (2, 3, *shape) and torch.allclose(together[1:], alone, atol=1e-4)


def test_a_prior_that_says_nothing_is_the_context_of_no_caption() -> None:
    method = tiny()
    assert torch.equal(method.context(NO_PROMPTS), torch.zeros(2, 1, 6))
    assert method.context(prompts(2, 4)).shape == (2, 4, 6)
    assert torch.allclose(method.context(prompts())[:, 1], method.adapter(prompts()[:, :, 1, 0]), atol=1e-6)
    method.loss(batch(prior=NO_PROMPTS))["total"].backward()
    assert all(value.grad is None for value in method.adapter.parameters())


@pytest.mark.parametrize(
    ("prior", "said"),
    [(images(2, 1, 4, 4), "attention map is no prompt"), (images(2, 3, 4, 1), f"token_channels {PROMPT_CHANNELS}")],
)
def test_a_prior_that_is_no_prompt_is_refused(prior: torch.Tensor, said: str) -> None:
    with pytest.raises(SrledgerError, match=said):
        tiny().restore(images(2, 3, 16, 16), prior, [0, 1])
    with pytest.raises(ValueError, match="token_channels is 256, its prior's tokens have 128"):
        osdface.OsdFace.check_tokens(osdface.Config(), 128)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sampling_steps": 2}, "one_step takes one step"),
        ({"mse_weight": 0.0, "ea_dists_weight": 0.0}, "both 0"),
        ({"regime": "multi_step", "sampling_steps": 401}, "400 steps up to T_L"),
        ({"start_alphas_cumprod": 1.0}, "start_alphas_cumprod"),
        ({"gan_warm_up": 1.0}, "gan_warm_up"),
        ({"lora_rank": 0}, "lora_rank"),
        ({"identity_encoder": "vit"}, "identity_encoder"),
    ],
)
def test_bad_settings_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        osdface.Config.model_validate(wrong)
    assert osdface.Config(regime="multi_step").sampling_steps == 8


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    rng = np.random.default_rng(0)
    with (
        PackWriter(tmp_path / "task" / "train_hr", np.uint8) as hr,
        PackWriter(tmp_path / "task" / "train_lr", np.uint8) as lr,
    ):
        for name in "abcd":
            image = rng.integers(0, 256, (16, 16, 3), np.uint8)
            hr.add(name, image)
            lr.add(name, image // 2)
    return Examples(tmp_path / "task", None, "train")


SETTINGS = TrainingConfig(steps=6, batch_size=2, threads=1, ema_decay=0.0, checkpoint_every_steps=1)


def train(folder: Path, examples: Sequence[object], method: osdface.OsdFace | None = None) -> Path:
    learner = method or tiny(learnt=False, gan_warm_up=0.0)
    return train_seed(Job("faces", learner, None, SETTINGS, examples, None), 0, folder).weights  # type: ignore[arg-type]


def test_a_resumed_training_takes_the_same_turns(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_torch(1, "cpu")
    straight = train(tmp_path / "straight", examples)
    draw = loop.draw_batch

    def draw_then_signal(examples, config, factor, row, seed, step):  # type: ignore[no-untyped-def]
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(examples, config, factor, row, seed, step)

    monkeypatch.setattr(loop, "draw_batch", draw_then_signal)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 3"):
        train(tmp_path / "stopped", examples)
    monkeypatch.setattr(loop, "draw_batch", draw)
    assert train(tmp_path / "stopped", examples).read_bytes() == straight.read_bytes()


def test_a_discriminator_that_breaks_stops_the_training(examples: Examples, tmp_path: Path) -> None:
    method, calls = tiny(learnt=False, gan_warm_up=0.0), []
    assert method.discriminator is not None

    def break_later(network: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return logits if len(calls) <= 3 else logits * torch.nan  # one of the restorer's turn, two of its own

    method.discriminator.register_forward_hook(break_later)
    with pytest.raises(SrledgerError, match=r"(?s)no longer a number.*step 2"):
        train(tmp_path / "broken", examples, method)
    saved = CheckpointStore(tmp_path / "broken").newest_valid()
    assert saved is not None and saved[1]["step"] == 2 and int(saved[0]["method/steps_taken"]) == 2
