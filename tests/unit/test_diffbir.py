"""DiffBIR: what is frozen when, what control adds, where the map and the colours come from, and how it is wired."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from pydantic import ValidationError
from safetensors.torch import load_file
from scipy import ndimage

from srledger.config import Params
from srledger.diffusion.control import ControlBranch
from srledger.diffusion.sampler import Sampler, State
from srledger.diffusion.unet import Unet
from srledger.diffusion.wavelet import diffbir_wavelet_fix, levels_of, low_frequencies
from srledger.encoders.latent_diffusion import Config as LatentConfig
from srledger.encoders.latent_diffusion import LatentDiffusionEncoder
from srledger.errors import SrledgerError
from srledger.io import read_json
from srledger.layout import Layout
from srledger.methods import Batch, diffbir
from srledger.methods.bicubic import Bicubic
from srledger.methods.bicubic import Config as BicubicConfig
from srledger.packs import PackWriter
from srledger.pipeline_encoders import write_encoder
from srledger.prior_config import why_no_encoder
from srledger.provenance import data_sha256, train_code_sha256
from srledger.seeds import torch_generator
from srledger.settings import Dataset, EncoderSpec, Evaluation, PriorSpec, Row, Task
from srledger.training.config import TrainingConfig
from srledger.training.run import load_trained, train_row

LATENTS = LatentConfig(widths=(8, 8), denoiser_width=8, denoiser_multipliers=(1, 2))
TINY = {"restorer_width": 8, "restorer_blocks": 1, "sampling_steps": 4, "pretraining": 0.5}
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")


def tiny(scale_factor: int = 1, learnt: bool = True, **settings: object) -> diffbir.DiffBir:
    """A method on an untrained model whose latents have a mean; ``learnt``: its zero convolutions are not zero."""
    torch.manual_seed(0)
    encoder = LatentDiffusionEncoder(LATENTS, {})
    encoder.model.latent_mean += 0.3
    method = diffbir.DiffBir(diffbir.Config.model_validate({**TINY, **settings}), scale_factor, encoder)
    if learnt:
        for convolution in (*method.control.of_skips, method.control.of_middle):
            torch.nn.init.normal_(convolution.weight, std=0.3)
    return method


def images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch_generator("images", *shape))


def batch(progress: float, factor: int = 1) -> Batch:
    hr = images(2, 3, 16, 16)
    return Batch(hr[..., ::factor, ::factor], hr, images(2, 1, 16, 16), progress, torch_generator("loss"))


def test_an_untaught_control_branch_changes_no_bit() -> None:
    method = tiny(learnt=False)
    z, hint, signal = images(2, 4, 5, 6), images(2, 4, 5, 6), torch.tensor([0.2, 0.9])
    frozen = method.denoiser(z, signal)
    assert torch.equal(method.denoiser(z, signal, method.control(z, hint, signal)), frozen)
    assert float(frozen.detach().abs().max()) > 0


def test_a_control_branch_is_a_copy_with_a_larger_first_convolution() -> None:
    torch.manual_seed(0)
    unet = Unet(4, 4, 8, (1, 2), 2, (1,), 8, 0.0, 1000.0)
    branch = ControlBranch(unet.requires_grad_(False), 3)
    z, signal = images(2, 4, 8, 8), torch.tensor([0.2, 0.9])
    ours, theirs = branch.go_down(torch.cat([z, images(2, 3, 8, 8)], dim=1), signal), unet.go_down(z, signal)
    assert torch.allclose(ours[0], theirs[0], atol=1e-5) and len(ours[1]) == len(branch.of_skips) == len(theirs[1])
    assert all(value.requires_grad for value in branch.parameters())
    shared = {value.data_ptr() for value in unet.parameters()} & {value.data_ptr() for value in branch.parameters()}
    assert not shared


def test_what_each_skip_is_given_arrives() -> None:
    method = tiny(learnt=False)
    z, signal = images(1, 4, 8, 8), torch.tensor([0.5])
    frozen = method.denoiser(z, signal)
    for convolution in (*method.control.of_skips, method.control.of_middle):
        torch.nn.init.normal_(convolution.weight)
        changed = method.denoiser(z, signal, method.control(z, z, signal))
        assert not torch.allclose(changed, frozen, atol=1e-3)
        torch.nn.init.zeros_(convolution.weight)


def test_the_regression_learns_first_and_the_control_branch_then() -> None:
    method = tiny(factor := 4)
    for progress, learns in ((0.2, method.restorer), (0.5, method.control)):
        method.zero_grad(set_to_none=True)
        terms = method.loss(batch(progress, factor))
        terms["total"].backward()
        for part in (method.restorer, method.control, method.encoder):
            assert {value.grad is not None for value in part.parameters()} == {part is learns}
        assert set(terms) == {"total", "restorer" if learns is method.restorer else "control"}
    assert not any(value.requires_grad for value in method.encoder.parameters())


def test_under_the_uniform_map_nothing_but_noise_hint_and_colours_decide() -> None:
    """YODA's fill plays no part: the sampler without YODA."""
    method = tiny(colour_fix="none").eval()
    lr, seeds = images(2, 3, 16, 16), [3, 4]
    with torch.inference_mode():
        sr = method.restore(lr, torch.ones(2, 1, 16, 16), seeds)
        hint = method.encoded(method.regressed(lr))
        whole = torch.ones(2, 1, 4, 4, dtype=torch.float64)
        latents = Sampler(method.config).run(method.denoise(hint), torch.full_like(hint, torch.nan), whole, seeds)
        assert torch.equal(method.encoder.decode(latents), sr)


