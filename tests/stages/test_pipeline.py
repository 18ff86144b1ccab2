"""The whole graph on 8 images, with the real DVC: it runs, it is idle the second time, it reruns what changed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from conftest import Workspace

from srledger.yamlmap import YamlFile


def stages_run(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage ")}


def stages_to_run(workspace: Workspace) -> set[str]:
    """Names of out-of-date stages, as DVC sees them, without those that wait for another's output."""
    status = json.loads(workspace.run("dvc", "status", "--json", "dvc.yaml").stdout)
    changed = set()
    for stage, reasons in status.items():
        for reason in reasons:
            if isinstance(reason, dict) and "changed deps" in reason:
                changed.add(stage)
    return changed


def test_everything_a_reader_needs_is_there(finished: Workspace) -> None:
    report = finished.folder / "reports" / "smoke"
    assert (report / "index.html").stat().st_size > 10_000
    header = (report / "cells.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == (
        "table,row,task,metric,value,ci_low,ci_high,n,seeds,unit,published,published_source,"
        "data_sha256,code_sha256,params_sha256,weights_sha256,status"
    )
    assert {path.suffix for path in (report / "tables").iterdir()} == {".md", ".tex", ".csv"}
    assert (report / "rows" / "landmark_unet__faces_x8.parquet").exists()
    assert (report / "machine.csv").read_text(encoding="utf-8").startswith("row,stage,seed,seconds")
    for row in ("bicubic", "landmark_unet", "landmark_unet_student"):
        assert f",{row},faces_x8,psnr_rgb," in (report / "cells.csv").read_text(encoding="utf-8")


def test_the_second_run_runs_nothing(finished: Workspace) -> None:
    assert stages_run(finished.run("dvc", "repro").stdout) == set()


def test_a_copy_in_another_folder_makes_the_same_bytes(finished: Workspace, workspace: Workspace) -> None:
    workspace.run("dvc", "repro")
    names = ("index.html", "cells.csv", "tables", "figures", "rows")
    wanted = {path: data for path, data in finished.files("reports/smoke").items() if path.split("/")[2] in names}
    made = {path: data for path, data in workspace.files("reports/smoke").items() if path.split("/")[2] in names}
    assert made.keys() == wanted.keys()
    assert [path for path in wanted if wanted[path] != made[path]] == []


def test_the_report_renders_again_from_committed_rows_alone(finished: Workspace, workspace: Workspace) -> None:
    shutil.copytree(finished.folder / "reports", workspace.folder / "reports")
    assert not (workspace.folder / "data").exists()
    workspace.run("srledger", "report", "--scale", "smoke", "--check")
    workspace.edit("reports/smoke/cells.csv", ",ok\n", ",OK\n")
    failed = workspace.run("srledger", "report", "--scale", "smoke", "--check", check=False)
    assert failed.returncode == 1 and "status: committed OK, re-made ok" in failed.stderr


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("src/srledger/reporting/html.py", {"report"}),
        ("src/srledger/methods/rrdb.py", {"train@rrdb", "train@rrdb_photos", "evaluate@rrdb", "evaluate@rrdb_photos"}),
        ("src/srledger/cli.py", set()),
        ("src/srledger/gates/pairs.py", {"gate_manifests", "gate_pairs", "gate_priors", "gate_rows"}),
        ("src/srledger/tracking/machine.py", {"machine"}),
        (
            "src/srledger/degradations/bicubic.py",
            {"degrade@faces_x4", "degrade@faces_x8", "degrade@photos_x4", "gate_pairs"},
        ),
    ],
)
def test_a_change_reruns_only_what_depends_on_it(
    finished: Workspace, tmp_path: Path, file: str, stages: set[str]
) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    path = copy.folder / file
    path.write_text(path.read_text(encoding="utf-8") + "\n# a remark\n", encoding="utf-8")
    assert stages_to_run(copy) == stages


def test_the_hashed_code_is_the_code_that_dvc_watches(finished: Workspace) -> None:
    from srledger.provenance import SHARED_CODE, stage_code

    lock = YamlFile.read(finished.folder / "dvc.lock").values["stages"]["train@landmark_unet"]["deps"]
    watched = {dep["path"] for dep in lock if dep["path"].startswith(("src/", "stages/"))}
    item = {"key": "landmark_unet", "method": "landmark_unet"}
    shared = {dep for dep in watched if dep.startswith(SHARED_CODE)}
    hashed = {path.relative_to(finished.folder).as_posix() for path in stage_code(finished.folder, "train", item)}
    assert all(any(file == dep or file.startswith(dep + "/") for dep in watched) for file in hashed)
    assert all(any(file == dep or file.startswith(dep + "/") for file in hashed) for dep in watched - shared)


