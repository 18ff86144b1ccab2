"""The ablation grid with the real DVC: it runs alone, reruns what changed, and one failed row stops no other.

Beside rows of the landmark U-Net stand two of a small SR3, of which one takes the weights of the other.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from conftest import Workspace
from mlflow_tools import runs_of

GRID = "ablations/dvc.yaml"
BASE, OFF = "landmark_unet__base", "landmark_unet__heatmap_off"
TRAINED, SAMPLED = "sr3__base", "sr3__steps_8"
OFF_LEVEL = "off: { config.lambda_heat: 0.0 }"
SR3_TRAINING = "training: { steps: 8 }"
SR3 = f"""
  sr3:
    method: sr3
    task: faces_x8
    prior: landmark_gauss
    encoder: none
    config: {{ width: 8, multipliers: [1, 2], blocks: 1, attention_levels: [], norm_groups: 8, sampling_steps: 4 }}
    {SR3_TRAINING}
"""
STEPS = """
  sr3_steps:
    base: sr3
    title: "Sampling steps"
    factors: { steps: { path: config.sampling_steps, values: [8], at_sampling: true } }

"""


@pytest.fixture(scope="module")
def swept(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy in which the grid has run once, cut to the rows of scale `smoke`; tests must not change it."""
    workspace = finished.copy_to(tmp_path_factory.mktemp("swept") / "project")
    params = workspace.folder / "params.yaml"
    text = re.sub(r"(?ms)^  landmark_unet_lambda:\n.*?(?=^metrics:)", STEPS.lstrip("\n"), params.read_text("utf-8"))
    text = text.replace("\nvariants:\n", f"\nvariants:{SR3}", 1)
    text = text.replace(f"[{BASE}, {OFF}, landmark_unet__gamma_0_5]", f"[{BASE}, {OFF}, sr3_steps]")
    params.write_text(text, encoding="utf-8")
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
        ("landmark_unet_heatmap", BASE), ("landmark_unet_heatmap", OFF), ("sr3_steps", TRAINED), ("sr3_steps", SAMPLED),
    }  # fmt: skip
    values = {row: float(found[table, row, "psnr_rgb"]["value"]) for table, row, _ in found}
    assert len(set(values.values())) == 4 and values[BASE] > 10 and values[OFF] > 10
    compared = (swept.folder / "reports/smoke_ablations/tables/sr3_steps_comparison.md").read_text("utf-8")
    assert f"minus {TRAINED}" in compared
    page = (swept.folder / "reports/smoke_ablations/index.html").read_text("utf-8")
    assert 'href="../smoke/index.html"' in page


def test_the_second_run_runs_nothing(swept: Workspace) -> None:
    assert stages_run(swept.run("dvc", "repro", GRID).stdout) == set()


def test_the_report_is_what_its_rows_give(swept: Workspace) -> None:
    for options in (("--scale", "smoke", "--ablations"), ("--scale", "smoke_ablations")):
        assert "4 rows re-rendered" in swept.run("srledger", "report", *options, "--check").stdout
    explained = swept.run("srledger", "explain", f"psnr_rgb/{SAMPLED}/faces_x8").stdout
    assert "srledger report --scale smoke_ablations --check" in explained
    assert f"with the weights of {TRAINED}" in explained


RESTORE_AGAIN = f"""
from srledger.config import Params
from srledger.evaluation.restore import restore_batch
from srledger.layout import Layout
from srledger.packs import Pack
from srledger.training.batches import Examples
from srledger.training.checkpoint import load_weights
from srledger.training.determinism import prepare_torch
from srledger.training.run import build_method

params, layout = Params.load().ablations, Layout("smoke")
resolved = params.rows["{TRAINED}"].resolved()
prepare_torch(params.evaluation.threads, params.evaluation.device)
test = Examples(layout.packs("faces_x8"), layout.prior("landmark_gauss") / "faces_x8", "test")
for steps in (4, 8):
    method = build_method({{**resolved, "config": {{**resolved["config"], "sampling_steps": steps}}}})
    load_weights(method, layout.run("{TRAINED}") / "seed0/weights.safetensors")
    sr, _ = restore_batch(method.eval(), test, list(range(len(test))), "{TRAINED}", 0, params.evaluation)
    for name in ("{TRAINED}", "{SAMPLED}"):
        saved = Pack(layout.result(name) / "sr")
        if all((sr[k].permute(1, 2, 0).numpy() == saved.by_id(test.ids[k])).all() for k in range(len(test))):
            print(steps, name)
"""


def test_a_sampled_row_is_the_network_of_another_under_its_own_settings(swept: Workspace) -> None:
    runs = swept.folder / "runs/smoke_ablations"
    assert (runs / TRAINED / "run.json").exists() and not (runs / SAMPLED).exists()
    weights = {row: cell["weights_sha256"] for (_, row, _), cell in cells(swept).items()}
    assert weights[SAMPLED] == weights[TRAINED] != ""
    # The same weights, the same noise per image, another number of steps.
    assert swept.run("python", "-c", RESTORE_AGAIN).stdout.splitlines() == [f"4 {TRAINED}", f"8 {SAMPLED}"]


