"""MLflow mirrors the disk: filled by the run, rebuilt from nothing, and never in the way."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from conftest import Workspace

from srledger.io import read_json


def runs_of(workspace: Workspace, uri: str) -> dict[str, dict[str, object]]:
    """Runs of scale smoke by name, asked of the real MLflow on SQLite in a process of its own."""
    code = (
        "import json, sys; from mlflow import MlflowClient; client = MlflowClient(sys.argv[1])\n"
        "experiment = client.get_experiment_by_name('srledger/smoke')\n"
        "runs = client.search_runs([experiment.experiment_id]) if experiment else []\n"
        "print(json.dumps({run.info.run_name: {'status': run.info.status, 'params': run.data.params,"
        " 'metrics': run.data.metrics, 'tags': {k: v for k, v in run.data.tags.items() if k.startswith('srledger')},"
        " 'curve': len(client.get_metric_history(run.info.run_id, 'curve/loss_total')),"
        " 'datasets': sorted((used.dataset.name, used.dataset.digest, sorted(tag.value for tag in used.tags))"
        " for used in run.inputs.dataset_inputs),"
        " 'files': [file.path for file in client.list_artifacts(run.info.run_id)]} for run in runs}))\n"
    )
    return json.loads(workspace.run("python", "-W", "ignore", "-c", code, uri).stdout.splitlines()[-1])


def test_every_row_and_seed_is_a_run(finished: Workspace) -> None:
    runs = runs_of(finished, finished.env["MLFLOW_TRACKING_URI"])
    assert set(runs) == {
        "bicubic seed 0", "landmark_unet seed 0", "landmark_unet seed 1",
        "landmark_unet_student seed 0", "landmark_unet_student seed 1",
    }  # fmt: skip
    student = runs["landmark_unet_student seed 1"]
    assert student["status"] == "FINISHED" and student["params"]["teacher_name"] == "landmark_unet"
    assert student["params"]["training.learning_rate"] == "0.001" and student["curve"] >= 5
    assert "faces_x8/psnr_rgb" in student["metrics"] and "samples_faces_x8.png" in student["files"]
    assert len(student["tags"]["srledger.weights_sha256"]) == 64


def test_runs_name_their_data_sets(finished: Workspace) -> None:
    runs = runs_of(finished, finished.env["MLFLOW_TRACKING_URI"])
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
        runs = runs_of(finished, finished.env["MLFLOW_TRACKING_URI"])
    finally:
        finished.env = before
    assert "1 runs new" in again and {run["status"] for run in runs.values()} == {"FINISHED"}


def test_the_mirror_is_rebuilt_from_disk(finished: Workspace, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new.db"
    environment = {**finished.env, "MLFLOW_TRACKING_URI": uri}
    before, finished.env = finished.env, environment
    try:
        first = finished.run("srledger", "mlflow-sync", "--scale", "smoke").stdout
        second = finished.run("srledger", "mlflow-sync", "--scale", "smoke").stdout
        rebuilt = runs_of(finished, uri)
    finally:
        finished.env = before
    assert "5 runs new" in first and "0 runs new" in second
    original = runs_of(finished, finished.env["MLFLOW_TRACKING_URI"])
    for name, run in original.items():
        assert {key: rebuilt[name][key] for key in ("params", "metrics", "curve")} == {
            key: run[key] for key in ("params", "metrics", "curve")
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
