"""VOSR as a method: what its branches see, what it learns, how a student starts and is taught, sizes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from vosr_tools import STUDENT, TOKENS, batch, calls_of, images, student_of, tiny, token_prior

from srledger.diffusion.colour import fix_colours
from srledger.diffusion.flow import draw_conditions, on_line
from srledger.diffusion.images import upsample
from srledger.diffusion.jumps import draw_times, recursive_error, recursive_target, shortcut_target
from srledger.diffusion.noise import ImageNoise
from srledger.diffusion.sampler import State
from srledger.errors import SrledgerError
from srledger.methods import Batch, vosr
from srledger.methods.landmark_unet import Config as UnetConfig
from srledger.methods.landmark_unet import LandmarkUnet
from srledger.seeds import torch_generator


def test_the_loss_is_the_squared_error_of_the_velocity() -> None:
    method, given = tiny(), batch(6)
    total = method.loss(given)["total"]
    generator = torch_generator("loss", 0)
    z0 = F.pixel_unshuffle(given.hr * 2 - 1, 2)
    degraded = F.pixel_unshuffle(upsample(given.lr, 1) * 2 - 1, 2)
    seen = draw_conditions(degraded, 0.1, (0.05, 0.25), (5.0, 1.0), generator)
    time = torch.rand(6, generator=generator)
    eps = torch.randn(z0.shape, generator=generator)
    tokens = given.prior.permute(0, 2, 3, 1).flatten(1, 2) * ~seen.partial[:, None, None]
    found = method.network(on_line(z0, eps, time), seen.mixed, time, method.network.embed(tokens))
    assert torch.allclose(total, F.mse_loss(found, eps - z0), atol=1e-6)


def test_the_partial_branch_sees_no_semantics() -> None:
    method, given = tiny(partial_share=0.5), batch(8)
    degraded = method.encoded(upsample(given.lr, 1))
    partial = draw_conditions(degraded, 0.5, (0.05, 0.25), (5.0, 1.0), torch_generator("loss", 0)).partial
    assert 0 < int(partial.sum()) < 8
    before = method.loss(given)["total"]
    for changed, same in ((partial, True), (~partial, False)):
        other = torch.where(changed.view(-1, 1, 1, 1), 0.5 - given.prior, given.prior)
        assert torch.equal(method.loss(batch(8, prior=other))["total"], before) == same


@pytest.mark.parametrize("prior", [None, torch.ones(2, 1, 16, 16)])
def test_every_parameter_gets_a_gradient(prior: torch.Tensor | None) -> None:
    teacher = tiny(4, partial_share=0.5)
    teacher.loss(batch(2, 4, prior=prior))["total"].backward()
    learns = [value for value in teacher.network.parameters() if value.requires_grad]
    assert learns and all(value.grad is not None for value in learns)
    if prior is None:
        assert all(value.grad is not None and value.grad.any() for value in learns)
    teacher.zero_grad(set_to_none=True)
    for rule in ("rcgm", "shortcut"):
        student = student_of(teacher, distillation=rule).train()
        student.distill_loss(batch(2, 4, prior=prior), teacher.requires_grad_(False))["total"].backward()
        assert all(value.grad is not None for value in student.network.parameters())
        assert student.network.jump is not None
        assert all(value.grad is not None and value.grad.any() for value in student.network.jump.parameters())
        assert all(value.grad is None for value in teacher.parameters())


def test_constant_maps_are_tokens_of_zeros() -> None:
    method, lr = tiny().eval(), images(2, 3, 16, 16)
    with torch.inference_mode():
        uniform = method.restore(lr, torch.ones(2, 1, 16, 16), [1, 2])
        zeros = method.restore(lr, torch.zeros(2, TOKENS, 2, 2), [1, 2])
        tokens = method.restore(lr, token_prior(2, TOKENS, 2, 2), [1, 2])
    assert torch.allclose(uniform, zeros, atol=1e-5) and not torch.allclose(uniform, tokens, atol=1e-3)
    alike = [method.loss(batch(prior=prior))["total"] for prior in (torch.ones(2, 1, 16, 16), torch.zeros(2, 6, 2, 2))]
    assert torch.allclose(*alike, atol=1e-5)


@pytest.mark.parametrize(
    ("prior", "said"),
    [(images(2, 1, 16, 16), "an attention map is no semantic tokens"), (token_prior(2, 5, 2, 2), "5 channels")],
)
def test_a_prior_that_it_cannot_read_is_refused(prior: torch.Tensor, said: str) -> None:
    method = tiny()
    for act in (lambda: method.loss(batch(prior=prior)), lambda: method.restore(images(2, 3, 16, 16), prior, [0, 1])):
        with pytest.raises(SrledgerError, match=said):
            act()


def test_settings_that_do_not_go_with_the_tokens_are_found_before_any_work() -> None:
    vosr.Vosr.check_tokens(vosr.Config(token_channels=TOKENS), TOKENS)
    with pytest.raises(ValueError, match="token_channels is 192, its prior's tokens have 6 channels"):
        vosr.Vosr.check_tokens(vosr.Config(), TOKENS)


@pytest.mark.parametrize("weight", [-0.5, 0.0, 0.5, 1.0, 2.0])
def test_guided_sampling_written_out(weight: float) -> None:
    method = tiny(4, guidance=weight, guidance_alpha=0.2).eval()
    lr, prior = images(2, 3, 4, 6), token_prior(2, TOKENS, 2, 3)
    with torch.inference_mode():
        found = method.restore(lr, prior, [3, 4])
        degraded = method.encoded(upsample(lr, 4))
        network = method.network
        tokens = network.embed(prior.permute(0, 2, 3, 1).flatten(1, 2))
        nothing = network.embed(torch.zeros(2, 6, TOKENS))
        z = ImageNoise("flow", [3, 4], 0, torch.device("cpu")).draw(degraded.shape)
        for k in range(3):
            time = torch.full((2,), 1 - k / 3)
            full = network(z, degraded, time, tokens)
            partial = network(z, 0.2 * degraded, time, nothing)
            z = z - (partial + weight * (full - partial)) / 3
        expected = ((F.pixel_shuffle(z, 2) + 1) / 2).clamp(0, 1)
    assert torch.allclose(found, expected, atol=1e-5) and float(found.std()) > 0.01


def test_both_branches_go_in_one_batch_and_the_full_one_alone() -> None:
    lr, prior = images(2, 3, 16, 16), token_prior(2, TOKENS, 2, 2)
    for weight, images_at_once in ((0.5, 4), (1.0, 2)):
        method = tiny(guidance=weight).eval()
        calls = calls_of(method)
        method.restore(lr, prior, [0, 1])
        assert [len(call[0]) for call in calls] == [images_at_once] * 3


def test_standard_guidance_is_a_setting() -> None:
    """Alpha of 0 in training and sampling: the other branch sees nothing at all of the image."""
    method = tiny(partial_alpha=(0.0, 0.0), guidance_alpha=0.0, guidance=0.0).eval()
    prior = token_prior(1, TOKENS, 2, 2)
    one, other = (method.restore(images(1, 3, 16, 16, name=name), prior, [7]) for name in "ab")
    assert torch.equal(one, other)
    assert not torch.equal(one, method.restore(images(1, 3, 16, 16, name="a"), prior, [8]))


def test_an_image_is_a_function_of_itself_and_its_seed() -> None:
    method, lr, prior = tiny().eval(), images(3, 3, 16, 16), token_prior(3, TOKENS, 2, 2)
    with torch.inference_mode():
        together = method.restore(lr, prior, [5, 6, 7])
        alone = torch.cat([method.restore(lr[k : k + 1], prior[k : k + 1], [5 + k]) for k in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_trace_sees_every_step() -> None:
    states: list[State] = []
    method = tiny().eval()
    sr = method.restore(images(1, 3, 16, 16), token_prior(1, TOKENS, 2, 2), [0], states.append)
    assert [state.step for state in states] == [3, 2, 1]
    assert torch.equal(method.encoder.decode(states[-1].z).clamp(0, 1), sr)


@pytest.mark.parametrize("shape", [(16, 16), (17, 22), (5, 9), (1, 2)])
@pytest.mark.parametrize("factor", [1, 4])
def test_images_of_any_size_are_restored(shape: tuple[int, int], factor: int) -> None:
    for method in (tiny(factor).eval(), student_of(tiny(factor)).eval()):
        with torch.inference_mode():
            sr = method.restore(images(1, 3, *shape), token_prior(1, TOKENS, 3, 2), [0])
        assert sr.shape == (1, 3, shape[0] * factor, shape[1] * factor) and torch.isfinite(sr).all()


def test_images_are_continued_by_reflection() -> None:
    method, image = tiny(), images(1, 3, 6, 9)
    padded = F.pad(image, (0, 3, 0, 2), mode="reflect")
    assert torch.equal(method.encoded(image), method.encoder.encode(padded))
    assert torch.equal(method.encoded(padded), method.encoder.encode(padded))


def test_colours_are_the_enlarged_images() -> None:
    lr, prior = images(1, 3, 8, 8), token_prior(1, TOKENS, 2, 2)
    plain = tiny(4).eval().restore(lr, prior, [0])
    for fix in ("adain_rgb", "gaussian_swap", "wavelet"):
        fixed = tiny(4, colour_fix=fix).eval().restore(lr, prior, [0])
        assert torch.equal(fixed, fix_colours(plain, upsample(lr, 4), fix)) and not torch.allclose(fixed, plain)


def test_another_scale_factor_is_told() -> None:
    trained, other = tiny(4), tiny(2)
    lr, prior = images(1, 3, 8, 8), token_prior(1, TOKENS, 2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained.restore(lr, prior, [0])
    other.load_state_dict(trained.state_dict())
    with pytest.warns(UserWarning, match="scale factor 2, its weights have learnt 4"):
        assert other.restore(lr, prior, [0]).shape == (1, 3, 16, 16)


def test_a_student_starts_as_its_teacher() -> None:
    teacher = tiny()
    student = student_of(teacher)
    z, degraded = token_prior(2, 12, 8, 8), token_prior(2, 12, 8, 8) * 0.5
    time, tokens = torch.tensor([0.2, 1.0]), teacher.network.embed(token_prior(2, 4, TOKENS))
    velocity = teacher.network(z, degraded, time, tokens)
    assert torch.equal(student.network(z, degraded, time, tokens, time), velocity)
    assert not torch.allclose(student.network(z, degraded, time, tokens, torch.zeros(2)), velocity, atol=1e-4)
    theirs = dict(teacher.network.named_parameters())
    new = {name for name, _ in student.network.named_parameters() if name not in theirs}
    assert new and all(name.startswith("jump.") for name in new)


def test_a_student_restores_in_one_step_of_one_branch() -> None:
    teacher = tiny(4)
    student, lr, prior = student_of(teacher).eval(), images(2, 3, 4, 4), token_prior(2, TOKENS, 2, 2)
    calls = calls_of(student)
    with torch.inference_mode():
        found = student.restore(lr, prior, [3, 4])
        assert len(calls) == 1
        z, degraded, time, tokens, until = calls[0]
        assert time.tolist() == [1.0, 1.0] and until.tolist() == [0.0, 0.0]
        assert torch.equal(degraded, student.encoded(upsample(lr, 4)))
        one_jump = z - student.network(z, degraded, time, tokens, until)
        assert torch.equal(found, student.encoder.decode(one_jump).clamp(0, 1))


@pytest.mark.parametrize("rule", ["rcgm", "shortcut"])
@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_a_distillation_written_out(rule: str, weight: float) -> None:
    settings = {"distillation": rule, "target_guidance": weight, "target_alpha": 0.2, "consistency_weight": 0.3}
    teacher = tiny(partial_share=0.5)
    student = student_of(teacher, partial_share=0.5, **settings)
    assert student.network.jump is not None
    torch.nn.init.normal_(student.network.jump.mlp[2].weight, std=0.3)
    given = batch(6)
    terms = student.distill_loss(given, teacher)
    generator = torch_generator("loss", 0)
    degraded, z0 = student.encoded(upsample(given.lr, 1)), student.encoded(given.hr)
    seen = draw_conditions(degraded, 0.5, (0.2, 0.2), (5.0, 1.0), generator)
    t, r = draw_times(6, generator)
    z = on_line(z0, torch.randn(z0.shape, generator=generator), t)
    whole = given.prior.permute(0, 2, 3, 1).flatten(1, 2)
    dropped = student.network.embed(whole * ~seen.partial[:, None, None])
    v_full = teacher.network(z, seen.full, t, teacher.network.embed(whole))  # of every image, as is the target
    v_partial = teacher.network(z, 0.2 * degraded, t, teacher.network.embed(whole * 0))
    taught = (v_partial + weight * (v_full - v_partial)).detach()

    def jump(z: torch.Tensor, t: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        return student.network(z, seen.mixed, t, dropped, r)

    found = jump(z, t, r)
    if rule == "rcgm":
        target = recursive_target(found, recursive_error(jump, found, taught, z, t, r, 0.01, 2), 1.0)
    else:
        target = shortcut_target(jump, z, t, r)
    assert torch.allclose(terms["velocity"], F.mse_loss(jump(z, t, t), taught), rtol=1e-4)
    assert torch.allclose(terms["consistency"], F.mse_loss(found, target), rtol=1e-3)
    assert torch.allclose(terms["total"], terms["velocity"] + 0.3 * terms["consistency"])


def test_a_student_of_the_full_branch_starts_without_an_error_of_velocity() -> None:
    """At w = 1, with no partial branch, the student is what it is to learn at r = t, but for the attention's kernel."""
    teacher = tiny()
    student = student_of(teacher, partial_share=0.0, target_guidance=1.0)
    assert float(student.distill_loss(batch(4), teacher)["velocity"].detach()) < 1e-10
    guided = student_of(teacher)
    assert float(guided.distill_loss(batch(4), teacher)["velocity"].detach()) > 1e-3