def test_where_the_map_is_zero_the_latents_of_the_regression_stand() -> None:
    method = tiny(lower_bound=0.0).eval()
    lr, prior = images(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    prior[..., 8:] = 1.0
    states: list[State] = []
    with torch.inference_mode():
        method.restore(lr, prior, [0], states.append)
        hint = method.encoded(method.regressed(lr))
    assert len(states) == 4
    assert torch.equal(states[-1].z[..., :2], hint[..., :2])
    assert not torch.allclose(states[-1].z[..., 2:], hint[..., 2:], atol=1e-2)


def test_a_map_comes_to_the_latent_grid_by_its_mean() -> None:
    method = tiny()
    prior = images(2, 1, 16, 12)
    assert torch.allclose(method.latent_map(prior)[1, 0, 2, 1], prior[1, 0, 8:12, 4:8].mean())
    assert torch.equal(method.latent_map(torch.ones(1, 1, 9, 6)), torch.ones(1, 1, 3, 2))
    assert float(method.latent_map(prior).max()) < float(prior.max())  # it is not stretched again


@pytest.mark.parametrize("shape", [(16, 16), (17, 22), (5, 9)])
def test_images_of_any_size_are_restored(shape: tuple[int, int]) -> None:
    method = tiny().eval()
    with torch.inference_mode():
        assert method.restore(images(1, 3, *shape), images(1, 1, *shape), [0]).shape == (1, 3, *shape)


def test_the_colour_fix_takes_over_low_frequencies_and_no_more() -> None:
    sampled, reference = images(2, 3, 40, 33), images(2, 3, 40, 33) * 0.5
    assert torch.allclose(diffbir_wavelet_fix(reference, reference, 3), reference, atol=1e-6)
    assert torch.allclose(diffbir_wavelet_fix(sampled + 0.25, sampled, 3), sampled, atol=1e-6)  # a colour cast is gone
    fixed = diffbir_wavelet_fix(sampled, reference, 2)
    details = sampled - low_frequencies(sampled, 2)
    assert torch.allclose(fixed - low_frequencies(reference, 2), details, atol=1e-6)


def test_the_blur_of_the_colour_fix_is_dilated() -> None:
    given = images(1, 2, 30, 20)
    expected = given.double().numpy()
    for apart in (1, 2, 4):
        taps = np.zeros(2 * apart + 1)
        taps[[0, apart, 2 * apart]] = 0.25, 0.5, 0.25
        for axis in (2, 3):
            expected = ndimage.convolve1d(expected, taps, axis=axis, mode="nearest")
    assert np.allclose(low_frequencies(given, 3).numpy(), expected, atol=1e-6)


def test_the_colour_fix_blurs_as_far_against_the_side() -> None:
    assert [levels_of(side) for side in (16, 32, 64, 128, 256, 512, 2048)] == [1, 1, 2, 3, 4, 5, 5]


def test_with_the_fix_the_regression_gives_the_colours() -> None:
    lr = images(1, 3, 32, 32)
    plain, fixed = tiny(colour_fix="none").eval(), tiny().eval()
    with torch.inference_mode():
        sampled = plain.restore(lr, torch.ones(1, 1, 32, 32), [1])
        sr = fixed.restore(lr, torch.ones(1, 1, 32, 32), [1])
        assert torch.equal(sr, diffbir_wavelet_fix(sampled, fixed.regressed(lr), levels_of(32)))


def test_settings_that_make_no_method_are_refused() -> None:
    with pytest.raises(ValidationError, match="restorer_patch_px must be a power of 2"):
        diffbir.Config(restorer_patch_px=6)
    with pytest.raises(ValueError, match="target is eps, and the frozen denoiser has learnt under v"):
        diffbir.DiffBir.check_encoder(diffbir.Config(target="eps"), LATENTS)


def test_bicubic_at_factor_1_is_the_degraded_image() -> None:
    lr = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 7, 9), np.uint8)) / 255
    assert torch.equal(Bicubic(BicubicConfig(), 1).restore(lr, lr, [0]), lr.double())


