"""A folder of images becomes packs: `srledger add-dataset`, then `dvc repro`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from conftest import Workspace
from PIL import Image

from srledger.packs import Pack


def test_a_folder_becomes_packs(workspace: Workspace, tmp_path: Path) -> None:
    images = tmp_path / "birds"
    rng = np.random.default_rng(0)
    for split, count in {"train": 3, "valid": 1, "test": 2}.items():
        (images / split).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(rng.integers(0, 256, (37, 37, 3), dtype=np.uint8)).save(images / split / f"{k}.png")
    (images / "test" / "notes.txt").write_text("taken in May")

    added = workspace.run("srledger", "add-dataset", str(images), "--licence", "own photographs", "--yes")
    assert "next: dvc repro evaluate_transfers@bicubic_on_birds_x4" in added.stdout
    workspace.run("dvc", "repro", "degrade@birds_x4")
    packs = workspace.folder / "data" / "smoke" / "packs" / "birds_x4"
    for split, count in {"train": 3, "val": 1, "test": 2}.items():
        assert Pack(packs / f"{split}_hr").shapes == [(36, 36, 3)] * count
        assert Pack(packs / f"{split}_lr").shapes == [(9, 9, 3)] * count
    assert json.loads((packs / "task.json").read_text())["dataset"]["licence"] == "own photographs"

    Image.fromarray(rng.integers(0, 256, (37, 37, 3), dtype=np.uint8)).save(images / "test" / "0.png")
    refused = workspace.run("python", "stages/download.py", "birds", check=False)
    assert refused.returncode == 1 and "changed" in refused.stderr and "Traceback" not in refused.stderr
    accepted = workspace.run("srledger", "add-dataset", str(images), "--update", "--yes")
    assert "changed: test/0.png" in accepted.stdout
    workspace.run("python", "stages/download.py", "birds")
