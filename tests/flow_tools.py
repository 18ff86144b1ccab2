"""Shared by the tests of the flows: a copy of the tree in which Prefect runs, on ports that nobody uses."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import ROOT, Workspace

LONG_TRAINING = ("training: { steps: 24,", "training: { steps: 2000000,")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(true: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """What ``true`` returns once that is true."""
    give_up_s = time.monotonic() + timeout_s
    while not (value := true()):
        assert time.monotonic() < give_up_s, f"{timeout_s} s have passed without {what}"
        time.sleep(0.1)
    return value


def state_names(tasks: list[dict[str, Any]]) -> dict[str, str]:
    """Task name -> state name, of what Prefect's API answers; a task may be known before its state is."""
    return {task["name"]: task["state"]["name"] if task["state"] else "" for task in tasks}


def with_flows(copy: Workspace) -> Workspace:
    """A workspace whose commands meet no server and no home folder but their own."""
    shutil.copytree(
        ROOT / "flows", copy.folder / "flows", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    shutil.copyfile(ROOT / "prefect.yaml", copy.folder / "prefect.yaml")
    copy.env = {name: value for name, value in copy.env.items() if not name.startswith("PREFECT_")}
    copy.env["HOME"] = str(copy.folder / "home")
    (copy.folder / "home").mkdir(exist_ok=True)
    return copy


class Served:
    """A workspace with services of its own."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.folder = workspace, workspace.folder
        self.ports = free_port(), free_port()
        self.api = f"http://127.0.0.1:{self.ports[0]}/api"
        workspace.env["PREFECT_API_URL"] = self.api

    def up(self) -> str:
        options = "--prefect-port", str(self.ports[0]), "--mlflow-port", str(self.ports[1])
        return self.workspace.run("srledger", "services", "up", *options).stdout

    def ask(self, path: str, **body: Any) -> Any:
        """POST to Prefect's API."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.api}/{path}", json.dumps(body).encode("utf-8"), headers)
        with urllib.request.urlopen(request, timeout=10.0) as answer:
            return json.loads(answer.read())

    def newest_run(self) -> dict[str, Any]:
        return self.ask("flow_runs/filter", sort="START_TIME_DESC", limit=1)[0]

    def tasks(self, run: dict[str, Any]) -> dict[str, str]:
        """Task name -> state name of a flow run."""
        return state_names(self.ask("task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}}, limit=200))

    def shows(self, run: dict[str, Any], **wanted: str) -> bool:
        """Whether the server shows these states; what tasks tell it arrives a moment later."""
        return self.tasks(run) | wanted == self.tasks(run)

    def trainers(self) -> list[int]:
        """Processes that train in this folder."""
        return [pid for pid, command in self.processes().items() if b"stages/train.py" in command]

    def processes(self) -> dict[int, bytes]:
        """Processes whose working folder is this one."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue
        return found

    def train_for_long(self) -> dict[str, Any]:
        """Start a training that would take hours, and wait until it trains; returns its flow run."""
        self.workspace.edit("params.yaml", *LONG_TRAINING)
        shutil.rmtree(self.folder / "scratch" / "smoke", ignore_errors=True)
        self.workspace.run("prefect", "deployment", "run", "pipeline", "-p", 'targets=["train@landmark_unet"]')
        wait_for(
            lambda: list(self.folder.glob("scratch/smoke/landmark_unet/seed0/*/step_*.json")), 90.0, "a checkpoint"
        )
        return self.newest_run()


def drop_tables(workspace: Workspace, *tables: str) -> None:
    """Take tables of the grid out of params.yaml."""
    path = workspace.folder / "params.yaml"
    text = path.read_text(encoding="utf-8")
    for table in tables:
        text, count = re.subn(rf"(?m)^  landmark_unet_{table}:\n(?:    .*\n)+", "", text)
        assert count == 1, table
    path.write_text(text, encoding="utf-8")
