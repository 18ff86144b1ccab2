"""A row that names two frozen networks: what its method builds on, and what its loss alone compares images with."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from osdface_tools import PRIOR, SIZES, VIT
from safetensors.torch import load_file

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.io import read_json, write_json
from srledger.layout import Layout
from srledger.methods import osdface
from srledger.methods.bicubic import Config as BicubicConfig
from srledger.packs import PackWriter
from srledger.pipeline_encoders import load_encoder, write_encoder
from srledger.prior_config import why_no_encoder
from srledger.provenance import data_sha256, train_code_sha256
from srledger.row_encoders import pair_record
from srledger.settings import Dataset, EncoderSpec, Evaluation, PriorSpec, Row, Task
from srledger.training.config import TrainingConfig
from srledger.training.run import load_trained, train_row

PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")
PAIR = ("encoder_pairs:\n", "encoder_pairs:\n  judged: { encoder: face_prior, judge: tiny_dino_vit }\n")
OSDFACE = "    method: osdface\n    task: faces_blind\n    prior: vre_prompts\n    encoder: face_prior_judged\n"
ROW_OF_PAIR = (OSDFACE, OSDFACE.replace("face_prior_judged", "judged"))
ROW_ALONE = (OSDFACE, OSDFACE.replace("face_prior_judged", "face_prior"))
DIFFBIR = "    method: diffbir\n    task: faces_blind\n    prior: uniform\n    encoder: latent_diffusion\n"
OF_PRIOR = "    encoder: prompted_diffusion\n    task: faces_blind\n    scales: *beyond_smoke\n"
AT_QUICK = (OF_PRIOR, OF_PRIOR.replace("*beyond_smoke", "[quick, celeba_cpu]"))


def load(tmp_path: Path, *edits: tuple[str, str], scale: str = "quick") -> Params:
    text = PARAMS
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params.load(tmp_path, scale)


def test_a_row_may_name_a_pair(tmp_path: Path) -> None:
    params = load(tmp_path, PAIR, ROW_OF_PAIR)
    row, alone = params.rows["osdface"], load(tmp_path, ROW_ALONE).rows["osdface"]
    assert row.active and row.encoder is not None and row.encoder.judge is not None and alone.encoder is not None
    resolved = row.resolved()
    assert resolved["encoder_name"] == "judged" and resolved["encoder"]["judge"]["plugin"] == "tiny_dino_vit"
    assert {key: value for key, value in resolved["encoder"].items() if key != "judge"} == alone.encoder.resolved()
    assert train_code_sha256(ROOT, row) != train_code_sha256(ROOT, alone)


def test_a_pair_is_there_where_both_of_its_encoders_are(tmp_path: Path) -> None:
    assert why_no_encoder(load(tmp_path, PAIR, ROW_OF_PAIR), "judged") is None
    for scale in ("smoke", "celeba_gpu"):  # which make no face_prior
        params = load(tmp_path, PAIR, ROW_OF_PAIR, AT_QUICK, scale=scale)
        assert "has no encoder 'face_prior'" in str(why_no_encoder(params, "judged"))
        assert not params.is_active("osdface")


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([(PAIR[0], PAIR[1].replace("dino_vit", "dino_vti"))], ["unknown encoder", "nearest:  tiny_dino_vit"]),
        ([(PAIR[0], PAIR[1].replace("tiny_dino_vit", "none"))], ["'none' is no network"]),
        ([(PAIR[0], PAIR[1].replace("tiny_dino_vit", "landmark_oracle"))], ["'landmark_oracle' is no network"]),
        ([(PAIR[0], PAIR[1].replace("judged:", "kl_vae:"))], ["has the name of an encoder or a row"]),
        ([(OSDFACE, OSDFACE.replace("face_prior_judged", "face_piror"))], ["unknown encoder", "nearest:  face_prior"]),
        (
            [(OSDFACE, OSDFACE.replace("face_prior_judged", "latent_diffusion"))],
            ["can't build on", "denoises: face_prior"],
        ),
        (
            [(DIFFBIR, DIFFBIR.replace("latent_diffusion", "face_prior"))],
            ["can't build on", "denoises: latent_diff"],
        ),
        (
            [
                (PAIR[0], PAIR[1].replace("face_prior", "latent_diffusion")),
                (DIFFBIR, DIFFBIR.replace("latent_diffusion", "judged")),
            ],
            ["'diffbir' has no use for a judge", "the encoder 'latent_diffusion' by itself"],
        ),
        (
            [PAIR, ROW_OF_PAIR, ("rows: [bicubic, land", "rows: [osdface, bicubic, land")],
            ["row 'osdface' runs at other scales"],
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path: Path, edits: list[tuple[str, str]], said: list[str]) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, *edits)
    for words in ("params.yaml:", *said):
        assert words in str(caught.value), str(caught.value)


TASK = Task("blind", Dataset("faces", "synthetic_faces", None), "face_dual", BicubicConfig(), 1, 16, ())
TRAINING = TrainingConfig(steps=4, batch_size=2, threads=1, validation_images=1, learning_rate=1e-3)
JUDGE = EncoderSpec("vit", "tiny_dino_vit", "random", VIT, TRAINING, TASK)
ENCODER = EncoderSpec("pair", "prompted_diffusion", "random", PRIOR, TRAINING, TASK, JUDGE)
ROW = Row(
    "faces", "variant", "osdface", osdface.Config.model_validate({**SIZES, "gan_warm_up": 0.0}), TRAINING, TASK,
    PriorSpec("map", "uniform", BicubicConfig(), ("blind",)), None, True, ENCODER,
)  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project with a task of faces at equal size, no prompts, and both encoders with their pair."""
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
                prior.add(split + name, np.ones((1, 1, 1), np.float16))
    write_one(made, EncoderSpec(**{**vars(ENCODER), "name": "prior", "judge": None}))
    write_one(made, JUDGE)
    join(made)
    return made


