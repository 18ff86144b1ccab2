"""A trained row on tasks of other scale factors: methods that enlarge first may, the others say that they can't."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from reporting_fixture import ROWS, build_rows

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.evaluation.config import EvaluationConfig
from srledger.evaluation.restore import load_method, restore_batch
from srledger.io import read_json, write_json
from srledger.layout import Layout
from srledger.methods.sr3 import Config as Sr3Config
from srledger.packs import PackWriter
from srledger.reporting.config import ReportConfig
from srledger.reporting.render import render_report
from srledger.training.batches import Examples
from srledger.training.checkpoint import save_tensors
from srledger.training.run import build_method
from srledger.yamlmap import YamlFile

SMALL = Sr3Config(width=8, multipliers=(1, 2), attention_levels=(), norm_groups=4, sampling_steps=2)


def load(folder: Path, row: str, task: str) -> Params:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    line = f"\ntransfers:\n  mine: {{ row: {row}, task: {task}, prior: uniform }}\n"
    (folder / "params.yaml").write_text(text.replace("\ntransfers:\n", line), encoding="utf-8")
    return Params(YamlFile.read(folder / "params.yaml"), "quick")


@pytest.mark.parametrize(("row", "task"), [("sr3", "faces_x8"), ("bicubic", "photos_x4"), ("diffbir", "faces_x4")])
def test_a_method_that_enlarges_first_may_be_measured_at_another_factor(tmp_path: Path, row: str, task: str) -> None:
    evaluation = load(tmp_path, row, task).evaluations["mine"]
    assert evaluation.row.task.scale_factor != evaluation.task.scale_factor


@pytest.mark.parametrize(("row", "task"), [("rrdb", "faces_x4"), ("srdiff", "faces_x8"), ("landmark_unet", "faces_x4")])
def test_another_method_says_what_it_was_trained_for(tmp_path: Path, row: str, task: str) -> None:
    with pytest.raises(SrledgerError) as error:
        load(tmp_path, row, task).evaluations["mine"]
    said = str(error.value)
    assert "can't be measured at another scale factor" in said and "params.yaml:" in said and "transfers.mine" in said
    assert f"x{task[-1]}" in said and f"as {row} was trained" in said and "bicubic" in said and "sr3" in said


def test_at_its_own_factor_every_row_may_be_measured_on_another_degradation(tmp_path: Path) -> None:
    assert load(tmp_path, "rrdb", "faces_x8_chain").evaluations["mine"].task.degradation == "bilinear_chain"


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_weights_of_one_factor_restore_at_others(tmp_path: Path, factor: int) -> None:
    params, layout = load(tmp_path, "sr3", "faces_x8"), Layout("quick", tmp_path)
    found = params.evaluations["mine"]
    row = dataclasses.replace(found.row, config=SMALL)
    evaluation = dataclasses.replace(found, row=row, task=dataclasses.replace(found.task, scale_factor=factor))
    weights = layout.run("sr3") / "seed0" / "weights.safetensors"
    weights.parent.mkdir(parents=True)
    trained = build_method(row.resolved(), seed=0)
    with torch.no_grad():
        for value in trained.parameters():
            value.add_(0.01)
    save_tensors(weights, trained.state_dict())
    rng = np.random.default_rng(0)
    with (
        PackWriter(tmp_path / "task" / "test_hr", np.uint8) as hr,
        PackWriter(tmp_path / "task" / "test_lr", np.uint8) as lr,
    ):
        hr.add("a", rng.integers(0, 256, (32, 48, 3), np.uint8))
        lr.add("a", rng.integers(0, 256, (32 // factor, 48 // factor, 3), np.uint8))
    method = load_method(evaluation, layout, 0)
    assert method.scale_factor == factor and trained.scale_factor == 4
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in method.state_dict().items())
    settings = EvaluationConfig.model_validate({**params.evaluation.model_dump(), "device": "cpu", "precision": "fp32"})
    sr, _ = restore_batch(method, Examples(tmp_path / "task", None, "test"), [0], "sr3", 0, settings)
    assert sr.shape == (1, 3, 32, 48) and sr.dtype == torch.uint8


def test_a_report_says_that_a_row_was_trained_for_another_factor(tmp_path: Path) -> None:
    folder = build_rows(tmp_path / "rows", failed=None)
    results = read_json(folder / "results.json")
    for record in results["results"]:
        record["trained_on"] = {"unet": "faces_x4", "sr3_yoda": "faces_x8"}.get(record["row"])
    write_json(folder / "results.json", results)
    (tmp_path / "published").mkdir()
    render_report(folder, tmp_path / "out", ReportConfig(bootstrap_resamples=100), tmp_path / "published", ROWS)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("was trained on") == 2
    assert "unet was trained on faces_x4 (x4; here it is x8) and is measured here as it is" in page
    assert "sr3_yoda was trained on faces_x8 (x8; here it is x4)" in page
