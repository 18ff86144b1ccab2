"""MLflow while a flow runs: curves that grow, and after kill -9 no run that looks as if it still ran."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace
from flow_tools import LONG_TRAINING, free_port, wait_for, with_flows
from mlflow_tools import runs_of

pytestmark = pytest.mark.slow  # make test-kills
RUN = "landmark_unet seed 0"
PATIENCE_S = 180.0
TRAINER, FOLLOWER = b"stages/train.py", b"srledger.tracking.follow"


@contextlib.contextmanager
def flow_of_a_long_training(workspace: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    """A flow that trains for hours, with a follower; killed at the end, if it still runs."""
    flow = subprocess.Popen(
        ["srledger", "pipeline", "train@landmark_unet"], cwd=workspace.folder, env=workspace.env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield flow
    finally:
        flow.kill()
        flow.wait()


def processes(workspace: Workspace, word: bytes) -> list[int]:
    """Processes of this folder whose command line holds ``word``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            here = entry.name.isdigit() and (entry / "cwd").readlink() == workspace.folder
            if here and word in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def shown(workspace: Workspace, **wanted: str) -> dict[str, Any] | None:
    """The run of the training once it is as wanted."""
    runs = runs_of(workspace, workspace.env["MLFLOW_TRACKING_URI"])
    found = [run for run in runs if run["name"] == RUN and run.items() >= wanted.items()]
    return found[0] if found else None


def grown(workspace: Workspace, first: dict[str, Any]) -> dict[str, Any] | None:
    """The run once its curve is longer than at first."""
    run = shown(workspace, id=first["id"])
    return run if run and run["lengths"]["curve/loss_total"] > first["lengths"]["curve/loss_total"] else None


def test_a_training_is_shown_while_it_runs_and_ended_when_it_is_killed(finished: Workspace, tmp_path: Path) -> None:
    workspace = with_flows(finished.copy_to(tmp_path / "project"))
    workspace.env["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/live.db"
    workspace.edit("params.yaml", *LONG_TRAINING)
    with flow_of_a_long_training(workspace):
        first = wait_for(lambda: shown(workspace, status="RUNNING"), PATIENCE_S, "a RUNNING run")
        assert first["tags"]["srledger.pid"] in map(str, processes(workspace, TRAINER))
        assert first["lengths"]["curve/loss_total"] >= 1 and first["metrics"]["system/process_memory_megabytes"] > 50
        assert wait_for(lambda: grown(workspace, first), PATIENCE_S, "a longer curve")["status"] == "RUNNING"
    # The flow was killed; its follower lives on until the trainer has ended.
    wait_for(lambda: shown(workspace, id=first["id"], status="KILLED"), PATIENCE_S, "the end of the run")
    wait_for(lambda: not processes(workspace, FOLLOWER), PATIENCE_S, "the end of the follower")

    with flow_of_a_long_training(workspace):  # goes on from the checkpoint, and so does the run
        wait_for(lambda: shown(workspace, id=first["id"], status="RUNNING"), PATIENCE_S, "the same run again")
        for pid in processes(workspace, FOLLOWER):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not processes(workspace, TRAINER), PATIENCE_S, "the end of the trainer")
    assert shown(workspace, id=first["id"], status="RUNNING")  # nobody was left to end it
    workspace.run("srledger", "mlflow-sync", "--scale", "smoke")
    assert shown(workspace, id=first["id"], status="KILLED")
    assert {run["status"] for run in runs_of(workspace, workspace.env["MLFLOW_TRACKING_URI"])} <= {"KILLED", "FINISHED"}


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The real server on a database in ``folder``; killed at the end, if it still runs."""
    store, artifacts = f"sqlite:///{folder}/served.db", f"{folder}/artifacts"
    listen = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    server = subprocess.Popen(
        ["mlflow", "server", *listen, "--backend-store-uri", store, "--artifacts-destination", artifacts],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), PATIENCE_S, "a healthy MLflow")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2.0) as answer:
            return answer.status == 200
    except OSError:
        return False


def count_runs(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{folder}/served.db?mode=ro", uri=True)) as database:
        return database.execute("select count(*) from runs").fetchone()[0]


def test_a_server_killed_amid_a_sync_loses_nothing(finished: Workspace, tmp_path: Path) -> None:
    copy, port = finished.copy_to(tmp_path / "project"), free_port()
    original = {run["name"]: run for run in runs_of(copy, finished.env["MLFLOW_TRACKING_URI"])}
    copy.env["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    command = ("srledger", "mlflow-sync", "--scale", "smoke")
    with mlflow_server(tmp_path, port) as server:
        sync = subprocess.Popen(command, cwd=copy.folder, env=copy.env, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: count_runs(tmp_path) >= 2, PATIENCE_S, "a part of the runs")
        os.killpg(server.pid, signal.SIGKILL)
        said = sync.communicate(timeout=PATIENCE_S)[1]
    assert sync.returncode == 1 and "MLflow can't be reached" in said and "Traceback" not in said
    with mlflow_server(tmp_path, port):
        copy.run(*command)
        found = runs_of(copy, copy.env["MLFLOW_TRACKING_URI"])
    assert len(found) == len(original) and {run["status"] for run in found} == {"FINISHED"}
    for run in found:
        for part in ("params", "metrics", "lengths", "datasets", "files"):
            assert run[part] == original[run["name"]][part], (run["name"], part)
