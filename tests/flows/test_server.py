"""The real Prefect server and worker: the commands a person types, from a plain shell in the project's folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Workspace
from flow_tools import Served, wait_for, with_flows

from flows.leases import held_in


@pytest.fixture(scope="module")
def served(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(with_flows(finished.copy_to(tmp_path_factory.mktemp("served") / "project")))
    try:
        addresses = served.up()
        assert addresses.count("http://127.0.0.1:") == 3 and "export PREFECT_API_URL=" in addresses
        yield served
    finally:
        served.workspace.run("srledger", "services", "down")
    assert served.processes() == {}


def test_the_literal_command_restores_what_dvc_repro_made(served: Served, finished: Workspace) -> None:
    for name in ("data", "runs", "results", "reports", "dvc.lock"):
        path = served.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    served.workspace.run("prefect", "deployment", "run", "pipeline", "--watch")
    run = served.newest_run()
    assert run["state"]["name"] == "Completed"
    states = {"train@landmark_unet": "Restored", "report": "Completed"}
    wait_for(lambda: served.shows(run, **states), 20.0, f"the states {states}")
    assert (served.folder / "dvc.lock").read_bytes() == (finished.folder / "dvc.lock").read_bytes()
    assert served.workspace.files("reports") == finished.files("reports")
    artifacts = {each["key"]: each for each in served.ask("artifacts/filter", limit=50)}
    assert {"plan", "progress", "tables", "report"} <= artifacts.keys()
    assert "train@landmark_unet" in artifacts["plan"]["data"] and "psnr_rgb" in artifacts["tables"]["data"]
    assert held_in(served.folder / "scratch" / "leases") == {}


def test_the_second_run_skips_everything_in_little_time(served: Served) -> None:
    served.workspace.run("prefect", "deployment", "run", "pipeline", "--watch")
    run = served.newest_run()
    stages = int(run["state"]["message"].removesuffix(" up to date"))
    assert run["total_run_time"] < 30.0
    wait_for(lambda: list(served.tasks(run).values()) == ["Skipped"] * stages, 20.0, f"{stages} skipped stages")


def test_a_typo_in_a_name_is_answered_with_the_nearest(served: Served) -> None:
    done = served.workspace.run("prefect", "deployment", "run", "ablation-swep", check=False)
    assert done.returncode == 1 and "nearest:  ablation-sweep" in done.stderr and "Traceback" not in done.stderr


def test_a_typo_in_a_parameter_stops_before_anything_starts(served: Served) -> None:
    only = 'only=["landmark_unet_gama"]'
    done = served.workspace.run("prefect", "deployment", "run", "ablation-sweep", "--watch", "-p", only, check=False)
    run = served.newest_run()
    assert done.returncode == 1 and run["state"]["name"] == "Failed" and served.tasks(run) == {}
    assert "nearest:  landmark_unet_gamma" in run["state"]["message"]


def test_services_that_run_are_left_alone_and_a_taken_port_is_named(served: Served, tmp_path: Path) -> None:
    before = served.workspace.run("srledger", "services", "status").stdout
    assert "starts" not in served.up() and before.count("healthy") == 4
    assert served.workspace.run("srledger", "services", "status").stdout == before
    other = with_flows(Workspace.new(tmp_path / "other"))
    done = other.run("srledger", "services", "up", "--prefect-port", str(served.ports[0]), check=False)
    assert done.returncode == 1 and "the port of prefect-server is taken" in done.stderr
    assert f"--prefect-port {served.ports[0] + 1}" in done.stderr


def test_cancelling_ends_the_trainer_and_frees_its_lease(served: Served) -> None:
    params = (served.folder / "params.yaml").read_text(encoding="utf-8")
    run = served.train_for_long()
    assert served.trainers() and held_in(served.folder / "scratch" / "leases")
    limits = {each["name"]: each for each in served.ask("v2/concurrency_limits/filter")}
    assert limits["cpu"]["limit"] == 2 and limits["cpu"]["active_slots"] == 1
    started_s = time.monotonic()
    served.workspace.run("prefect", "flow-run", "cancel", run["id"])
    wait_for(lambda: not served.trainers(), 20.0 - (time.monotonic() - started_s), "the end of the trainer")
    wait_for(lambda: served.newest_run()["state"]["type"] == "CANCELLED", 20.0, "the state Cancelled")
    wait_for(lambda: held_in(served.folder / "scratch" / "leases") == {}, 10.0, "a free lease")
    (served.folder / "params.yaml").write_text(params, encoding="utf-8")


@pytest.mark.slow  # make test-kills
def test_a_killed_worker_takes_its_trainer_along_and_another_carries_on(served: Served) -> None:
    params = (served.folder / "params.yaml").read_text(encoding="utf-8")
    served.train_for_long()
    record = json.loads((served.folder / "scratch/services/worker-gpu.json").read_text(encoding="utf-8"))
    os.kill(record["pid"], signal.SIGKILL)
    wait_for(lambda: not served.trainers(), 20.0, "the end of the trainer")
    wait_for(lambda: held_in(served.folder / "scratch" / "leases") == {}, 20.0, "a free lease")
    assert "died" in served.workspace.run("srledger", "services", "status").stdout
    (served.folder / "params.yaml").write_text(params, encoding="utf-8")
    assert "starts worker-gpu" in served.up()
    served.workspace.run("prefect", "deployment", "run", "pipeline", "--watch")
    assert served.newest_run()["state"]["name"] == "Completed"