def write_one(layout: Layout, spec: EncoderSpec) -> None:
    shutil.rmtree(layout.encoder(spec.name), ignore_errors=True)
    layout.encoder(spec.name).mkdir(parents=True)
    write_encoder(spec, layout, layout.encoder(spec.name))


def join(layout: Layout) -> None:
    layout.encoder("pair").mkdir(exist_ok=True)
    write_json(
        layout.encoder("pair") / "encoder.json", pair_record("pair", {"encoder": "prior", "judge": "vit"}, layout)
    )


def trained(layout: Layout) -> dict[str, object]:
    shutil.rmtree(layout.run("faces"), ignore_errors=True)
    layout.run("faces").mkdir(parents=True)
    return train_row("faces", ROW.resolved(), layout, layout.run("faces"), train_code_sha256(layout.root, ROW))


def other_judge(layout: Layout) -> None:
    write_one(layout, EncoderSpec(**{**vars(JUDGE), "training": TRAINING.model_copy(update={"seeds": (1,)})}))


def test_a_pair_is_loaded_as_its_encoder_with_its_judge(layout: Layout) -> None:
    pair, alone = load_encoder(layout.encoder("pair")), load_encoder(layout.encoder("prior"))
    assert alone.judge is None and pair.judge is not None and pair is not alone
    assert set(pair.state_dict()) == set(alone.state_dict())
    faces = torch.rand(1, 3, 16, 16)
    assert torch.equal(pair.judge.embed(faces), load_encoder(layout.encoder("vit")).embed(faces))
    other_judge(layout)
    with pytest.raises(SrledgerError, match=r"(?s)encoders of a pair have changed.*join_encoders@pair"):
        load_encoder(layout.encoder("pair"))
    shutil.rmtree(layout.encoder("vit"))
    with pytest.raises(SrledgerError, match=r"(?s)was not made.*train_encoder@vit"):
        join(layout)


def test_a_run_holds_nothing_of_the_judge_and_restores_without_it(layout: Layout) -> None:
    record = trained(layout)
    run = layout.run("faces")
    assert record["encoder_sha256"] == read_json(layout.encoder("pair") / "encoder.json")["weights_sha256"]
    assert "loss_identity" in (run / "seed0" / "curves.csv").read_text()
    saved = load_file(run / "seed0" / "weights.safetensors")
    shutil.rmtree(layout.encoder("pair").parent)
    method = load_trained(run, 0)
    assert set(saved) == set(method.state_dict()) and not any("vit" in name or "judge" in name for name in saved)
    assert record["parameters"] == sum(value.numel() for value in method.parameters())
    lr = torch.rand(2, 3, 16, 16)
    assert method.restore(lr, torch.ones(2, 1, 16, 16), [0, 1]).isfinite().all()


def test_the_judges_weights_decide_those_of_the_row(layout: Layout) -> None:
    evaluation = Evaluation("faces", ROW, TASK, ROW.prior, True)
    first = trained(layout)
    rested_on = data_sha256(layout, evaluation)
    assert trained(layout)["weights_sha256"] == first["weights_sha256"]
    other_judge(layout)
    join(layout)
    second = trained(layout)
    assert second["encoder_sha256"] != first["encoder_sha256"] and second["weights_sha256"] != first["weights_sha256"]
    assert data_sha256(layout, evaluation) != rested_on
    assert len(list((layout.root / "scratch" / "smoke" / "faces" / "seed0").iterdir())) == 2
