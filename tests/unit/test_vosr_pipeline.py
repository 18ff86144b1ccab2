"""VOSR's rows in the pipeline: how a student is trained, what it depends on, what a run says of itself."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from test_config import load
from vosr_tools import TOKENS, images

from srledger.config import Params
from srledger.encoders.latent_diffusion import Config as LatentConfig
from srledger.errors import SrledgerError
from srledger.layout import Layout
from srledger.methods import vosr
from srledger.methods.bicubic import Config as BicubicConfig
from srledger.packs import PackWriter
from srledger.pipeline_encoders import write_encoder
from srledger.provenance import params_sha256, train_code_sha256
from srledger.settings import Dataset, EncoderSpec, PriorSpec, Row, Task
from srledger.tracking.mirror import _flat
from srledger.training.config import TrainingConfig
from srledger.training.run import load_trained, train_row

TASK = Task("small", Dataset("faces", "synthetic_faces", None), "face_dual", BicubicConfig(), 1, 16, ())
TRAINING = TrainingConfig(steps=6, batch_size=2, threads=1, validation_images=1, learning_rate=1e-3)
LATENTS = LatentConfig(widths=(8, 8), denoiser_width=8, denoiser_multipliers=(1, 2))
ENCODER = EncoderSpec("latents", "latent_diffusion", "random", LATENTS, TRAINING, TASK)
CONFIG = vosr.Config(token_channels=TOKENS, sampling_steps=2)
CONFIG_OF_STUDENT = vosr.Config(token_channels=TOKENS, one_step=True)
TEACHER = Row(
    "vosr", "variant", "vosr", CONFIG, TRAINING, TASK, PriorSpec("map", "uniform", BicubicConfig(), ("small",)), None,
    True, ENCODER,
)  # fmt: skip


def run(row: Row, layout: Layout) -> Path:
    folder = layout.run(row.name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train_row(row.name, row.resolved(), layout, folder, train_code_sha256(layout.root, row))
    return folder


def weights_of(row: Row, layout: Layout) -> dict[str, torch.Tensor]:
    return load_file(run(row, layout) / "seed0" / "weights.safetensors")


def student(name: str, **training: object) -> Row:
    changed = {"name": name, "kind": "student", "teacher": TEACHER, "config": CONFIG_OF_STUDENT}
    return Row(**{**vars(TEACHER), **changed, "training": TRAINING.model_copy(update=training)})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Three images of a task, an untrained codec, and a teacher that has learnt for some steps."""
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
    run(TEACHER, layout)
    return layout


def test_a_student_starts_from_its_teachers_finished_weights(layout: Layout) -> None:
    """These are the averaged ones; it is hardly moved by hardly a step."""
    taught = load_file(layout.run("vosr") / "seed0" / "weights.safetensors")
    found = weights_of(student("still", steps=1, learning_rate=1e-12), layout)
    assert all(torch.allclose(found[name], taught[name], atol=1e-7) for name in taught)
    assert {name for name in found if name not in taught} == {
        f"network.jump.mlp.{layer}.{part}" for layer, part in itertools.product((0, 2), ("weight", "bias"))
    }


def test_a_student_is_trained_and_restores(layout: Layout) -> None:
    curves = (run(student("moved"), layout) / "seed0" / "curves.csv").read_text()
    assert "loss_velocity" in curves and "loss_consistency" in curves and "psnr_rgb_val" in curves
    restored = load_trained(layout.run("moved"), 0).restore(images(1, 3, 16, 16), torch.ones(1, 1, 16, 16), [0])
    assert restored.shape == (1, 3, 16, 16) and torch.isfinite(restored).all()


def test_a_student_is_trained_anew_when_its_teacher_has_changed(layout: Layout) -> None:
    row = student("onestep", steps=2)
    first = weights_of(row, layout)
    finished = {path: path.stat().st_mtime_ns for path in layout.root.rglob("scratch/**/finished.json")}
    again = weights_of(row, layout)
    assert all(torch.equal(again[name], first[name]) for name in first)
    assert {path: path.stat().st_mtime_ns for path in layout.root.rglob("scratch/**/finished.json")} == finished
    settings = {**vars(TEACHER), "training": TRAINING.model_copy(update={"learning_rate": 2e-3})}
    run(Row(**settings), layout)
    changed = weights_of(row, layout)
    assert any(not torch.equal(changed[name], first[name]) for name in first)
    others = set(layout.root.rglob("scratch/**/finished.json")) - set(finished)
    assert {path.relative_to(layout.root).parts[2] for path in others} == {"vosr", "onestep"}


ROW = "{ method: vosr, task: faces_blind, prior: uniform, encoder: latent_diffusion, config: { sampling_steps: 25 } }"
STUDENT = (
    "{ teacher: flow, method: vosr, task: faces_blind, prior: uniform, encoder: latent_diffusion, "
    "config: { one_step: true, target_guidance: 0.25 } }"
)
ROWS = (
    ("variants:\n", f"variants:\n  flow: {ROW}\n"),
    ("students:\n", f"students:\n  flow_onestep: {STUDENT}\n"),
    ("transfers:\n", "transfers:\n  flow_on_faces_x4: { row: flow, task: faces_x4, prior: uniform }\n"),
)


def of_row(params: Params, name: str) -> str:
    return params_sha256(params, params.evaluations[name])


def test_a_students_numbers_are_stale_when_its_teacher_is_another(tmp_path: Path) -> None:
    """By the hash of settings that every cell holds: the student's own are the same."""
    before = load(tmp_path, *ROWS, scale="quick")
    hashes = {name: of_row(before, name) for name in ("flow", "flow_onestep", "bicubic")}
    again = load(tmp_path, *ROWS, scale="quick")
    assert {name: of_row(again, name) for name in hashes} == hashes
    for old, new in (("sampling_steps: 25", "partial_share: 0.2"), ("sampling_steps: 25", "size: small")):
        edited = ROW.replace(old, new)
        after = load(tmp_path, ("variants:\n", f"variants:\n  flow: {edited}\n"), *ROWS[1:], scale="quick")
        moved = {name for name in hashes if of_row(after, name) != hashes[name]}
        assert moved == {"flow", "flow_onestep"}


def test_what_a_run_logs_is_what_it_samples_with(tmp_path: Path) -> None:
    """The settings of a run, which MLflow shows as parameters, name w and alpha of every row, written out or not."""
    params = load(tmp_path, *ROWS, scale="quick")
    logged = {name: dict(_flat(params.rows[name].resolved())) for name in ("flow", "flow_onestep")}
    names = ("config.guidance", "config.guidance_alpha", "config.sampling_steps")
    assert [logged["flow"][name] for name in names] == [0.5, 0.1, 25]
    assert [logged["flow_onestep"][name] for name in names] == [0.25, 0.1, 1]


def test_a_row_may_be_measured_at_a_scale_factor_that_it_has_not_learnt(tmp_path: Path) -> None:
    found = load(tmp_path, *ROWS, scale="quick").evaluations["flow_on_faces_x4"]
    assert (found.row.task.scale_factor, found.task.scale_factor) == (1, 4)
    other = (ROWS[2][0], ROWS[2][1].replace("row: flow,", "row: landmark_unet,"))
    with pytest.raises(SrledgerError, match="'landmark_unet' can't be measured at another scale factor"):
        load(tmp_path, *ROWS[:2], other, scale="quick").evaluations["flow_on_faces_x4"]
