"""VOSR as a method: what its branches see, what it learns, how a student starts and is taught, sizes and tiles."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from pydantic import ValidationError
from safetensors.torch import load_file

from srledger.diffusion.colour import fix_colours
from srledger.diffusion.flow import draw_conditions, on_line
from srledger.diffusion.images import upsample
from srledger.diffusion.jumps import draw_times, recursive_error, recursive_target, shortcut_target
from srledger.diffusion.noise import ImageNoise
from srledger.diffusion.sampler import State
from srledger.encoders import Encoder
from srledger.encoders.latent_diffusion import Config as LatentConfig
from srledger.errors import SrledgerError
from srledger.layout import Layout
from srledger.methods import Batch, vosr
from srledger.methods.bicubic import Config as BicubicConfig
from srledger.methods.landmark_unet import Config as UnetConfig
from srledger.methods.landmark_unet import LandmarkUnet
from srledger.packs import PackWriter
from srledger.pipeline_encoders import write_encoder
from srledger.plugins import PluginConfig
from srledger.provenance import train_code_sha256
from srledger.seeds import torch_generator
from srledger.settings import Dataset, EncoderSpec, PriorSpec, Row, Task
from srledger.training.config import TrainingConfig
from srledger.training.run import load_trained, train_row

TOKENS = 6
STUDENT = {"one_step": True}


class LinearCodec(Encoder):
    """Latents are the pixels of 2 x 2 squares, in [-1, 1]: nothing is lost."""

    codes = True
    latent_channels, factor = 12, 2  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(PluginConfig(), {})

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return F.pixel_unshuffle(images * 2 - 1, 2)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (F.pixel_shuffle(latents, 2) + 1) / 2


def tiny(scale_factor: int = 1, learnt: bool = True, **settings: object) -> vosr.Vosr:
    """A method on the linear codec; ``learnt``: its zero layers are not zero."""
    torch.manual_seed(0)
    given = {"token_channels": TOKENS, "sampling_steps": 3, "colour_fix": "none", **settings}
    method = vosr.Vosr(vosr.Config.model_validate(given), scale_factor, LinearCodec())
    if learnt:
        generator = torch_generator("learnt")
        for value in method.network.parameters():
            if not float(value.detach().abs().max()):
                value.data = torch.randn(value.shape, generator=generator) * 0.2
    return method


def student_of(teacher: vosr.Vosr, **settings: object) -> vosr.Vosr:
    student = tiny(teacher.scale_factor, **STUDENT, **settings)
    student.start_from(teacher)
    return student


def images(*shape: int, name: str = "images") -> torch.Tensor:
    return torch.rand(*shape, generator=torch_generator(name, *shape))


def token_prior(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch_generator("tokens", *shape))


def batch(size: int = 2, factor: int = 1, step: int = 0, prior: torch.Tensor | None = None) -> Batch:
    hr = images(size, 3, 16, 16)
    given = token_prior(size, TOKENS, 2, 2) if prior is None else prior
    return Batch(F.avg_pool2d(hr, factor), hr, given, 0.5, torch_generator("loss", step))


def calls_of(method: vosr.Vosr) -> list[tuple[torch.Tensor, ...]]:
    """What its network is asked from now on, call by call."""
    found: list[tuple[torch.Tensor, ...]] = []
    method.network.register_forward_pre_hook(lambda network, given: found.append(given))
    return found


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
    hr, prior = images(4, 3, 16, 16), torch.ones(4, 1, 16, 16)
    given = [Batch(F.avg_pool2d(hr, 4), hr, prior, 0.0, torch_generator("learn", k)) for k in range(260)]
    optimizer = torch.optim.Adam(teacher.network.parameters(), lr=2e-3)
    for one in given[:160]:
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
            seeds = [1, 2, 3, 4]
            return float(
                F.mse_loss(student.restore(given[0].lr, prior, seeds), fine.restore(given[0].lr, prior, seeds))
            )

    before = distance()
    for one in given[160:]:
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


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"partial_alpha": (0.3, 0.2)}, "partial_alpha must rise"),
        ({"partial_alpha": (0.3, 1.2)}, "partial_alpha must rise"),
        ({"noise_logit": (5.0, -1.0)}, "standard deviation"),
        ({"partial_share": 0.0}, "guidance must be 1"),
        ({"partial_share": 0.0, "guidance": 1.0, "one_step": True}, "target_guidance must be 1"),
        ({"tile_overlap": 0.1}, "greater than or equal to 0.125"),
        ({"colour_fix": "wavelets"}, "colour_fix"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Mapping[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        vosr.Config.model_validate(settings)
    vosr.Config(partial_share=0.0, guidance=1.0)


def test_tiles_are_whole_cells() -> None:
    with pytest.raises(ValueError, match="tile_px must be a multiple of patch x codec factor, 4; got 18"):
        tiny(tile_px=18)


@pytest.mark.parametrize("tile_px", [32, 40, 512])
@pytest.mark.parametrize("one_step", [False, True])
def test_a_tile_that_covers_the_image_changes_no_bit(tile_px: int, one_step: bool) -> None:
    lr, prior = images(2, 3, 30, 26), token_prior(2, TOKENS, 4, 4)
    whole, tiled = (tiny(one_step=one_step, tile_px=side).eval() for side in (None, tile_px))
    with torch.inference_mode():
        assert torch.equal(whole.restore(lr, prior, [0, 1]), tiled.restore(lr, prior, [0, 1]))


def test_a_tile_has_the_tokens_of_its_place() -> None:
    """Of 4 x 4 tokens over 64 px, a tile of the last 32 px sees the last two rows and columns."""
    method = tiny(tile_px=32, guidance=1.0, sampling_steps=1).eval()
    calls, prior = calls_of(method), token_prior(1, TOKENS, 4, 4)
    with torch.inference_mode():
        method.restore(images(1, 3, 64, 64), prior, [0])
        expected = method.network.embed(prior.permute(0, 2, 3, 1))
        assert len(calls) == 9 and {call[0].shape[-2:] for call in calls} == {(16, 16)}
        assert torch.allclose(calls[-1][3], expected[:, 2:, 2:].flatten(1, 2), atol=1e-6)
        assert torch.allclose(calls[4][3], expected[:, 0:4, 0:4][:, 1:3, 1:3].flatten(1, 2), atol=1e-6) or (
            calls[4][3].shape[1] > 4
        )
    assert vosr.cells_of(14, 46, 64, 4) == (0, 3) and vosr.cells_of(48, 64, 50, 4) == (3, 4)


def test_tiles_of_a_smooth_image_leave_no_seam() -> None:
    """Against tiles laid side by side: there the velocity steps where one ends, here nowhere more than elsewhere."""
    across = torch.linspace(0, 1, 128)
    smooth = (0.5 + 0.3 * torch.sin(2 * across[:, None] + across[None])).expand(1, 3, 128, 128)
    method, time = tiny(tile_px=64, guidance=1.0).eval(), torch.tensor([0.6])
    with torch.inference_mode():
        z = method.encoded(smooth)
        velocity = method._velocity(z, torch.ones(1, 1, 128, 128), 128, 128)(z, time)
        tokens = method.network.embed(torch.zeros(1, 1, TOKENS))
        beside = torch.cat(
            [
                torch.cat([method.network(part, part, time, tokens) for part in half.split(32, dim=3)], dim=3)
                for half in z.split(32, dim=2)
            ],
            dim=2,
        )

    def steps(found: torch.Tensor) -> torch.Tensor:
        """Between neighbouring patches of a row, the mean over channels and rows."""
        return F.avg_pool2d(found, 2).diff(dim=3).abs().mean(dim=(0, 1, 2))

    blended, cut = steps(velocity), steps(beside)
    at = 15  # from the 16th patch to the 17th: 64 px
    elsewhere = [k for k in range(len(cut)) if k != at]
    assert float(cut[at]) > 1.5 * float(cut[elsewhere].max())
    assert float(blended.max()) < float(cut[at]) and float(blended[at]) <= float(blended[elsewhere].max())


TASK = Task("small", Dataset("faces", "synthetic_faces", None), "face_dual", BicubicConfig(), 1, 16, ())
TRAINING = TrainingConfig(steps=6, batch_size=2, threads=1, validation_images=1, learning_rate=1e-3)
LATENTS = LatentConfig(widths=(8, 8), denoiser_width=8, denoiser_multipliers=(1, 2))
ENCODER = EncoderSpec("latents", "latent_diffusion", "random", LATENTS, TRAINING, TASK)
CONFIG = vosr.Config(token_channels=TOKENS, sampling_steps=2)
TEACHER = Row(
    "vosr", "variant", "vosr", CONFIG, TRAINING, TASK, PriorSpec("map", "uniform", BicubicConfig(), ("small",)), None,
    True, ENCODER,
)  # fmt: skip


def run(row: Row, layout: Layout) -> Path:
    folder = layout.run(row.name)
    folder.mkdir(parents=True)
    train_row(row.name, row.resolved(), layout, folder, train_code_sha256(layout.root, row))
    return folder


def test_a_row_and_its_student_are_trained(tmp_path: Path) -> None:
    """In the pipeline, a student starts from its teacher's finished weights: it is hardly moved by hardly a step."""
    for name in ("dvc.yaml", "src", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    layout, rng = Layout("smoke", tmp_path), np.random.default_rng(0)
    for split in ("train", "val"):
        with (
            PackWriter(layout.packs("small") / f"{split}_hr", np.uint8) as hr,
            PackWriter(layout.packs("small") / f"{split}_lr", np.uint8) as lr,
            PackWriter(layout.prior("map") / "small" / split, np.float16) as prior,
        ):
            for name in "abc":
                hr.add(split + name, image := rng.integers(0, 256, (16, 16, 3), np.uint8))
                lr.add(split + name, image // 2)
                prior.add(split + name, np.ones((1, 1, 1), np.float16))
    layout.encoder("latents").mkdir(parents=True)
    write_encoder(ENCODER, layout, layout.encoder("latents"))
    taught = load_file(run(TEACHER, layout) / "seed0" / "weights.safetensors")
    still = TRAINING.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    settings = {"name": "still", "kind": "student", "teacher": TEACHER, "training": still}
    student = Row(**{**vars(TEACHER), **settings, "config": CONFIG.model_copy(update=STUDENT)})
    found = load_file(run(student, layout) / "seed0" / "weights.safetensors")
    assert all(torch.allclose(found[name], taught[name], atol=1e-7) for name in taught)
    assert {name for name in found if name not in taught} == {
        f"network.jump.mlp.{layer}.{part}" for layer, part in itertools.product((0, 2), ("weight", "bias"))
    }
    moved = Row(**{**vars(student), "name": "moved", "training": TRAINING})
    curves = (run(moved, layout) / "seed0" / "curves.csv").read_text()
    assert "loss_velocity" in curves and "loss_consistency" in curves and "psnr_rgb_val" in curves
    restored = load_trained(layout.run("moved"), 0).restore(images(1, 3, 16, 16), torch.ones(1, 1, 16, 16), [0])
    assert restored.shape == (1, 3, 16, 16) and torch.isfinite(restored).all()


def test_students_of_other_methods_start_as_they_did() -> None:
    torch.manual_seed(0)
    small, large = (LandmarkUnet(UnetConfig(width=width, refine_blocks=0), 4) for width in (4, 8))
    before = {name: value.clone() for name, value in small.state_dict().items()}
    small.start_from(large)
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
