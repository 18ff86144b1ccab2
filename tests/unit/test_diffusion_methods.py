"""SR3 and SRDiff: the papers' sizes, what is frozen when, and weights that are not theirs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from srledger.diffusion.config import DiffusionConfig
from srledger.diffusion.images import upsample
from srledger.diffusion.sampler import State
from srledger.errors import SrledgerError
from srledger.imresize import imresize
from srledger.methods import Batch, sr3, srdiff
from srledger.packs import PackWriter
from srledger.seeds import torch_generator
from srledger.training import loop
from srledger.training.batches import Examples
from srledger.training.checkpoint import load_weights, save_tensors
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch
from srledger.training.loop import Job, train_seed

TINY_SR3 = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention_levels": (), "dropout": 0.1, "sampling_steps": 4}
TINY_SRDIFF = {
    "width": 8, "multipliers": (1, 2), "encoder_width": 8, "encoder_blocks": 2, "encoder_growth": 4,
    "sampling_steps": 4, "pretraining": 0.5,
}  # fmt: skip


Tiny = Callable[..., sr3.Sr3 | srdiff.SrDiff]


def tiny_sr3(**settings: object) -> sr3.Sr3:
    torch.manual_seed(0)
    return sr3.Sr3(sr3.Config.model_validate({**TINY_SR3, **settings}), 4)


def tiny_srdiff(**settings: object) -> srdiff.SrDiff:
    torch.manual_seed(0)
    return srdiff.SrDiff(srdiff.Config.model_validate({**TINY_SRDIFF, **settings}), 4)


def batch(progress: float = 0.9, size: int = 2) -> Batch:
    generator = torch_generator("batch", size)
    lr = torch.rand(size, 3, 8, 8, generator=generator)
    return Batch(
        lr,
        upsample(lr, 4),
        torch.rand(size, 1, 32, 32, generator=generator),
        progress,
        torch_generator("loss"),
    )


def parameters(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


OTHERWISE: dict[str, object] = {
    "sampling_steps": 6, "sampling_end_point": "literal", "sampler": "ddim", "variance": "beta", "clip_x0": False,
    "samples": 2, "lr_fill": "literal",
}  # fmt: skip


@pytest.mark.parametrize("setting", sorted(DiffusionConfig.sampling_settings))
@pytest.mark.parametrize("tiny", [tiny_sr3, tiny_srdiff])
def test_a_setting_of_sampling_alone_changes_what_is_restored_and_no_loss(tiny: Tiny, setting: str) -> None:
    base, changed = (tiny(schedule="linear", train_steps=40, **more) for more in ({}, {setting: OTHERWISE[setting]}))
    for progress in (0.1, 0.9):  # SRDiff's two losses
        losses = []
        for method in (base, changed):
            torch.manual_seed(1)  # of dropout
            losses.append(method.train().loss(batch(progress))["total"])
        assert torch.equal(*losses)
    given = batch()
    with torch.no_grad():
        images = [method.eval().restore(given.lr, given.prior, [1, 2]) for method in (base, changed)]
    assert not torch.equal(*images)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"blocks": 2}, 97_807_491),  # SR3's public code, 16 to 128 px
        ({}, 128_805_443),  # YODA: three blocks a level
        ({"multipliers": (1, 2, 4, 8, 16), "blocks": 1, "attention_levels": (), "norm_groups": 16}, 155_334_339),
    ],
)
def test_sr3_has_the_published_sizes(settings: dict[str, object], count: int) -> None:
    with torch.device("meta"):
        assert parameters(sr3.Sr3(sr3.Config.model_validate(settings), 8)) == count


def test_srdiff_has_the_published_sizes() -> None:
    with torch.device("meta"):
        method = srdiff.SrDiff(srdiff.Config(), 4)
        wide = srdiff.SrDiff(srdiff.Config(multipliers=(1, 2, 3, 4)), 4)
    assert parameters(method.encoder) / 1e6 == pytest.approx(1.48, abs=0.005)
    assert parameters(method.denoiser) / 1e6 == pytest.approx(9.37, abs=0.005)
    assert parameters(wide.denoiser) / 1e6 == pytest.approx(11.76, abs=0.005)


@pytest.mark.parametrize("shape", [(5, 7), (4, 4), (9, 6)])
@pytest.mark.parametrize("build", [tiny_sr3, tiny_srdiff])
def test_any_image_size_is_restored(build: object, shape: tuple[int, int]) -> None:
    lr = torch.rand(1, 3, *shape, generator=torch_generator("any size"))
    prior = torch.ones(1, 1, 4 * shape[0], 4 * shape[1])
    with torch.inference_mode():
        assert build().eval().restore(lr, prior, [0]).shape == (1, 3, *prior.shape[2:])  # type: ignore[operator]


@pytest.mark.parametrize("build", [tiny_sr3, tiny_srdiff])
def test_where_nothing_is_sampled_the_enlarged_lr_image_stands(build: object) -> None:
    method = build(lower_bound=0.0).eval()  # type: ignore[operator]
    lr, prior = torch.rand(1, 3, 8, 8, generator=torch_generator("lr")), torch.zeros(1, 1, 32, 32)
    prior[..., 16:] = 1.0
    states: list[State] = []
    with torch.inference_mode():
        sr = method.restore(lr, prior, [0], states.append)
    assert torch.allclose(sr[..., :16], upsample(lr, 4)[..., :16], atol=1e-6)
    assert not torch.allclose(sr[..., 16:], upsample(lr, 4)[..., 16:], atol=1e-2)
    assert len(states) == 4


def test_the_enlarged_image_is_the_bicubic_row_away_from_the_border() -> None:
    lr = torch.rand(1, 3, 12, 12, generator=torch_generator("lr"))
    expected = torch.from_numpy(imresize(lr.numpy(), 48, 48)).clamp(0, 1).float()
    assert torch.allclose(upsample(lr, 4)[..., 8:-8, 8:-8], expected[..., 8:-8, 8:-8], atol=1e-5)


@pytest.mark.parametrize("target", ["eps", "v", "x0"])
def test_every_target_learns(target: str) -> None:
    method = tiny_sr3(target=target, dropout=0.0)
    optimizer = torch.optim.Adam(method.parameters(), lr=2e-3)
    losses = []
    for step in range(32):
        given = batch(size=4)
        total = method.loss(Batch(given.lr, given.hr, given.prior, 0.5, torch_generator("loss", step % 4)))["total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])


def test_the_encoder_learns_first_and_is_frozen_then() -> None:
    method = tiny_srdiff()
    for progress, learns in ((0.2, method.encoder), (0.7, method.denoiser)):
        method.zero_grad(set_to_none=True)
        terms = method.loss(batch(progress))
        terms["total"].backward()
        for part in (method.encoder, method.denoiser):
            assert all((value.grad is not None) == (part is learns) for value in part.parameters())
        assert set(terms) == {"total", "encoder" if learns is method.encoder else "denoiser"}
    method.train()
    method.loss(batch(0.7))
    assert not method.encoder.training


def test_the_encoder_condition_is_every_third_map_back_from_the_trunk() -> None:
    for blocks, taps in ((8, [2, 5, 8]), (2, [2]), (1, [1]), (3, [0, 3])):
        encoder = srdiff.LrEncoder(4, blocks, 4, 2)
        lr = torch.rand(1, 3, 4, 4, generator=torch_generator("lr"))
        maps = encoder.features(lr)
        assert torch.equal(encoder.condition(lr), torch.cat([maps[k] for k in taps], dim=1))
        assert srdiff.LrEncoder.taps(blocks) == len(taps)


def test_settings_that_make_no_network_are_refused() -> None:
    with pytest.raises(ValidationError, match="attention_levels"):
        sr3.Config(multipliers=(1, 2), attention_levels=(3,))
    with pytest.raises(ValidationError, match="begin with 1"):
        srdiff.Config(multipliers=(2, 2))
    with pytest.raises(ValueError, match="scale factor of 2, 4, 8"):
        srdiff.SrDiff(srdiff.Config(), 3)


@pytest.mark.parametrize(("build", "part"), [(tiny_sr3, "unet."), (tiny_srdiff, "encoder.")])
def test_weights_of_another_network_are_refused(build: object, part: str, tmp_path: Path) -> None:
    method, path = build(), tmp_path / "weights.safetensors"  # type: ignore[operator]
    tensors = method.state_dict()
    save_tensors(path, {name: value for name, value in tensors.items() if not name.startswith(part)})
    with pytest.raises(SrledgerError, match=f"(?s)another architecture.*missing {part}"):
        load_weights(method, path)
    save_tensors(path, build(width=16).state_dict())  # type: ignore[operator]
    with pytest.raises(SrledgerError, match="another architecture"):
        load_weights(method, path)


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    rng = np.random.default_rng(0)
    with (
        PackWriter(tmp_path / "task" / "train_hr", np.uint8) as hr,
        PackWriter(tmp_path / "task" / "train_lr", np.uint8) as lr,
        PackWriter(tmp_path / "prior" / "train", np.float16) as prior,
    ):
        for name in "abcd":
            hr.add(name, rng.integers(0, 256, (16, 16, 3), np.uint8))
            lr.add(name, rng.integers(0, 256, (4, 4, 3), np.uint8))
            prior.add(name, rng.random((16, 16, 1)).astype(np.float16))
    return Examples(tmp_path / "task", tmp_path / "prior", "train")


@pytest.mark.parametrize("build", [tiny_sr3, tiny_srdiff])
@pytest.mark.parametrize("stop_at", [1, 5])
def test_a_stopped_training_ends_in_the_same_bits(
    examples: Examples, tmp_path: Path, build: object, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the encoder learns, and while it is frozen."""
    settings = TrainingConfig(steps=8, batch_size=2, threads=1, precision="bf16", validation_images=1)
    prepare_torch(1, "cpu")

    def train(folder: Path) -> bytes:
        method = build()  # type: ignore[operator]
        return train_seed(Job("row", method, None, settings, examples, examples), 0, folder).weights.read_bytes()

    straight = train(tmp_path / "straight")
    draw = loop.draw_batch

    def draw_then_signal(examples, config, factor, row, seed, step):  # type: ignore[no-untyped-def]
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(examples, config, factor, row, seed, step)

    monkeypatch.setattr(loop, "draw_batch", draw_then_signal)
    with pytest.raises(KeyboardInterrupt, match=f"stopped at step {stop_at + 1}"):
        train(tmp_path / "stopped")
    monkeypatch.setattr(loop, "draw_batch", draw)
    assert train(tmp_path / "stopped") == straight
