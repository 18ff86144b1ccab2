"""The ablation grid with the real DVC: it runs alone, reruns what changed, and one failed row stops no other."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from conftest import Workspace

GRID = "ablations/dvc.yaml"
BASE, OFF, GAMMA = "landmark_unet__base", "landmark_unet__heatmap_off", "landmark_unet__gamma_0_5"
OFF_LEVEL = "off: { config.lambda_heat: 0.0 }"


@pytest.fixture(scope="module")
def swept(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy in which the grid has run once, cut to the rows of scale `smoke`; tests must not change it."""
    workspace = finished.copy_to(tmp_path_factory.mktemp("swept") / "project")
    params = workspace.folder / "params.yaml"
    text = re.sub(r"(?ms)^  landmark_unet_lambda:\n.*?(?=^  landmark_unet_gamma:)", "", params.read_text("utf-8"))
    text = re.sub(r"(?ms)^  landmark_unet_floor:\n.*?(?=^metrics:)", "\n", text)
    params.write_text(text.replace("values: [0.5, 1.0, 3.0]", "values: [0.5]"), encoding="utf-8")
    workspace.run("srledger", "ablations", "--write")
    ran = stages_run(workspace.run("dvc", "repro", GRID).stdout)
    assert not [stage for stage in ran if "landmark_unet" in stage and "__" not in stage]  # none of the main rows
    return workspace


@pytest.fixture
def copy(swept: Workspace, tmp_path: Path) -> Workspace:
    return swept.copy_to(tmp_path / "copy")


def stages_run(output: str) -> set[str]:
    return {
        line.split("'")[1].removeprefix(f"{GRID}:") for line in output.splitlines() if line.startswith("Running stage")
    }


def cells(workspace: Workspace) -> dict[tuple[str, str, str], dict[str, str]]:
    with (workspace.folder / "reports/smoke_ablations/cells.csv").open(encoding="utf-8", newline="") as file:
        return {(cell["table"], cell["row"], cell["metric"]): cell for cell in csv.DictReader(file)}


def test_every_table_holds_its_base_and_its_rows(swept: Workspace) -> None:
    found = cells(swept)
    assert {key[:2] for key in found} == {
        ("landmark_unet_heatmap", BASE), ("landmark_unet_heatmap", OFF),
        ("landmark_unet_gamma", BASE), ("landmark_unet_gamma", GAMMA),
    }  # fmt: skip
    values = {row: found[table, row, "psnr_rgb"]["value"] for table, row, _ in found}
    assert len(set(values.values())) == 3 and all(float(value) > 10 for value in values.values())
    compared = (swept.folder / "reports/smoke_ablations/tables/landmark_unet_gamma_comparison.md").read_text("utf-8")
    assert f"minus {BASE}" in compared
    page = (swept.folder / "reports/smoke_ablations/index.html").read_text("utf-8")
    assert 'href="../smoke/index.html"' in page


def test_the_second_run_runs_nothing(swept: Workspace) -> None:
    assert stages_run(swept.run("dvc", "repro", GRID).stdout) == set()


def test_the_report_is_what_its_rows_give(swept: Workspace) -> None:
    for options in (("--scale", "smoke", "--ablations"), ("--scale", "smoke_ablations")):
        assert "3 rows re-rendered" in swept.run("srledger", "report", *options, "--check").stdout
    explained = swept.run("srledger", "explain", f"psnr_rgb/{GAMMA}/faces_x8").stdout
    assert "srledger report --scale smoke_ablations --check" in explained


def test_one_level_changed_runs_one_row(copy: Workspace) -> None:
    before = cells(copy)
    copy.edit("params.yaml", OFF_LEVEL, "off: { config.lambda_heat: 0.25 }")
    refused = copy.run("dvc", "repro", GRID, check=False)
    assert refused.returncode != 0 and "srledger ablations --write" in refused.stderr
    assert copy.run("srledger", "config", check=False).returncode == 1

    copy.run("srledger", "ablations", "--write")
    ran = stages_run(copy.run("dvc", "repro", GRID).stdout)
    assert ran == {"grid", f"train@{OFF}", f"evaluate@{OFF}", "gate_rows", "probes", "report", "machine"}
    after = cells(copy)
    moved = {row for table, row, metric in after if after[table, row, metric] != before[table, row, metric]}
    assert moved == {OFF}


def test_fewer_test_images_train_nothing(copy: Workspace) -> None:
    before = "training: { seeds: [0] }\n      evaluation: {"
    copy.edit("params.yaml", before, f"{before} max_images: 1 ")
    ran = stages_run(copy.run("dvc", "repro", GRID).stdout)
    assert not [stage for stage in ran if stage.startswith("train")]
    assert {cell["n"] for cell in cells(copy).values() if cell["n"] != "0"} == {"1"}


def test_a_failed_row_says_why_and_the_others_have_numbers(swept: Workspace, copy: Workspace) -> None:
    copy.edit("params.yaml", OFF_LEVEL, "off: { training.learning_rate: 1.0e+30 }")
    copy.run("srledger", "ablations", "--write")
    failed = copy.run("dvc", "repro", "--keep-going", GRID, check=False)
    assert failed.returncode != 0 and "report" not in stages_run(failed.stdout)  # DVC alone leaves the report out
    why = re.findall(r"(?m)^srledger: (.+)$", failed.stderr)[-1]
    copy.run("srledger", "ablations", "--failed", OFF, "--why", why)
    copy.run("dvc", "repro", "--single-item", f"{GRID}:gate_rows", f"{GRID}:probes", f"{GRID}:report")

    found = cells(copy)
    assert {cell["status"] for (_, row, _), cell in found.items() if row == OFF} == {f"failed: {why}"}
    wanted = cells(swept)
    for table, row in (("landmark_unet_heatmap", BASE), ("landmark_unet_gamma", GAMMA)):
        assert found[table, row, "psnr_rgb"] == wanted[table, row, "psnr_rgb"]
    copy.run("srledger", "report", "--scale", "smoke_ablations", "--check")

    copy.edit("params.yaml", "off: { training.learning_rate: 1.0e+30 }", OFF_LEVEL)
    copy.run("srledger", "ablations", "--write")
    copy.run("dvc", "repro", GRID)
    names = ("ablations/dvc.lock", "ablations/grid.lock.yaml")
    assert [(copy.folder / name).read_bytes() for name in names] == [
        (swept.folder / name).read_bytes() for name in names
    ]
    made, first = (w.files("reports/smoke_ablations") for w in (copy, swept))
    assert {path: data for path, data in made.items() if not path.endswith("machine.csv")} == {
        path: data for path, data in first.items() if not path.endswith("machine.csv")
    }


def test_the_grid_is_listed_in_words(swept: Workspace) -> None:
    listed = swept.run("srledger", "ablations").stdout
    assert re.search(rf"{OFF} +runs; config.lambda_heat 0.0", listed)
    shown = json.loads(swept.run("srledger", "config", OFF).stdout)
    assert shown["active"] and shown["config"]["lambda_heat"] == 0.0
    wrong = swept.run("srledger", "ablations", "--failed", "landmark_unet__heatmap_of", check=False)
    assert wrong.returncode == 1 and f"nearest:  {OFF}" in wrong.stderr
