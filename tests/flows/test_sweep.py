"""`srledger sweep` and `srledger pipeline`: the same runs in one process, without a server."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import Workspace
from flow_tools import drop_tables, wait_for, with_flows
from mlflow_tools import runs_of

from flows.leases import held_in

OFF = "levels: { off: { config.lambda_heat: 0.0 } }"
EXPLODES = "levels: { off: { config.lambda_heat: 0.0, training.learning_rate: 1.0e+30 } }"


@pytest.fixture(scope="module")
def swept(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """A workspace in which a sweep has met a row whose loss explodes; and what it said."""
    workspace = with_flows(finished.copy_to(tmp_path_factory.mktemp("swept") / "project"))
    workspace.edit("params.yaml", OFF, EXPLODES)
    drop_tables(workspace, "lambda", "floor", "width")  # none of their rows runs at this scale
    workspace.run("srledger", "ablations", "--write")
    done = workspace.run("srledger", "sweep", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return workspace, done.stdout


def cells(workspace: Workspace) -> dict[tuple[str, str], dict[str, str]]:
    with (workspace.folder / "reports/smoke_ablations/cells.csv").open(encoding="utf-8", newline="") as file:
        return {(line["row"], line["metric"]): line for line in csv.DictReader(file)}


def test_one_failed_row_does_not_stop_the_others_nor_the_report(swept: tuple[Workspace, str]) -> None:
    workspace, said = swept
    assert "failed: train@landmark_unet__heatmap_off (" in said
    found = cells(workspace)
    assert float(found["landmark_unet__gamma_0_5", "psnr_rgb"]["value"]) > 0
    assert found["landmark_unet__heatmap_off", "psnr_rgb"]["status"].startswith("failed")
    assert held_in(workspace.folder / "scratch" / "leases") == {}


def test_a_sweep_is_the_parent_of_its_runs_in_mlflow(swept: tuple[Workspace, str]) -> None:
    workspace, said = swept
    runs = runs_of(workspace, workspace.env["MLFLOW_TRACKING_URI"])
    (parent,) = [run for run in runs if "srledger.sweep" in run["tags"]]
    assert parent["name"].startswith("ablation-sweep ") and parent["status"] == "FAILED"
    assert parent["tags"]["srledger.report"].endswith("/reports/smoke_ablations/index.html")
    assert {"plan.md", "report"} <= set(parent["files"])
    note = parent["tags"]["mlflow.note.content"]
    assert note.splitlines()[0] == said.splitlines()[-1]
    assert "Revision " in note and "| train@landmark_unet__gamma_0_5 |" in note and "report/index.html" in note
    children = [run for run in runs if run["tags"].get("mlflow.parentRunId") == parent["id"]]
    whole = {run["name"] for run in children if run["status"] == "FINISHED"}
    assert whole == {"landmark_unet__base seed 0", "landmark_unet__gamma_0_5 seed 0"}
    assert not any("RUNNING" in run["status"] for run in runs)


def test_the_next_sweep_runs_only_what_is_missing(swept: tuple[Workspace, str], tmp_path: Path) -> None:
    copy = with_flows(swept[0].copy_to(tmp_path / "copy"))
    copy.edit("params.yaml", EXPLODES, OFF)
    copy.run("srledger", "ablations", "--write")
    said = copy.run("srledger", "sweep").stdout
    ran = {line.split("'")[1].rpartition(":")[2] for line in said.splitlines() if ": Running stage '" in line}
    assert {name for name in ran if "@" in name} == {
        "train@landmark_unet__heatmap_off",
        "evaluate@landmark_unet__heatmap_off",
    }
    assert cells(copy)["landmark_unet__heatmap_off", "psnr_rgb"]["status"] == "ok"


def test_a_part_keeps_the_other_rows_of_the_committed_report(swept: tuple[Workspace, str], tmp_path: Path) -> None:
    copy = with_flows(swept[0].copy_to(tmp_path / "copy"))
    for name in ("results", "runs"):
        shutil.rmtree(copy.folder / name / "smoke_ablations")
    before = cells(copy)
    said = copy.run("srledger", "sweep", "--only", "landmark_unet__gamma_0_5").stdout
    assert "DVC's report is left out: these rows are out of date" in said
    assert "kept 2 rows of the committed report; made 1" in said
    assert cells(copy) == before, "the failed row's words are kept, too"


@pytest.mark.parametrize(
    ("command", "nearest"),
    [
        (("sweep", "--only", "landmark_unet__gama_0_5"), "landmark_unet__gamma_0_5"),
        (("pipeline", "landmark_nut"), "train@landmark_unet"),
        (("pipeline", "train@landmark_nut"), "train@landmark_unet"),
        (("sweep", "--scale", "quikc"), "quick"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_typo_is_answered_with_the_nearest(
    finished: Workspace, tmp_path: Path, command: tuple[str, ...], nearest: str
) -> None:
    workspace = with_flows(Workspace.new(tmp_path / "project"))
    done = workspace.run("srledger", *command, check=False)
    assert done.returncode == 1 and f"nearest:  {nearest}\n" in done.stderr and "Traceback" not in done.stderr
    assert not (workspace.folder / "data").exists()


@pytest.mark.slow  # make test-kills
def test_kill_9_of_the_command_ends_its_trainer(finished: Workspace, tmp_path: Path) -> None:
    workspace = with_flows(finished.copy_to(tmp_path / "project"))
    workspace.edit("params.yaml", "training: { steps: 24,", "training: { steps: 2000000,")
    command = subprocess.Popen(
        ["srledger", "pipeline", "train@landmark_unet"], cwd=workspace.folder, env=workspace.env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    leases = workspace.folder / "scratch" / "leases"
    wait_for(lambda: held_in(leases) if leases.exists() else None, 60.0, "a lease")
    wait_for(
        lambda: list(workspace.folder.glob("scratch/smoke/landmark_unet/seed0/*/step_*.json")), 60.0, "a checkpoint"
    )
    command.send_signal(signal.SIGKILL)
    command.wait()
    wait_for(lambda: held_in(leases) == {}, 20.0, "the end of the trainer, which holds the lease")


def test_another_scale_leaves_params_and_lock_alone(finished: Workspace, tmp_path: Path) -> None:
    workspace = with_flows(finished.copy_to(tmp_path / "project"))
    workspace.edit("params.yaml", "\nscale: smoke", "\nscale: quick")
    (workspace.folder / "dvc.lock").unlink()
    before = (workspace.folder / "params.yaml").read_bytes()
    workspace.run("srledger", "pipeline", "bicubic", "--scale", "smoke")
    assert (workspace.folder / "params.yaml").read_bytes() == before
    assert not (workspace.folder / "dvc.lock").exists()