def test_a_row_whose_data_cannot_be_had_stands_in_the_tables(finished: Workspace, tmp_path: Path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    copy.edit("params.yaml", "set5: null", 'set5: { unavailable: "its folder is not given" }')
    copy.edit(
        "params.yaml",
        "rows: [bicubic, landmark_unet, landmark",
        "rows: [bicubic_on_set5_x4, bicubic, landmark_unet, landmark",
    )
    copy.run("python", "stages/report.py")
    cells = (copy.folder / "reports/smoke/cells.csv").read_text(encoding="utf-8").splitlines()
    of_set5 = [cell for cell in cells if cell.startswith("set5_x4,bicubic,set5_x4,psnr_y_ycbcr_crop4,,")]
    assert len(of_set5) == 1 and of_set5[0].endswith("unavailable: its folder is not given")
    page = (copy.folder / "reports/smoke/index.html").read_text(encoding="utf-8")
    assert "its folder is not given" in page


METHOD = '''
"""Nearest neighbour."""

import torch.nn.functional as F

from srledger.methods import Method, hr_shape
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Nothing to set."""


class Nearest(Method):
    trainable = False

    def restore(self, lr, prior, seeds):
        return F.interpolate(lr, size=hr_shape(lr, self.scale_factor), mode="nearest")
'''

METRIC = '''
"""Mean absolute difference in grey levels."""

from srledger.metrics import Metric
from srledger.plugins import PluginConfig


class Config(PluginConfig):
    """Nothing to set."""


class GreyLevels(Metric):
    higher_is_better = False
    digits = 2
    protocol = "mean absolute difference, RGB, 8-bit"

    def measure(self, sr, hr):
        return (sr.double() - hr.double()).abs().mean(dim=(1, 2, 3))
'''


@pytest.mark.slow  # make test-long
def test_a_method_and_a_metric_are_one_file_and_one_entry_each(finished: Workspace, tmp_path: Path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    source = copy.folder / "src" / "srledger"
    (source / "methods" / "nearest.py").write_text(METHOD, encoding="utf-8")
    (source / "metrics" / "grey_levels.py").write_text(METRIC, encoding="utf-8")
    params = (copy.folder / "params.yaml").read_text(encoding="utf-8")
    entry = "  nearest: { method: nearest, task: faces_x8, prior: uniform, encoder: none }\n"
    copy.edit("params.yaml", "\nvariants:\n", f"\nvariants:\n{entry}")
    copy.edit("params.yaml", "\n  - psnr_rgb\n", "\n  - psnr_rgb\n  - grey_levels\n")
    copy.edit(
        "params.yaml", "rows: [bicubic, landmark_unet, landmark", "rows: [nearest, bicubic, landmark_unet, landmark"
    )
    tests = str(Path(__file__).parents[1] / "contract")
    contract = copy.run("python", "-m", "pytest", "-q", "-k", "nearest or grey_levels", tests)
    assert " passed" in contract.stdout
    copy.run("dvc", "repro")
    values = {}
    with (copy.folder / "reports" / "smoke" / "cells.csv").open(encoding="utf-8", newline="") as file:
        for cell in csv.DictReader(file):
            values[cell["row"], cell["metric"]] = cell["value"]
    assert float(values["nearest", "grey_levels"]) > 0 and float(values["bicubic", "grey_levels"]) > 0
    assert values["nearest", "psnr_rgb"] != values["bicubic", "psnr_rgb"]

    (source / "methods" / "nearest.py").unlink()
    (source / "metrics" / "grey_levels.py").unlink()
    (copy.folder / "params.yaml").write_text(params, encoding="utf-8")
    copy.run("dvc", "repro")
    report = copy.files("reports/smoke")
    assert all(b"grey_levels" not in data and b"nearest: " not in data for data in report.values())
    assert not (copy.folder / "results" / "smoke" / "nearest").exists()
    assert report["reports/smoke/cells.csv"] == (finished.folder / "reports/smoke/cells.csv").read_bytes()


def test_a_result_of_the_same_fingerprint_is_taken_as_it_was_measured(finished: Workspace, tmp_path: Path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    measured = copy.folder / "results/smoke/bicubic"
    noted = next(copy.folder.rglob("bicubic.evaluate.json"))
    before, result = noted.stat().st_mtime_ns, copy.files("results/smoke/bicubic")
    shutil.rmtree(measured)
    copy.run("python", "stages/evaluate.py", "bicubic")
    assert copy.files("results/smoke/bicubic") == result and noted.stat().st_mtime_ns == before
    copy.edit("params.yaml", "threads: 2, saved_images: 8", "threads: 2, saved_images: 4")
    copy.run("python", "stages/evaluate.py", "bicubic")
    assert copy.files("results/smoke/bicubic") != result and noted.stat().st_mtime_ns > before
