"""The probes stage at `smoke`: numbers in the report, one process, nothing asked twice, words where there is none."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pyarrow.parquet as parquet
import pytest
from conftest import Workspace

from srledger.config import Params
from srledger.layout import Layout
from srledger.packs import Pack
from srledger.probing.source import Source
from srledger.probing.spec import rows_of

ROWS = ("bicubic", "landmark_unet", "landmark_unet_student")


def records(workspace: Workspace) -> dict[str, dict]:
    text = (workspace.folder / "reports/smoke/rows/probes/index.json").read_text(encoding="utf-8")
    return {record["name"]: record for record in json.loads(text)}


def test_every_probe_that_has_a_row_stands_in_the_report(finished: Workspace) -> None:
    found = records(finished)
    params = Params.load(finished.folder)
    rows = {name: rows_of(params, getattr(spec.config, "rows", ())) for name, spec in params.probes.items()}
    assert list(found) == [name for name, of in rows.items() if not of or any(map(params.is_active, of))]
    page = (finished.folder / "reports/smoke/probes.html").read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)">', page) == list(found)
    assert {name for name, record in found.items() if record["status"] != "ok"} == {"metric_preference"}
    assert "unavailable: no pair of rows has results on both sides" in page
    assert not re.search(r'(src|href)="https?:', page)


def test_a_number_of_the_page_is_that_of_the_table_and_of_the_images(finished: Workspace) -> None:
    report = finished.folder / "reports/smoke"
    with (report / "tables/probe_colour_shift_shift.csv").open(encoding="utf-8", newline="") as file:
        shifts = {line["row"]: float(line["red, mean"]) for line in csv.DictReader(file)}
    table = parquet.read_table(report / "rows/probes/colour_shift.parquet").to_pydict()
    values = [red for row, red in zip(table["row"], table["red"], strict=True) if row == "landmark_unet"]
    assert shifts["landmark_unet"] == pytest.approx(np.mean(values), abs=1e-6)
    packs = finished.folder / "data/smoke/packs/faces_x8/test_hr", finished.folder / "results/smoke/landmark_unet/sr"
    hr, sr = (Pack(path) for path in packs)
    direct = [float((sr.by_id(k)[..., 0].astype(float) - hr.by_id(k)[..., 0]).mean()) for k in hr.ids]
    assert values == pytest.approx(direct, abs=1e-5)


def test_images_restored_again_are_those_of_the_evaluation(finished: Workspace) -> None:
    params, layout = Params.load(finished.folder), Layout("smoke", finished.folder)
    source = Source(params, layout, "faces_x8", {row: row for row in ROWS}, print)
    for row in ROWS:
        saved = source.restored(row, source.seeds(row)[0], 100)
        again = source._restore(row, source.seeds(row)[0], len(saved), 0)
        assert len(saved) == 2 and all(np.array_equal(a, b) for a, b in zip(saved, again, strict=True))
        other = source._restore(row, source.seeds(row)[0], 1, 3)  # a deterministic method has no other sample
        assert np.array_equal(other[0], saved[0])


def test_what_did_not_change_is_not_asked_again(finished: Workspace, tmp_path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    kept = sorted((copy.folder / "scratch/smoke/probes").iterdir())
    marks = {path: (path / "table.parquet").stat().st_mtime_ns for path in kept}
    copy.edit("params.yaml", "lower_bound: 0.3, rule: max }\n  mask_area", "lower_bound: 0.2, rule: max }\n  mask_area")
    copy.run("python", "stages/probes.py")
    assert {path: (path / "table.parquet").stat().st_mtime_ns for path in kept} == marks
    assert len(list((copy.folder / "scratch/smoke/probes").iterdir())) == len(kept) + 1
    checked = copy.run("srledger", "report", "--check", check=False)
    assert checked.returncode == 1 and "probe diffused_ratio: stale, moved: config" in checked.stderr


def test_a_typo_among_the_rows_stops_before_any_work(workspace: Workspace) -> None:
    workspace.edit("params.yaml", "rows: [bicubic, rrdb, landmark_unet], prior", "rows: [bicubic, rdbr], prior")
    failed = workspace.run("python", "stages/probes.py", check=False)
    assert failed.returncode == 1 and "unknown row 'rdbr'" in failed.stderr and "nearest:  rrdb" in failed.stderr
    assert re.search(r"params\.yaml:\d+: probes\.attention_bins\.config\.rows", failed.stderr)


def test_rows_of_two_tasks_are_refused(workspace: Workspace) -> None:
    workspace.edit("params.yaml", "rows: [bicubic, rrdb, landmark_unet], prior", "rows: [bicubic, rrdb_photos], prior")
    failed = workspace.run("python", "stages/probes.py", check=False)
    assert "the rows of a probe belong to one task" in failed.stderr and "rrdb_photos: photos_x4" in failed.stderr


def test_a_row_whose_data_cannot_be_had_is_named(finished: Workspace, tmp_path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    copy.edit("params.yaml", "set5: null", 'set5: { unavailable: "its folder is not given" }')
    copy.edit("params.yaml", "rows: [bicubic, landmark_unet,", "rows: [bicubic_on_set5_x4, bicubic, landmark_unet,")
    probe = '  of_set5: { title: "Set5", probe: colour_shift, config: { rows: [bicubic_on_set5_x4] } }\n'
    copy.edit("params.yaml", "\nprobes:\n", f"\nprobes:\n{probe}")
    copy.run("python", "stages/probes.py")
    copy.run("python", "stages/report.py")
    record = records(copy)["of_set5"]
    assert record["status"] == "unavailable: none of its rows has results"
    assert record["missing"] == {"bicubic_on_set5_x4": "unavailable: its folder is not given"}
    assert "its folder is not given" in (copy.folder / "reports/smoke/probes.html").read_text(encoding="utf-8")


PROBE = '''
"""Brightness."""

from srledger.probes import Measured, Probe, Quantity, RowsConfig, Shown, ShownTable
from srledger.probes._tables import arrays, table_of


class Config(RowsConfig):
    """The rows."""


class Brightness(Probe):
    """Mean of all pixels."""

    def measure(self, source):
        lines = [
            (row, float(image.mean()))
            for row, seed in source.trained(self.config.seeds)
            for image in source.restored(row, seed, self.config.images)
        ]
        return Measured(table_of({"row": str, "brightness": float}, lines))

    def show(self, found, look):
        columns = arrays(found.table)
        lines = tuple((row, Quantity(columns["brightness"][columns["row"] == row].mean(), 1)) for row in look.rows)
        return Shown(tables=(ShownTable("brightness", "Brightness", ("row", "grey level"), lines),))
'''


def test_a_probe_is_one_file_and_one_entry(finished: Workspace, tmp_path) -> None:
    copy = finished.copy_to(tmp_path / "copy")
    (copy.folder / "src/srledger/probes/brightness.py").write_text(PROBE, encoding="utf-8")
    copy.edit("params.yaml", "\nprobes:\n", '\nprobes:\n  brightness: { title: "B", config: { rows: [bicubic] } }\n')
    copy.run("dvc", "repro")
    table = (copy.folder / "reports/smoke/tables/probe_brightness_brightness.md").read_text(encoding="utf-8")
    assert re.search(r"\| bicubic \| \d+\.\d \|", table)
    copy.run("srledger", "report", "--check")
