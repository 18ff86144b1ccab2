"""The loop: the same bits whether or not it was stopped, whatever lies torn in its folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from srledger.errors import SrledgerError
from srledger.methods.landmark_unet import Config, LandmarkUnet, heat_loss, heat_schedule, heat_weights
from srledger.packs import PackWriter
from srledger.training import loop
from srledger.training.batches import Examples, draw_batch, positions_of_step
from srledger.training.checkpoint import CheckpointStore, load_weights, save_tensors
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch
from srledger.training.loop import Job, learning_rate_at, train_seed

SETTINGS = TrainingConfig(
    steps=12, batch_size=3, threads=1, log_every_steps=5, checkpoint_every_steps=4, validate_every_steps=6
)


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    rng = np.random.default_rng(0)
    with (
        PackWriter(tmp_path / "task" / "train_hr", np.uint8) as hr,
        PackWriter(tmp_path / "task" / "train_lr", np.uint8) as lr,
        PackWriter(tmp_path / "prior" / "train", np.float16) as prior,
    ):
        for name in ("a", "b", "c", "d", "e"):
            hr.add(name, rng.integers(0, 256, (32, 32, 3), np.uint8))
            lr.add(name, rng.integers(0, 256, (8, 8, 3), np.uint8))
            prior.add(name, rng.random((32, 32, 1)).astype(np.float16))
    return Examples(tmp_path / "task", tmp_path / "prior", "train")


def job(examples: Examples, settings: TrainingConfig = SETTINGS) -> Job:
    prepare_torch(settings.threads, settings.device)
    torch.manual_seed(0)
    method = LandmarkUnet(Config(width=4, up_widths=(4, 4), refine_blocks=1), 4)
    return Job("row", method, None, settings, examples, examples)


@pytest.mark.parametrize("settings", [SETTINGS, SETTINGS.model_copy(update={"precision": "bf16"})])
@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_a_stopped_training_ends_in_the_same_bits(
    examples: Examples, tmp_path: Path, stop_at: int, settings: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train_seed(job(examples, settings), 0, tmp_path / "straight")
    draw = loop.draw_batch

    def draw_then_signal(examples, config, factor, row, seed, step):  # type: ignore[no-untyped-def]
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(examples, config, factor, row, seed, step)

    monkeypatch.setattr(loop, "draw_batch", draw_then_signal)
    with pytest.raises(KeyboardInterrupt, match=f"stopped at step {stop_at + 1}"):
        train_seed(job(examples, settings), 0, tmp_path / "stopped")
    monkeypatch.setattr(loop, "draw_batch", draw)
    resumed = train_seed(job(examples, settings), 0, tmp_path / "stopped")
    assert resumed.weights.read_bytes() == straight.weights.read_bytes()
    assert resumed.curves == straight.curves


def test_a_finished_seed_is_taken_as_it_is(examples: Examples, tmp_path: Path) -> None:
    first = train_seed(job(examples), 0, tmp_path / "run")
    written = first.weights.stat().st_mtime_ns
    assert train_seed(job(examples), 0, tmp_path / "run") == first
    assert first.weights.stat().st_mtime_ns == written
    assert not list((tmp_path / "run").glob("step_*"))


def test_seeds_differ_and_repeat(examples: Examples, tmp_path: Path) -> None:
    weights = [train_seed(job(examples), seed, tmp_path / f"{k}").weights_sha256 for k, seed in enumerate((0, 1, 0))]
    assert weights[0] == weights[2] != weights[1]


def test_resume_walks_back_over_torn_checkpoints(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(4, {"x": torch.ones(3)}, {"step": 4})
    store.save(8, {"x": torch.ones(3) * 2}, {"step": 8})
    (tmp_path / "step_00000008.safetensors").write_bytes(b"torn")
    (tmp_path / "step_00000012.safetensors").write_bytes(b"no header was written")
    found = store.newest_valid()
    assert found is not None
    tensors, state, notes = found
    assert state == {"step": 4} and torch.equal(tensors["x"], torch.ones(3))
    assert len(notes) == 2 and "step 12" in notes[0] and "step 8" in notes[1]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(examples: Examples, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(
        update={"learning_rate": 1e30, "gradient_clip_norm": None, "checkpoint_every_steps": 1}
    )
    with pytest.raises(SrledgerError, match="no longer a number"):
        train_seed(job(examples, settings), 0, tmp_path)
    assert list(tmp_path.glob("step_*.json")) and not (tmp_path / "finished.json").exists()


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    small = LandmarkUnet(Config(width=4), 4)
    save_tensors(tmp_path / "weights.safetensors", {**small.state_dict(), "extra": torch.ones(1)})
    with pytest.raises(SrledgerError, match="left over extra"):
        load_weights(small, tmp_path / "weights.safetensors")
    with pytest.raises(SrledgerError, match="weights of another architecture"):
        load_weights(LandmarkUnet(Config(width=8), 4), tmp_path / "weights.safetensors")


def test_an_epoch_visits_every_image_once() -> None:
    seen = [position for step in range(5) for position in positions_of_step(5, 3, "row", 0, step)]
    assert sorted(seen[:5]) == sorted(seen[5:10]) == sorted(seen[10:]) == list(range(5))
    assert seen[:5] != seen[5:10]


def test_a_flip_moves_image_and_prior_together(examples: Examples) -> None:
    flipped = set()
    for step in range(8):
        lr, hr, prior = draw_batch(examples, SETTINGS, 4, "row", 0, step)
        for k, position in enumerate(positions_of_step(5, 3, "row", 0, step)):
            expected = [array.transpose(2, 0, 1).astype(np.float32) for array in examples[position]]
            is_flipped = not np.allclose(hr[k] * 255, expected[0])
            flipped.add(is_flipped)
            turn = (lambda array: array[..., ::-1]) if is_flipped else (lambda array: array)
            assert np.allclose(hr[k] * 255, turn(expected[0]))
            assert np.allclose(lr[k] * 255, turn(expected[1]))
            assert np.allclose(prior[k], turn(expected[2]))
    assert flipped == {True, False}


def test_a_crop_is_the_same_place_of_lr_and_hr(tmp_path: Path) -> None:
    grid = np.arange(64, dtype=np.uint8).reshape(8, 8)
    with (
        PackWriter(tmp_path / "t" / "train_hr", np.uint8) as hr,
        PackWriter(tmp_path / "t" / "train_lr", np.uint8) as lr,
        PackWriter(tmp_path / "p" / "train", np.float16) as prior,
    ):
        small = np.repeat(grid[..., None], 3, axis=2)
        lr.add("a", small)
        hr.add("a", small.repeat(2, 0).repeat(2, 1))
        prior.add("a", np.ones((1, 1, 1), np.float16))
    settings = SETTINGS.model_copy(update={"crop_px": 8, "batch_size": 2})
    for step in range(4):
        lr_crop, hr_crop, prior_crop = draw_batch(
            Examples(tmp_path / "t", tmp_path / "p", "train"), settings, 2, "r", 0, step
        )
        assert hr_crop.shape == (2, 3, 8, 8) and prior_crop.shape == (2, 1, 8, 8)
        assert torch.equal(hr_crop[..., ::2, ::2], lr_crop)


def test_learning_rate_schedule() -> None:
    settings = SETTINGS.model_copy(update={"steps": 100, "warmup_steps": 10, "learning_rate": 1.0})
    assert learning_rate_at(settings, 0) == pytest.approx(0.1)
    assert learning_rate_at(settings, 10) == pytest.approx(1.0)
    assert learning_rate_at(settings, 55) == pytest.approx(0.5)
    assert learning_rate_at(settings, 99) < 0.001


def test_the_paper_network_has_the_published_parameter_count() -> None:
    assert sum(value.numel() for value in LandmarkUnet(Config(), 8).parameters()) == 7_306_371


def test_heat_weights_and_schedule() -> None:
    ramp = torch.linspace(0, 1, 16).reshape(1, 1, 4, 4)
    weights = heat_weights(ramp * 0.5 + 0.2, gamma=1.3, floor=0.1)
    assert weights.min() == pytest.approx(0.1) and weights.max() == pytest.approx(1.0)
    assert torch.equal(heat_weights(torch.full((1, 1, 4, 4), 0.7), 1.3, 0.1), torch.ones(1, 1, 4, 4))
    sr, hr = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    assert heat_loss(sr, hr, weights) == pytest.approx(1.0)  # a weighted mean of a constant is the constant
    assert [heat_schedule(t) for t in (0.0, 0.3, 0.5, 0.85)] == pytest.approx([0.6, 1, 1, 1])
    assert heat_schedule(1.0) == pytest.approx(0.75)


def test_a_single_pixel_is_not_convolved_in_bf16() -> None:
    torch.manual_seed(0)
    method, lr = LandmarkUnet(Config(width=4, up_widths=(4, 4), refine_blocks=0), 4), torch.randn(2, 3, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(method(lr), method(lr))