def test_the_run_of_a_sampled_row_names_that_of_its_weights(swept: Workspace) -> None:
    runs = {run["name"]: run for run in runs_of(swept, swept.env["MLFLOW_TRACKING_URI"])}
    trained, sampled = runs[f"{TRAINED} seed 0"], runs[f"{SAMPLED} seed 0"]
    assert (sampled["tags"]["srledger.weights_of"], sampled["tags"]["srledger.weights_run"]) == (TRAINED, trained["id"])
    assert (trained["params"]["config.sampling_steps"], sampled["params"]["config.sampling_steps"]) == ("4", "8")
    assert "curve/loss_total" in trained["lengths"] and "curve/loss_total" not in sampled["lengths"]
    assert "faces_x8/psnr_rgb" in sampled["metrics"] and "srledger.weights_run" not in trained["tags"]


@pytest.mark.slow  # make test-long
def test_one_level_changed_runs_one_row_and_weights_changed_all_that_take_them(copy: Workspace) -> None:
    before = cells(copy)
    copy.edit("params.yaml", OFF_LEVEL, "off: { config.lambda_heat: 0.25 }")
    copy.edit("params.yaml", SR3_TRAINING, "training: { steps: 4 }")
    refused = copy.run("dvc", "repro", GRID, check=False)
    assert refused.returncode != 0 and "srledger ablations --write" in refused.stderr
    assert copy.run("srledger", "config", check=False).returncode == 1

    copy.run("srledger", "ablations", "--write")
    ran = stages_run(copy.run("dvc", "repro", GRID).stdout)
    assert ran == {
        "entries", "grid", f"train@{OFF}", f"evaluate@{OFF}", f"train@{TRAINED}", f"evaluate@{TRAINED}",
        f"evaluate_sampled@{SAMPLED}", "gate_rows", "probes", "report", "machine",
    }  # fmt: skip
    after = cells(copy)
    moved = {row for table, row, metric in after if after[table, row, metric] != before[table, row, metric]}
    assert moved == {OFF, TRAINED, SAMPLED}


@pytest.mark.slow  # make test-long
def test_fewer_test_images_train_nothing(copy: Workspace) -> None:
    before = "training: { seeds: [0] }\n      evaluation: {"
    copy.edit("params.yaml", before, f"{before} max_images: 1 ")
    ran = stages_run(copy.run("dvc", "repro", GRID).stdout)
    assert not [stage for stage in ran if stage.startswith("train")]
    assert {cell["n"] for cell in cells(copy).values() if cell["n"] != "0"} == {"1"}


@pytest.mark.slow  # make test-long
def test_a_failed_row_says_why_and_the_others_have_numbers(swept: Workspace, copy: Workspace) -> None:
    copy.edit("params.yaml", OFF_LEVEL, "off: { training.learning_rate: 1.0e+30 }")
    copy.edit("params.yaml", SR3_TRAINING, "training: { steps: 8, learning_rate: 1.0e+30 }")
    copy.run("srledger", "ablations", "--write")
    failed = copy.run("dvc", "repro", "--keep-going", GRID, check=False)
    assert failed.returncode != 0 and not {"report", f"evaluate_sampled@{SAMPLED}"} & stages_run(failed.stdout)
    why = re.findall(r"(?m)^srledger: (.+)$", failed.stderr)[-1]
    for row in (OFF, TRAINED):  # DVC alone leaves the report out
        copy.run("srledger", "ablations", "--failed", row, "--why", why)
    copy.run("dvc", "repro", "--single-item", f"{GRID}:gate_rows", f"{GRID}:probes", f"{GRID}:report")

    found = cells(copy)
    taken = f"failed: the training of {TRAINED}, whose weights it takes, failed: {why}"
    for failed_row, status in ((OFF, f"failed: {why}"), (TRAINED, f"failed: {why}"), (SAMPLED, taken)):
        assert {cell["status"] for (_, row, _), cell in found.items() if row == failed_row} == {status}
    base = "landmark_unet_heatmap", BASE, "psnr_rgb"
    assert found[base] == cells(swept)[base]
    copy.run("srledger", "report", "--scale", "smoke_ablations", "--check")

    copy.edit("params.yaml", "off: { training.learning_rate: 1.0e+30 }", OFF_LEVEL)
    copy.edit("params.yaml", "training: { steps: 8, learning_rate: 1.0e+30 }", SR3_TRAINING)
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
    assert re.search(rf"{SAMPLED} +runs; config.sampling_steps 8; sampled from {TRAINED}\n", listed)
    shown = json.loads(swept.run("srledger", "config", OFF).stdout)
    assert shown["active"] and shown["config"]["lambda_heat"] == 0.0
    wrong = swept.run("srledger", "ablations", "--failed", "landmark_unet__heatmap_of", check=False)
    assert wrong.returncode == 1 and f"nearest:  {OFF}" in wrong.stderr