def test_a_student_learns_to_restore_in_one_step() -> None:
    """On one pair of images its jump comes nearer to where 25 steps of its teacher end."""
    teacher = tiny(4, learnt=False, noise_logit=(8.0, 0.0))
    hr, prior = images(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
    given = [Batch(F.avg_pool2d(hr, 4), hr, prior, 0.0, torch_generator("learn", k)) for k in range(160)]
    optimizer = torch.optim.Adam(teacher.network.parameters(), lr=2e-3)
    for one in given[:100]:
        optimizer.zero_grad()
        teacher.loss(one)["total"].backward()
        optimizer.step()
    teacher.eval().requires_grad_(False)
    student = student_of(teacher)
    optimizer = torch.optim.Adam(student.network.parameters(), lr=1e-3)
    fine = tiny(4, sampling_steps=25)
    fine.load_state_dict(teacher.state_dict())

    def distance() -> float:
        student.eval()
        with torch.inference_mode():
            seeds = [1, 2]
            return float(
                F.mse_loss(student.restore(given[0].lr, prior, seeds), fine.restore(given[0].lr, prior, seeds))
            )

    before = distance()
    for one in given[100:]:
        optimizer.zero_grad()
        student.train().distill_loss(one, teacher)["total"].backward()
        optimizer.step()
    assert distance() < 0.8 * before


def test_roles_that_do_not_go_together_are_refused() -> None:
    teacher, student = tiny(), tiny(**STUDENT)
    with pytest.raises(SrledgerError, match="is taught by a teacher"):
        student.loss(batch())
    for pupil, master in ((teacher, tiny()), (student, student)):
        for act in (lambda p=pupil, m=master: p.start_from(m), lambda p=pupil, m=master: p.distill_loss(batch(), m)):
            with pytest.raises(SrledgerError, match="one-step network, its teacher is none"):
                act()
    with pytest.raises(SrledgerError, match="same size, patch and token_channels"):
        student.start_from(tiny(size="small"))
    with pytest.raises(SrledgerError, match="a teacher without a partial branch can't guide"):
        student.start_from(tiny(partial_share=0.0, guidance=1.0))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"partial_alpha": (0.3, 0.2)}, "partial_alpha must rise"),
        ({"partial_alpha": (0.3, 1.2)}, "partial_alpha must rise"),
        ({"noise_logit": (5.0, -1.0)}, "standard deviation"),
        ({"partial_share": 0.0}, "guidance must be 1"),
        ({"one_step": True, "guidance": 2.0}, "a student takes one step, guided as its target"),
        ({"one_step": True, "sampling_steps": 25}, "a student takes one step"),
        ({"tile_overlap": 0.1}, "greater than or equal to 0.125"),
        ({"colour_fix": "wavelets"}, "colour_fix"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Mapping[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        vosr.Config.model_validate(settings)
    vosr.Config(partial_share=0.0, guidance=1.0)


def test_a_students_settings_are_those_that_it_samples_with() -> None:
    """What is logged of a row is its settings: of a student they must not speak of a guidance that it has not."""
    student = vosr.Config(one_step=True, target_guidance=0.25, target_alpha=0.2)
    assert (student.guidance, student.guidance_alpha, student.sampling_steps) == (0.25, 0.2, 1)
    assert vosr.Config.model_validate_json(student.model_dump_json()) == student
    default = vosr.Config.model_validate({"one_step": True})
    assert (default.guidance, default.guidance_alpha, default.sampling_steps) == (0.5, 0.1, 1)


def test_students_of_other_methods_start_as_they_did() -> None:
    torch.manual_seed(0)
    small, large = (LandmarkUnet(UnetConfig(width=width, refine_blocks=0), 4) for width in (4, 8))
    before = {name: value.clone() for name, value in small.state_dict().items()}
    small.start_from(large)
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
