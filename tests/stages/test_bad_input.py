"""A user's mistake in a stage: one message with the mend, no traceback, nothing half-written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from conftest import Workspace


def test_a_typo_stops_before_any_work(workspace: Workspace) -> None:
    workspace.edit("params.yaml", "pixel_loss: l1", "pixel_los: l1")
    done = workspace.run("dvc", "repro", check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert "unknown key 'pixel_los'" in said and "nearest:  pixel_loss" in said and "params.yaml:" in said
    assert not (workspace.folder / "data").exists() and not (workspace.folder / "runs").exists()


@pytest.mark.parametrize(
    ("variable", "said"),
    [(None, "SRLEDGER_MIRROR"), ("/nowhere/at/all", "/nowhere/at/all")],
    ids=["not set", "not there"],
)
def test_a_missing_mirror_says_how_to_point_to_it(workspace: Workspace, variable: str | None, said: str) -> None:
    workspace.edit("params.yaml", "\nscale: smoke", "\nscale: celeba_cpu")
    if variable is not None:
        workspace.env["SRLEDGER_MIRROR"] = variable
    done = workspace.run("python", "stages/download.py", "faces", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert said in done.stderr and "export SRLEDGER_MIRROR=" in done.stderr
    assert not list(workspace.folder.glob("data/celeba_cpu/raw/*"))


def test_a_stage_names_the_nearest_dataset(workspace: Workspace) -> None:
    done = workspace.run("python", "stages/download.py", "face", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "nearest:  faces" in done.stderr


def test_a_stage_says_how_it_is_called(workspace: Workspace) -> None:
    done = workspace.run("python", "stages/train.py", check=False)
    assert done.returncode == 1 and "usage: python stages/train.py VARIANT" in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("config", "rrbd"), "nearest:  rrdb"),
        (("report", "--scale", "quikc"), "nearest:  quick"),
        (("report", "--scale", "smoke"), "there is no report of this scale"),
        (("repro", "--only", "landmark_nut"), "nearest:  landmark_unet"),
        (("explain", "psnr_rgb/bicubic/faces_x8"), "there is no ledger"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_the_command_line_answers_in_words(workspace: Workspace, command: tuple[str, ...], said: str) -> None:
    done = workspace.run("srledger", *command, check=False)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_config_prints_what_is_resolved(workspace: Workspace) -> None:
    shown = workspace.run("srledger", "config", "landmark_unet").stdout
    assert (
        '"scale": "smoke"' in shown and re.search(r'"width": 8\b', shown) and '"prior_name": "landmark_gauss"' in shown
    )


def test_another_scale_leaves_params_and_lock_alone(finished: Workspace, tmp_path: Path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    copy.edit("params.yaml", "\nscale: smoke", "\nscale: quick")
    (copy.folder / "dvc.lock").unlink()
    shutil.rmtree(copy.folder / "results")
    before = (copy.folder / "params.yaml").read_bytes()
    copy.run("srledger", "repro", "--scale", "smoke", "--only", "bicubic")
    assert (copy.folder / "params.yaml").read_bytes() == before
    assert not (copy.folder / "dvc.lock").exists()
    assert (copy.folder / "results" / "smoke" / "bicubic" / "rows.parquet").exists()
