"""kill -9 of the trainer, then the same command: the same bytes as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import Workspace

KILLS = 3
pytestmark = pytest.mark.slow  # make test-kills


def trainers(folder: Path) -> list[int]:
    """Processes that run a train or distill stage inside ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            trains = command[0].endswith(b"python") and {b"stages/train.py", b"stages/distill.py"} & set(command)
            if trains and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def checkpoints(workspace: Workspace) -> set[Path]:
    """The commit marks of all checkpoints that stand in scratch."""
    return set((workspace.folder / "scratch" / "smoke").glob("*/seed*/*/step_*.json"))


def repro_with_a_kill(workspace: Workspace, delay_s: float) -> bool:
    """Run `dvc repro` and kill its trainer ``delay_s`` after the first checkpoint of this round. True when one died."""
    before = checkpoints(workspace)
    repro = subprocess.Popen(
        ["dvc", "repro"], cwd=workspace.folder, env=workspace.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    killed = False
    while repro.poll() is None:
        if not killed and checkpoints(workspace) - before:
            time.sleep(delay_s)
            for pid in trainers(workspace.folder):
                os.kill(pid, signal.SIGKILL)
                killed = True
        time.sleep(0.005)
    return killed


def test_a_killed_trainer_leaves_no_trace_in_the_result(finished: Workspace, workspace: Workspace) -> None:
    rng = random.Random(time.time_ns())  # other moments every time; the delays are in the message
    delays = [rng.uniform(0.0, 0.25) for _ in range(KILLS)]
    died = [repro_with_a_kill(workspace, delay) for delay in delays]
    assert all(died), f"a round met no trainer: {died} with delays {delays}"
    workspace.run("dvc", "repro")
    for folder in ("runs/smoke", "results/smoke", "reports/smoke"):
        wanted, made = finished.files(folder), workspace.files(folder)
        differing = [path for path in wanted if path != "reports/smoke/machine.csv" and wanted[path] != made.get(path)]
        assert made.keys() == wanted.keys() and not differing, f"{differing} differ after kills at {delays}"
    assert trainers(workspace.folder) == []
