"""MLflow mirrors the disk: filled by the run, rebuilt from nothing, and never in the way."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

from conftest import Workspace
from mlflow_tools import runs_of

from srledger.io import read_json, write_json
from srledger.tracking.owner import this_process


def runs_by_name(workspace: Workspace, uri: str) -> dict[str, dict[str, Any]]:
    """Runs of scale smoke by name."""
    return {run["name"]: run for run in runs_of(workspace, uri)}


def test_every_row_and_seed_is_a_run(finished: Workspace) -> None:
    runs = runs_by_name(finished, finished.env["MLFLOW_TRACKING_URI"])
    assert set(runs) == {
        "bicubic seed 0", "landmark_unet seed 0", "landmark_unet seed 1",
        "landmark_unet_student seed 0", "landmark_unet_student seed 1",
    }  # fmt: skip
    student = runs["landmark_unet_student seed 1"]
    assert student["status"] == "FINISHED" and student["params"]["teacher_name"] == "landmark_unet"
    assert student["params"]["training.learning_rate"] == "0.001" and student["lengths"]["curve/loss_total"] >= 5
    assert "faces_x8/psnr_rgb" in student["metrics"] and "samples_faces_x8.png" in student["files"]
    assert len(student["tags"]["srledger.weights_sha256"]) == 64


def test_runs_name_their_data_sets(finished: Workspace) -> None:
    runs = runs_by_name(finished, finished.env["MLFLOW_TRACKING_URI"])
    sha256 = read_json(finished.folder / "data/smoke/raw/faces/dataset.json")["sha256"]
    ((name, digest, tags),) = runs["landmark_unet seed 0"]["datasets"]
    assert (name, digest) == ("faces", sha256[:32])
    assert tags == sorted([sha256, "training, testing on faces_x8"])


def test_the_registry_of_models_is_filled_from_the_report(finished: Workspace) -> None:
    code = (
        "import json, sys; from mlflow import MlflowClient; client = MlflowClient(sys.argv[1])\n"
        "models = {model.name: model for model in client.search_registered_models()}\n"
        "versions = {name: [dict(version.tags) for version in client.search_model_versions(f\"name='{name}'\")]"
        " for name in models}\n"
        "print(json.dumps({name: [models[name].aliases, versions[name]] for name in models}))\n"
    )
    uri = finished.env["MLFLOW_TRACKING_URI"]
    finished.run("srledger", "mlflow-sync", "--scale", "smoke")  # a second time: still one version each
    registry = json.loads(finished.run("python", "-W", "ignore", "-c", code, uri).stdout.splitlines()[-1])
    assert set(registry) == {"landmark_unet", "landmark_unet_student"}, "bicubic has nothing to register"
    with (finished.folder / "reports/smoke/cells.csv").open(newline="", encoding="utf-8") as file:
        cells = {(cell["row"], cell["metric"]): cell["value"] for cell in csv.DictReader(file)}
    best = max(registry, key=lambda row: float(cells[row, "psnr_rgb"]))
    for row, (aliases, versions) in registry.items():
        assert len(versions) == 1 and str(aliases["smoke"]) == "1"
        assert versions[0]["faces_x8/psnr_rgb mean over seeds 0 1"] == cells[row, "psnr_rgb"]
        assert ("smoke_best_psnr_rgb" in aliases) == (row == best)


def test_a_half_written_run_is_written_again(finished: Workspace, tmp_path: Path) -> None:
    before = finished.env
    finished.env = {**before, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/new.db"}
    reopen = (
        "import sys; from mlflow import MlflowClient; client = MlflowClient(sys.argv[1])\n"
        "runs = client.search_runs([client.get_experiment_by_name('srledger/smoke').experiment_id])\n"
        "client.set_terminated(runs[0].info.run_id, 'KILLED')\n"
    )
    try:
        finished.run("srledger", "mlflow-sync", "--scale", "smoke")
        finished.run("python", "-W", "ignore", "-c", reopen, finished.env["MLFLOW_TRACKING_URI"])
        again = finished.run("srledger", "mlflow-sync", "--scale", "smoke").stdout
        runs = runs_by_name(finished, finished.env["MLFLOW_TRACKING_URI"])
    finally:
        finished.env = before
    assert "1 runs new" in again and {run["status"] for run in runs.values()} == {"FINISHED"}


LOOK = """
from pathlib import Path
from srledger.tracking.client import connect, experiment_of
from srledger.tracking.live import Live

