"""A report made in parts with the real DVC: one row is run on a machine that has no result of the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Workspace

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.io import read_json, write_json
from srledger.layout import Layout
from srledger.reporting.explain import read_cells
from srledger.reporting.keep import keep_report

UNET, STUDENT, BICUBIC = "landmark_unet", "landmark_unet_student", "bicubic"
RATE = "pixel_loss: l1 }\n    training: { learning_rate: 1.0e-3 }"  # of the first variant that has it: landmark_unet
REPORT = "reports/smoke"


def on_another_machine(workspace: Workspace) -> None:
    """Nothing is left of the rows that run: a clone has the report, and a machine makes the data in minutes."""
    for folder in ("results/smoke", "runs/smoke"):
        for row in (BICUBIC, UNET, STUDENT):
            shutil.rmtree(workspace.folder / folder / row)
    shutil.rmtree(workspace.folder / "scratch")


def lines_of(workspace: Workspace, row: str) -> list[str]:
    cells = (workspace.folder / REPORT / "cells.csv").read_text(encoding="utf-8").splitlines()
    return [line for line in cells if line.split(",")[1] == row]


def statuses(workspace: Workspace, row: str) -> set[str]:
    return {cell["status"] for cell in read_cells(workspace.folder / REPORT / "cells.csv") if cell["row"] == row}


@pytest.fixture(scope="module")
def parted(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """landmark_unet was run alone after a change of its settings, which are its student's teacher's too."""
    workspace = finished.copy_to(tmp_path_factory.mktemp("parted") / "project")
    on_another_machine(workspace)
    workspace.edit("params.yaml", RATE, RATE.replace("1.0e-3", "2.0e-3"))
    return workspace, workspace.run("srledger", "repro", "--scale", "smoke", "--only", UNET).stdout


def test_what_was_run_is_new_and_what_holds_is_kept(finished: Workspace, parted: tuple[Workspace, str]) -> None:
    workspace, said = parted
    assert "kept 1 rows of the committed report; made 1" in said
    assert lines_of(workspace, BICUBIC) == lines_of(finished, BICUBIC)
    file = f"{REPORT}/rows/{BICUBIC}__faces_x8.parquet"
    assert (workspace.folder / file).read_bytes() == (finished.folder / file).read_bytes()
    assert "ok" in statuses(workspace, UNET) and lines_of(workspace, UNET) != lines_of(finished, UNET)
    pictures = [
        f"{REPORT}/rows/pictures/faces_x8/{image}/{BICUBIC}.png" for image in ("test_p0000_i0", "test_p0001_i0")
    ]
    assert [(workspace.folder / path).read_bytes() for path in pictures] == [
        (finished.folder / path).read_bytes() for path in pictures
    ]
    gates = read_json(workspace.folder / REPORT / "rows/gates.json")
    assert {f"{row}/images" for row in (BICUBIC, UNET)} == {
        gate["name"] for gate in gates if gate["kind"] == "rows" and gate["name"].endswith("/images")
    }


def test_a_row_of_earlier_settings_is_dropped_with_the_reason(parted: tuple[Workspace, str]) -> None:
    workspace, said = parted
    stale = "stale: settings have changed since"
    assert statuses(workspace, STUDENT) == {stale}
    assert f"{stale}: {STUDENT}: srledger repro --scale smoke --only {STUDENT}" in said
    assert not (workspace.folder / REPORT / f"rows/{STUDENT}__faces_x8.parquet").exists()
    timings = (workspace.folder / REPORT / "machine.csv").read_text(encoding="utf-8")
    assert f"\n{BICUBIC},evaluate" in timings and f"\n{UNET},train" in timings and STUDENT not in timings


def test_a_probe_is_kept_or_asked_again_or_says_what_it_lacks(
    finished: Workspace, parted: tuple[Workspace, str]
) -> None:
    before, after = (
        {record["name"]: record for record in read_json(each.folder / REPORT / "rows/probes/index.json")}
        for each in (finished, parted[0])
    )
    assert after["mask_area"] == before["mask_area"]  # of maps alone: what was found holds
    assert after["colour_shift"]["status"] == "ok" and set(after["colour_shift"]["rows"]) == {BICUBIC, UNET}
    assert after["colour_shift"]["inputs"][BICUBIC] == before["colour_shift"]["inputs"][BICUBIC]


def test_the_report_is_what_its_rows_give_and_dvc_knows_nothing_of_it(
    finished: Workspace, parted: tuple[Workspace, str]
) -> None:
    workspace, _ = parted
    checked = workspace.run("srledger", "report", "--scale", "smoke", "--check").stdout
    assert f"warning: {STUDENT} on faces_x8 has no numbers: stale: settings have changed since" in checked
    assert (workspace.folder / "dvc.lock").read_bytes() == (finished.folder / "dvc.lock").read_bytes()
    status = workspace.run("dvc", "status", "report").stdout
    assert f"modified:           {REPORT}/cells.csv" in status


def test_rows_of_other_images_are_dropped_and_torn_ones_are_refused(
    parted: tuple[Workspace, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = parted[0].copy_to(tmp_path / "copy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", copy.env["MLFLOW_TRACKING_URI"])
    params, layout = Params.load(copy.folder), Layout("smoke", copy.folder)
    rows = copy.folder / REPORT / "rows"
    shutil.copyfile(rows / f"{UNET}__faces_x8.parquet", rows / f"{BICUBIC}__faces_x8.parquet")
    before = copy.files(REPORT)
    with pytest.raises(SrledgerError, match="not what the committed cells say"):
        list(keep_report(params, layout))
    results = read_json(rows / "results.json")
    assert copy.files(REPORT) == before, "nothing is written by a run that refuses"

    record = next(record for record in results["results"] if record["row"] == BICUBIC)
    record["data_sha256"] = "0" * 64  # as if measured on other images than those that lie here
    write_json(rows / "results.json", results)
    said = "\n".join(keep_report(params, layout))
    assert "kept 0 rows of the committed report; made 1" in said
    assert statuses(copy, BICUBIC) == {"stale: images or maps have changed since"}
    assert lines_of(copy, UNET) == lines_of(parted[0], UNET)

    (layout.packs("faces_x8") / "test_lr.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SrledgerError, match="has not passed gate pairs as it is now"):
        list(keep_report(params, layout))


def test_a_whole_run_later_makes_the_whole_report_again(
    finished: Workspace, parted: tuple[Workspace, str], tmp_path: Path
) -> None:
    copy = parted[0].copy_to(tmp_path / "copy")
    copy.edit("params.yaml", RATE.replace("1.0e-3", "2.0e-3"), RATE)
    copy.run("dvc", "repro")
    made, first = (
        {path: data for path, data in each.files(REPORT).items() if not path.endswith("machine.csv")}
        for each in (copy, finished)
    )
    assert made == first