def load(tmp_path: Path, *edits: tuple[str, str], scale: str = "quick") -> Params:
    text = PARAMS
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params.load(tmp_path, scale)


IMDN = "imdn: { method: imdn, task: set5_x4, prior: uniform, encoder: none }"
DIFFBIR = "    method: diffbir\n    task: faces_blind\n    prior: uniform\n    encoder: latent_diffusion\n"
ELSEWHERE = DIFFBIR.replace("faces_blind", "faces_x8")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ((DIFFBIR, DIFFBIR.replace("latent_diffusion", "none")), ["can't build on the encoder 'none'", "latent_diff"]),
        ((DIFFBIR, DIFFBIR.replace("latent_diffusion", "latent_diffusoin")), ["nearest:  latent_diffusion"]),
        ((DIFFBIR, DIFFBIR.replace("latent_diffusion", "tiny_dino_vit")), ["codes and denoises: latent_diffusion"]),
        ((DIFFBIR, ELSEWHERE), ["has learnt another task's images", "found:    faces_blind", "faces_x8, as its row"]),
        ((IMDN, IMDN.replace("none", "latent_diffusion")), ["'imdn' builds on no encoder", "expected: none"]),
        ((IMDN, IMDN.replace(", encoder: none", "")), ["encoder", "variants.imdn"]),
        (("rows: [bicubic, land", "rows: [diffbir, bicubic, land"), ["not made there", "encoders.latent_diffusion.sc"]),
        (("config: { encoder: tiny_dino_vit, map: max }", "config: { encoder: none, map: max }"), ["is no network"]),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, edit: tuple[str, str], said: list[str]) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, edit)
    for words in ("params.yaml:", *said):
        assert words in str(caught.value), str(caught.value)


def test_settings_that_the_frozen_denoiser_has_not_learnt_under_are_named(tmp_path: Path) -> None:
    edit = ("restorer_patch_px: 8, target: eps", "restorer_patch_px: 8, target: x0")
    with pytest.raises(SrledgerError, match=r"(?s)do not go with.*params.yaml:\d+.*target is x0.*encoders.latent_diff"):
        load(tmp_path, edit, scale="paper")


def test_a_row_is_left_out_where_its_encoder_is_not_made(tmp_path: Path) -> None:
    params = load(tmp_path, scale="smoke")
    assert not params.is_active("diffbir") and why_no_encoder(params, "latent_diffusion") is not None
    for scale in ("smoke", "quick", "paper"):
        assert why_no_encoder(load(tmp_path, scale=scale), "none") is None
    assert load(tmp_path).is_active("diffbir")


