"""Transfers with settings of their own: a row's weights restore otherwise, under a name of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from reporting_fixture import ROWS, build_rows

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.io import read_json, write_json
from srledger.provenance import params_sha256, stage_code
from srledger.reporting.config import ReportConfig
from srledger.reporting.render import render_report
from srledger.yamlmap import YamlFile


def load(folder: Path, row: str, config: str) -> Params:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    variant = text.split(f"\n  {row}:", 1)[1].split("\n  ", 1)[1]
    task = variant.split("task: ", 1)[1].split("\n", 1)[0]
    prior = variant.split("prior: ", 1)[1].split("\n", 1)[0]
    line = f"\ntransfers:\n  mine: {{ row: {row}, task: {task}, prior: {prior}, config: {config} }}\n"
    (folder / "params.yaml").write_text(text.replace("\ntransfers:\n", line), encoding="utf-8")
    return Params(YamlFile.read(folder / "params.yaml"), "quick")


def test_it_restores_with_the_rows_weights_and_its_own_settings(tmp_path: Path) -> None:
    params = load(tmp_path, "vosr", "{ sampling_steps: 3 }")
    found, row = params.evaluations["mine"], params.rows["vosr"]
    assert (found.name, found.row.name, found.row.trained) == ("mine", "mine", row)
    changed = {key for key, value in found.row.config if value != getattr(row.config, key)}
    assert changed == {"sampling_steps"} and found.row.config.sampling_steps == 3  # type: ignore[attr-defined]
    assert params_sha256(params, found) != params_sha256(params, params.evaluations["vosr"])
    assert found.active and "mine" not in params.rows


def test_its_numbers_move_with_its_settings_and_with_the_rows(tmp_path: Path) -> None:
    def hashed(config: str) -> str:
        params = load(tmp_path, "vosr", config)
        return params_sha256(params, params.evaluations["mine"])

    first = hashed("{ sampling_steps: 3 }")
    assert hashed("{ sampling_steps: 3 }") == first != hashed("{ sampling_steps: 4 }")


@pytest.mark.parametrize(
    ("row", "config", "said"),
    [
        ("vosr", "{ partial_share: 0.2 }", ("has read", "partial_share", "sampling_steps")),
        ("vosr", "{ sampling_stps: 3 }", ("sampling_stps", "nearest", "sampling_steps")),
        ("vosr", "{ sampling_steps: none }", ("sampling_steps", "integer")),
        ("vosr", "{ sampling_steps: 25 }", ("are those of 'vosr'", "sampling_steps")),
        ("rrdb", "{ width: 8 }", ("has read", "width", "no settings of its own")),
    ],
)
def test_what_its_training_has_read_stays_as_it_was(
    tmp_path: Path, row: str, config: str, said: tuple[str, ...]
) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, row, config).evaluations["mine"]
    assert all(word in str(caught.value) for word in said), caught.value


def test_its_stage_knows_of_its_settings_and_its_code() -> None:
    """What DVC watches of it, so that an edit of a setting measures it again."""
    stage = YamlFile.read(ROOT / "dvc.yaml").values["stages"]["evaluate_transfers"]["do"]
    assert "transfers.${key}" in stage["params"]
    code = stage_code(ROOT, "evaluate_transfers", {"key": "vosr_4_steps", "method": "vosr"})
    assert ROOT / "src/srledger/evaluation/restore.py" in code


def test_a_report_says_whose_weights_it_restores_with_and_how(tmp_path: Path) -> None:
    folder = build_rows(tmp_path / "rows", failed=None)
    results = read_json(folder / "results.json")
    for record in results["results"]:
        if record["row"] == "unet":
            record["config"] = {"sampling_steps": 25, "guidance": 0.5}
        elif (record["row"], record["task"]) == ("sr3_yoda", "faces_x8"):
            record |= {"weights_of": "unet", "config": {"sampling_steps": 4, "guidance": 0.5}}
    write_json(folder / "results.json", results)
    (tmp_path / "published").mkdir()
    render_report(folder, tmp_path / "out", ReportConfig(bootstrap_resamples=100), tmp_path / "published", ROWS)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("was not trained") == 1
    assert "sr3_yoda was not trained: it restores with the weights of unet, sampling_steps 4." in page