with connect(Path()) as client:
    Live(Path(), "smoke").look(client, experiment_of(client, "smoke", Path()))
"""


def test_a_training_that_was_followed_is_the_run_that_gets_the_numbers(finished: Workspace, tmp_path: Path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    uri = copy.env["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/new.db"
    (ended,) = copy.folder.glob("scratch/smoke/landmark_unet/seed0/*/finished.json")
    record = read_json(ended)
    ended.unlink()  # as it was at step 12, in a process that lives: this one
    early = [curve for curve in record["curves"] if curve[0] <= 12]
    write_json(ended.with_name("step_00000012.json"), {"state": {"curves": early}})
    write_json(ended.with_name("process.json"), this_process())
    for _ in range(2):
        copy.run(sys.executable, "-c", LOOK)
    (live,) = runs_of(copy, uri)
    losses = [curve for curve in early if curve[1] == "loss_total"]
    assert live["status"] == "RUNNING" and live["lengths"]["curve/loss_total"] == len(losses) > 0

    write_json(ended, record)
    assert "5 runs new" in copy.run("srledger", "mlflow-sync", "--scale", "smoke").stdout
    assert "0 runs new" in copy.run("srledger", "mlflow-sync", "--scale", "smoke").stdout
    runs = runs_by_name(copy, uri)
    filled, whole = runs["landmark_unet seed 0"], runs_by_name(finished, finished.env["MLFLOW_TRACKING_URI"])
    assert len(runs) == 5 and filled["id"] == live["id"] and filled["status"] == "FINISHED"
    for part in ("params", "metrics", "lengths", "datasets", "files"):
        assert filled[part] == whole["landmark_unet seed 0"][part], part


def test_numbers_of_earlier_weights_are_not_shown_with_new_ones(finished: Workspace, tmp_path: Path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    uri = copy.env["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/new.db"
    path = copy.folder / "runs/smoke/landmark_unet/run.json"  # as if it were trained anew, and not yet measured
    run = read_json(path)
    write_json(path, {**run, "weights_sha256": {**run["weights_sha256"], "0": "0" * 64}})
    copy.run("srledger", "mlflow-sync", "--scale", "smoke")
    runs = runs_by_name(copy, uri)
    assert "curve/loss_total" in runs["landmark_unet seed 0"]["metrics"]
    assert "faces_x8/psnr_rgb" not in runs["landmark_unet seed 0"]["metrics"]
    assert "faces_x8/psnr_rgb" in runs["landmark_unet_student seed 0"]["metrics"]


def test_the_mirror_is_rebuilt_from_disk(finished: Workspace, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new.db"
    environment = {**finished.env, "MLFLOW_TRACKING_URI": uri}
    before, finished.env = finished.env, environment
    try:
        first = finished.run("srledger", "mlflow-sync", "--scale", "smoke").stdout
        second = finished.run("srledger", "mlflow-sync", "--scale", "smoke").stdout
        rebuilt = runs_by_name(finished, uri)
    finally:
        finished.env = before
    assert "5 runs new" in first and "0 runs new" in second
    original = runs_by_name(finished, finished.env["MLFLOW_TRACKING_URI"])
    for name, run in original.items():
        assert {key: rebuilt[name][key] for key in ("params", "metrics", "lengths", "files")} == {
            key: run[key] for key in ("params", "metrics", "lengths", "files")
        }


def test_a_tracker_that_is_down_stops_nothing(finished: Workspace) -> None:
    before, finished.env = finished.env, {**finished.env, "MLFLOW_TRACKING_URI": "sqlite:////proc/none/mlflow.db"}
    try:
        stage = finished.run("python", "stages/machine.py", check=False)
        by_hand = finished.run("srledger", "mlflow-sync", "--scale", "smoke", check=False)
    finally:
        finished.env = before
    assert stage.returncode == 0 and "mlflow-sync" in stage.stdout
    assert by_hand.returncode == 1 and "MLflow can't be reached" in by_hand.stderr and "Traceback" not in by_hand.stderr