def test_only_a_row_that_builds_on_an_encoder_says_so(tmp_path: Path) -> None:
    params = load(tmp_path)
    resolved = params.rows["diffbir"].resolved()
    assert resolved["encoder_name"] == resolved["encoder"]["plugin"] == "latent_diffusion"
    assert not {"encoder", "encoder_name"} & set(params.rows["rrdb"].resolved())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project with a task of faces at equal size, its map, and a trained encoder."""
    for name in ("dvc.yaml", "src", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    made, rng = Layout("smoke", tmp_path), np.random.default_rng(0)
    for split in ("train", "val"):
        with (
            PackWriter(made.packs("blind") / f"{split}_hr", np.uint8) as hr,
            PackWriter(made.packs("blind") / f"{split}_lr", np.uint8) as lr,
            PackWriter(made.prior("map") / "blind" / split, np.float16) as prior,
        ):
            for name in "abcd":
                hr.add(split + name, image := rng.integers(0, 256, (16, 16, 3), np.uint8))
                lr.add(split + name, image // 2)
                prior.add(split + name, rng.random((16, 16, 1)).astype(np.float16))
    write_encoder_to(made)
    return made


TASK = Task("blind", Dataset("faces", "synthetic_faces", None), "face_dual", BicubicConfig(), 1, 16, ())
TRAINING = TrainingConfig(steps=8, batch_size=2, threads=1, validation_images=1, learning_rate=1e-3)
ENCODER = EncoderSpec("latents", "latent_diffusion", "trained", LATENTS, TRAINING, TASK)
ROW = Row(
    "diffbir", "variant", "diffbir", diffbir.Config.model_validate(TINY), TRAINING, TASK,
    PriorSpec("map", "uniform", BicubicConfig(), ("blind",)), None, True, ENCODER,
)  # fmt: skip


def write_encoder_to(layout: Layout, steps: int = 6) -> None:
    training = TRAINING.model_copy(update={"steps": steps, "ema_decay": 0.0})
    layout.encoder("latents").mkdir(parents=True)
    write_encoder(EncoderSpec(**{**vars(ENCODER), "training": training}), layout, layout.encoder("latents"))


def trained(layout: Layout) -> dict[str, object]:
    shutil.rmtree(layout.run("diffbir"), ignore_errors=True)
    layout.run("diffbir").mkdir(parents=True)
    code = train_code_sha256(layout.root, ROW)
    return train_row("diffbir", ROW.resolved(), layout, layout.run("diffbir"), code)


def test_a_run_holds_its_encoder_as_it_was(layout: Layout) -> None:
    record = trained(layout)
    kept = read_json(layout.encoder("latents") / "encoder.json")
    assert record["encoder_sha256"] == kept["weights_sha256"]
    weights = load_file(layout.encoder("latents") / "weights.safetensors")
    shutil.rmtree(layout.encoder("latents"))
    method = load_trained(layout.run("diffbir"), 0)
    assert isinstance(method, diffbir.DiffBir)
    found = method.encoder.state_dict()
    assert set(found) == set(weights) and all(torch.equal(found[name], weights[name]) for name in weights)
    assert float(method.control.of_middle.weight.abs().max()) > 0
    assert record["parameters"] == sum(value.numel() for value in method.parameters())


def test_a_row_rests_on_its_encoders_weights_and_code(layout: Layout) -> None:
    evaluation = Evaluation("diffbir", ROW, TASK, ROW.prior, True)
    before_its_run = data_sha256(layout, evaluation)
    first = trained(layout)
    of_first = data_sha256(layout, evaluation)
    assert trained(layout)["weights_sha256"] == first["weights_sha256"]
    shutil.rmtree(layout.encoder("latents"))
    write_encoder_to(layout, steps=7)
    assert trained(layout)["weights_sha256"] != first["weights_sha256"]  # the finished seed was not taken
    assert before_its_run == of_first != data_sha256(layout, evaluation)
    plain = Row(**{**vars(ROW), "encoder": None})
    assert train_code_sha256(layout.root, ROW) != train_code_sha256(layout.root, plain)
    shutil.rmtree(layout.encoder("latents"))
    with pytest.raises(SrledgerError, match="an encoder was not made"):
        trained(layout)
