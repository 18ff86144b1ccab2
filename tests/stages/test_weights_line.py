"""One line fills a column: with stand-in files for published weights, LPIPS stands in the table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from conftest import Workspace

from srledger.io import sha256_file
from srledger.seeds import seed_for


def lpips_cells(workspace: Workspace) -> dict[str, dict[str, str]]:
    with (workspace.folder / "reports" / "smoke" / "cells.csv").open(encoding="utf-8", newline="") as file:
        return {cell["row"]: cell for cell in csv.DictReader(file) if cell["metric"] == "lpips_alex"}


@pytest.mark.slow  # make test-long
def test_one_line_fills_the_lpips_column(finished: Workspace, tmp_path: Path) -> None:
    from torchvision.models import alexnet

    before = lpips_cells(finished)
    assert all(cell["status"].startswith("unavailable: weights 'alexnet_imagenet'") for cell in before.values())

    torch.manual_seed(seed_for("stand-in trunk"))
    workspace = finished.copy_to(tmp_path / "copy")
    trunk = {name: value for name, value in alexnet(weights=None).state_dict().items() if name.startswith("features")}
    file = tmp_path / "weights" / "alexnet-owt-7be5be79.pth"
    file.parent.mkdir()
    torch.save(trunk, file)
    workspace.env["SRLEDGER_WEIGHTS"] = str(file.parent)
    workspace.edit("src/srledger/weights.yaml", "sha256_prefix: 7be5be79", f"sha256: {sha256_file(file)}")
    workspace.edit("params.yaml", "    weights: []\n", "    weights: [alexnet_imagenet]\n")
    workspace.run("dvc", "repro")

    after = lpips_cells(workspace)
    assert after.keys() == before.keys()
    assert all(cell["status"] == "ok" and float(cell["value"]) > 0 for cell in after.values())
