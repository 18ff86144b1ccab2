"""kill -9 while images become packs: what stands under its final name is whole, and the same command finishes."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import Workspace
from PIL import Image

from srledger.packs import Pack

KILLS = 4
IMAGES = {"train": 600, "val": 20, "test": 20}


@pytest.fixture
def set_to_files(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A project whose faces are 640 files, enough to be killed in the middle of."""
    rng = np.random.default_rng(0)
    for split, count in IMAGES.items():
        (tmp_path / "images" / split).mkdir(parents=True)
        for k in range(count):
            pixels = rng.integers(0, 256, (96, 96, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / split / f"{k:04}.png")
    text = (workspace.folder / "params.yaml").read_text(encoding="utf-8")
    start = text.index("source: synthetic_faces")
    end = text.index("\n", text.index("config:", start))
    entry = {
        "path": str(tmp_path / "images"), "root_env": None, "licence": "noise", "splits": {s: s for s in IMAGES},
    }  # fmt: skip
    text = text[:start] + f"source: folder\n        config: {json.dumps(entry)}" + text[end:]
    (workspace.folder / "params.yaml").write_text(text, encoding="utf-8")
    return workspace


def kill_when(workspace: Workspace, command: list[str], part: Path, delay_s: float) -> bool:
    """Start ``command``, kill it ``delay_s`` after ``part`` appears; True when it died of that."""
    process = subprocess.Popen(
        command, cwd=workspace.folder, env=workspace.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not part.exists():
        time.sleep(0.002)
    time.sleep(delay_s)
    process.kill()
    return process.wait() != 0


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (["python", "stages/download.py", "faces"], "data/smoke/raw/faces"),
        (["python", "stages/degrade.py", "faces_x8"], "data/smoke/packs/faces_x8"),
        (["python", "stages/gate.py", "manifests"], "data/smoke/passed/manifests"),
    ],
)
def test_a_killed_stage_leaves_nothing_half_made(set_to_files: Workspace, command: list[str], folder: str) -> None:
    workspace = set_to_files
    if "degrade" in command[1] or "gate" in command[1]:
        workspace.run("python", "stages/download.py", "faces")
    workspace.run("srledger", "config")  # every later start is quick, so that the kills meet the work
    final = workspace.folder / folder
    part = final.parent / f".{final.name}.part"
    rng = random.Random(time.time_ns())  # other moments every time; the delays are in the message
    delays = [0.0, *sorted(rng.uniform(0.0, 0.35) for _ in range(KILLS - 1))]  # the first meets the quickest stage
    died = []
    for delay_s in delays:
        died.append(kill_when(workspace, command, part, delay_s))
        if final.exists():  # it was done: what stands there must be whole, whatever became of the process
            break
    assert any(died), f"no kill met the stage: delays {delays}"
    stood = workspace.files(folder)
    workspace.run(*command)
    assert stood in ({}, workspace.files(folder)), f"killed after {delays[: len(died)]}, it left something else"
    for index in final.glob("*.json"):
        if index.with_suffix(".bin").exists():
            Pack(index.with_suffix("")).verify()
    assert not list(final.parent.glob(".*.part"))
    again = workspace.files(folder)
    workspace.run(*command)
    assert workspace.files(folder) == again
