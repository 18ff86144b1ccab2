"""kill -9 of a trainer, of MLflow, of Prefect's server, of the worker, in one sweep; then the same command.

The tests follow each other: every one meets the sweep as the one before left it, and the last lets it finish.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace
from flow_tools import Served, wait_for, with_flows
from ruamel.yaml import YAML

from flows.leases import held_in

pytestmark = pytest.mark.slow  # make test-kills
ROWS = ["landmark_unet__base", "landmark_unet__heatmap_off"]
TRAINING = {"seeds": [0], "steps": 600, "checkpoint_every_steps": 20, "validate_every_steps": 600}
SWEEP = ("prefect", "deployment", "run", "ablation-sweep")
UNFINISHED = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
WAIT_S = 120.0  # for what takes seconds where nothing else runs
COMPARED = ("runs/smoke_ablations", "results/smoke_ablations", "reports/smoke_ablations")


def cut_down(workspace: Workspace) -> Workspace:
    """The smallest grid, trained long enough to be met in the middle."""
    editor, path = YAML(), workspace.folder / "params.yaml"
    values = editor.load(path)
    for table in [name for name in values["ablations"] if name != "landmark_unet_heatmap"]:
        del values["ablations"][table]
    values["scales"]["smoke"]["ablations"].update(rows=ROWS, training=TRAINING)
    values["orchestration"]["retry_delay_s"] = 0.5
    editor.dump(values, path)
    workspace.run("srledger", "ablations", "--write")
    return workspace


@pytest.fixture(scope="module")
def undisturbed(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """What a sweep makes that nothing happens to."""
    workspace = cut_down(with_flows(finished.copy_to(tmp_path_factory.mktemp("undisturbed") / "project")))
    workspace.run("srledger", "sweep")
    return workspace


class Victim(Served):
    """A workspace whose sweep is going to be killed in parts."""

    def checkpoints(self) -> set[Path]:
        return set(self.folder.glob("scratch/smoke_ablations/*/seed0/*/step_*.json"))

    def sweep(self) -> dict[str, Any]:
        """The sweep, begun unless it runs, with its trainers stopped in the middle; returns its flow run.

        Stopped, they can't end before the kill, however long the steps up to it take on this machine.
        """
        if not self.ask("flow_runs/filter", flow_runs=UNFINISHED):
            self.workspace.run(*SWEEP)
        self.tell(signal.SIGCONT)
        before = self.checkpoints()
        wait_for(lambda: self.checkpoints() - before and self.tell(signal.SIGSTOP), WAIT_S, "a new checkpoint")
        return self.newest_run()

    def tell(self, number: signal.Signals) -> list[int]:
        """Send a signal to the trainers; returns those that got it."""
        told = []
        for pid in self.trainers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                told.append(pid)
        return told

    def goes_on(self) -> None:
        """Let the trainers go, and see one save a checkpoint."""
        before = self.checkpoints()
        told = self.tell(signal.SIGCONT)
        wait_for(lambda: self.checkpoints() - before, WAIT_S, "a new checkpoint")
        assert set(told) & set(self.tell(signal.SIGSTOP)), "no trainer of before is left"
        self.tell(signal.SIGCONT)

    def kill(self, service: str, *others: int) -> None:
        record = json.loads((self.folder / f"scratch/services/{service}.json").read_text(encoding="utf-8"))
        for pid in (record["pid"], *others):
            os.kill(pid, signal.SIGKILL)
        assert "died" in self.workspace.run("srledger", "services", "status").stdout

    def doctor(self, *options: str) -> str:
        """What the doctor says; status 1 is no error of this call."""
        return self.workspace.run("srledger", "doctor", *options, check=False).stdout


@pytest.fixture(scope="module")
def victim(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    victim = Victim(cut_down(with_flows(finished.copy_to(tmp_path_factory.mktemp("victim") / "project"))))
    try:
        victim.up()
        yield victim
    finally:
        victim.workspace.run("srledger", "services", "down")
    assert victim.processes() == {}


def test_a_killed_trainer_is_started_again_and_goes_on(victim: Victim) -> None:
    run = victim.sweep()
    killed = victim.tell(signal.SIGKILL)
    wait_for(lambda: set(victim.trainers()) - set(killed), WAIT_S, "a trainer in its place")
    assert victim.newest_run()["id"] == run["id"]


def test_a_killed_mlflow_stops_nothing_and_its_port_is_free_again(victim: Victim) -> None:
    victim.sweep()
    victim.kill("mlflow")
    assert "service mlflow has died" in victim.doctor()
    assert "starts mlflow" in victim.up()
    victim.goes_on()


def test_a_killed_prefect_server_comes_back_to_a_sweep_that_can_be_typed_again(victim: Victim) -> None:
    victim.sweep()
    victim.kill("prefect-server")
    assert "starts prefect-server" in victim.up()
    victim.tell(signal.SIGCONT)  # the flow may have ended with its server, or go on
    victim.sweep()


def test_a_worker_killed_with_its_flow_leaves_no_trainer_no_lease_and_no_run_after_the_doctor(victim: Victim) -> None:
    run = victim.sweep()
    flows = [pid for pid, command in victim.processes().items() if b"prefect.engine" in command]
    victim.kill("worker-gpu", *flows)  # left alone a flow would end by itself, and say so: this way nobody can
    victim.tell(signal.SIGCONT)
    wait_for(lambda: not victim.trainers(), WAIT_S, "the end of the trainers")
    wait_for(lambda: held_in(victim.folder / "scratch" / "leases") == {}, WAIT_S, "free leases")
    said = victim.doctor()
    assert "service worker-gpu has died" in said and f"flow run {run['name']} is Running" in said, said
    assert run["id"] in [each["id"] for each in victim.ask("flow_runs/filter", flow_runs=UNFINISHED)]
    assert "0 left for you" in victim.doctor("--fix")
    assert "starts worker-gpu" in victim.up()
    assert victim.ask("flow_runs/filter", flow_runs=UNFINISHED) == []
    assert victim.ask("task_runs/filter", task_runs=UNFINISHED) == []
    assert "well: nothing was found" in victim.doctor()


def test_the_same_command_makes_the_same_bytes(victim: Victim, undisturbed: Workspace) -> None:
    victim.workspace.run(*SWEEP, "--watch")
    assert victim.newest_run()["state"]["name"] == "Completed"
    wanted, made = undisturbed.files(*COMPARED), victim.workspace.files(*COMPARED)
    timings = "reports/smoke_ablations/machine.csv"
    differing = [path for path in wanted if path != timings and wanted[path] != made.get(path)]
    assert wanted.keys() == made.keys() and not differing, differing
    for lock in ("dvc.lock", "ablations/dvc.lock"):
        assert without_timings(undisturbed, lock) == without_timings(victim.workspace, lock)
    assert victim.trainers() == [] and held_in(victim.folder / "scratch" / "leases") == {}
    assert "well: nothing was found" in victim.doctor()


def without_timings(workspace: Workspace, lock: str) -> Any:
    """A lock file's entries in their order, without the table of seconds, which are others each time."""
    values = YAML(typ="safe").load(workspace.folder / lock)
    return [(name, stage) for name, stage in values["stages"].items() if name != "machine"]
