"""Which rows a report made in parts may show: made here, kept as committed, or dropped with the reason."""

from __future__ import annotations

import copy
import csv
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from reporting_fixture import build_rows

from srledger.ablations import mark_failed
from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.io import read_json, write_json
from srledger.layout import Layout
from srledger.provenance import (
    code_sha256,
    data_sha256,
    maps_code_sha256,
    packs_sha256,
    params_sha256,
    train_code_sha256,
)
from srledger.reporting.cells import build_cells, cells_csv
from srledger.reporting.config import ReportConfig
from srledger.reporting.explain import explain, read_cells
from srledger.reporting.layout import lay_out
from srledger.reporting.moved import moved, stands
from srledger.reporting.rows import read_rows
from srledger.reporting.standing import Standing, check_kept, committed_results, standings
from srledger.settings import Evaluation
from srledger.tracking.machine import write_machine_table
from srledger.yamlmap import YamlFile

PSNR = {"psnr_rgb": {"protocol": "PSNR over RGB", "unit": "dB"}}
UNET, STUDENT, BICUBIC = "landmark_unet", "landmark_unet_student", "bicubic"
STUDENT_WIDTH = "smoke: { config: { width: 4, up_widths: [4, 4, 4]"


class Machine:
    """A folder with this tree's code, params.yaml at scale `smoke`, and indices in place of packs and maps."""

    def __init__(self, root: Path, params: Params) -> None:
        self.root, self.layout, self.params = root, Layout("smoke", root), params
        for name in ("src", "stages", "ablations", "dvc.yaml"):
            (root / name).symlink_to(ROOT / name)
        for task in ("faces_x8", "faces_x4"):
            write_json(self.layout.packs(task) / "task.json", {"task": task})
            for prior in ("uniform", "landmark_gauss", "dino_max"):
                write_json(self.layout.prior(prior) / task / "test.json", {"maps": prior})
        self.committed: dict[str, Any] = {
            "results": [self.record(one) for one in self.params.evaluations.values() if one.active]
        }

    def record(self, one: Evaluation, params: Params | None = None) -> dict[str, Any]:
        """What the evaluation of a row leaves."""
        return {
            "row": one.row.name, "task": one.task.name, "failed": None, "metric_info": PSNR, "weights_sha256": "",
            "data_sha256": data_sha256(self.layout, one),
            "code_sha256": code_sha256(self.root, params or self.params, one),
            "params_sha256": params_sha256(params or self.params, one),
        }  # fmt: skip

    def committed_of(self, row: str) -> dict[str, Any]:
        return next(record for record in self.committed["results"] if record["row"] == row)

    def measured(self, row: str, **changes: Any) -> None:
        """A result of a row lies on this machine."""
        record = {**self.record(self.params.evaluations[row]), **changes}
        write_json(self.layout.result(row) / "result.json", record)

    def stand(self) -> dict[str, Standing]:
        return {one.name: one for one in standings(self.params, self.layout, self.committed)}


@pytest.fixture(scope="module")
def file() -> YamlFile:
    return YamlFile.read(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def params(file: YamlFile) -> Params:
    return Params(file, "smoke")


@pytest.fixture
def machine(tmp_path: Path, params: Params) -> Machine:
    return Machine(tmp_path, params)


def status(one: Standing) -> str:
    return one.absence.status if one.absence else one.of


def test_a_row_is_kept_until_it_is_made_here(machine: Machine) -> None:
    assert {name: one.of for name, one in machine.stand().items()} == dict.fromkeys((BICUBIC, UNET, STUDENT), "kept")
    machine.measured(UNET)
    found = machine.stand()
    assert {name: one.of for name, one in found.items()} == {BICUBIC: "kept", UNET: "here", STUDENT: "kept"}


def test_a_row_whose_settings_have_changed_is_dropped_alone(machine: Machine) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert STUDENT_WIDTH in text
    text = text.replace(STUDENT_WIDTH, STUDENT_WIDTH.replace("width: 4", "width: 5"), 1)
    (machine.root / "params.yaml").write_text(text, encoding="utf-8")
    machine.params = Params(YamlFile.read(machine.root / "params.yaml"), "smoke")
    found = machine.stand()
    assert status(found[STUDENT]) == "stale: settings have changed since"
    assert found[BICUBIC].of == found[UNET].of == "kept"


def test_a_result_of_earlier_settings_is_not_shown_because_it_lies_here(machine: Machine) -> None:
    machine.measured(STUDENT, params_sha256="0" * 64)
    assert machine.stand()[STUDENT].of == "kept"
    machine.committed_of(STUDENT)["params_sha256"] = "1" * 64
    assert status(machine.stand()[STUDENT]) == "stale: settings have changed since"


def test_a_row_measured_on_other_images_is_dropped(machine: Machine) -> None:
    write_json(machine.layout.prior("landmark_gauss") / "faces_x8" / "test.json", {"maps": "others"})
    found = machine.stand()
    assert {name: status(one) for name, one in found.items()} == {
        BICUBIC: "kept",
        UNET: "stale: images or maps have changed since",
        STUDENT: "stale: images or maps have changed since",
    }


def test_a_row_of_other_weights_than_those_here_is_dropped(machine: Machine) -> None:
    row = machine.params.rows[UNET]
    run = {
        "weights_sha256": {"0": "a", "1": "b"}, "resolved": row.resolved(),
        "code_sha256": train_code_sha256(machine.root, row),
    }  # fmt: skip
    write_json(machine.layout.run(UNET) / "run.json", run)
    assert status(machine.stand()[UNET]) == "stale: weights have changed since"
    write_json(machine.layout.run(UNET) / "run.json", {**run, "code_sha256": "of an older tree"})
    assert machine.stand()[UNET].of == "kept"


def test_old_weights_that_are_measured_anew_are_not_said_to_be_made_by_this_tree(machine: Machine) -> None:
    one = machine.params.evaluations[UNET]
    now = train_code_sha256(machine.root, one.row)
    assert code_sha256(machine.root, machine.params, one, now) == code_sha256(machine.root, machine.params, one)
    old = code_sha256(machine.root, machine.params, one, "of an older tree")
    assert old != code_sha256(machine.root, machine.params, one)
    machine.committed_of(UNET)["code_sha256"] = old
    assert status(machine.stand()[UNET]) == "stale: lines of its code have changed since"


def test_a_row_does_not_rest_on_weights_that_only_other_tasks_ask_for(file: YamlFile) -> None:
    of = {}
    for weights in ([], ["squeezenet1_1_caffe"], ["pfld"]):
        values = copy.deepcopy(file.values)
        values["tasks"]["faces_blind"]["metrics"] = ["lmd_pfld"]
        values["scales"]["quick"]["weights"] = weights
        params = Params(dataclasses.replace(file, values=values), "quick")
        rows = ("bicubic", "bicubic_on_faces_blind")
        of[tuple(weights)] = [params_sha256(params, params.evaluations[row]) for row in rows]
    plain, shared, own = of.values()
    assert plain[0] == own[0] and plain[1] != own[1]
    assert plain[0] != shared[0] and plain[1] != shared[1]


def test_rows_of_two_protocols_never_share_a_column(machine: Machine) -> None:
    machine.measured(UNET, metric_info={"psnr_rgb": {"protocol": "PSNR without a border", "unit": "dB"}})
    found = machine.stand()
    assert status(found[BICUBIC]) == "stale: protocols of its metrics have changed since" and found[UNET].of == "here"


def test_a_row_that_nobody_has_run_says_so(machine: Machine) -> None:
    machine.committed["results"].remove(machine.committed_of(UNET))
    machine.committed_of(BICUBIC).update(params_sha256="", code_sha256="", data_sha256="")  # its data could not be had
    found = machine.stand()
    assert status(found[UNET]) == status(found[BICUBIC]) == "unavailable: not run yet"


def test_a_dropped_row_keeps_its_reason_and_a_failed_one_its_words(machine: Machine) -> None:
    empty = dict.fromkeys(("params_sha256", "code_sha256", "data_sha256"), "")
    machine.committed_of(UNET).update(empty, absent="stale: images or maps have changed since")
    machine.committed_of(STUDENT)["failed"] = "the loss is not a number"
    found = machine.stand()
    assert status(found[UNET]) == "stale: images or maps have changed since" and found[UNET].of == "absent"
    assert status(found[STUDENT]) == "failed: the loss is not a number" and found[STUDENT].of == "kept"


def test_a_failure_here_stands_unless_the_committed_numbers_are_of_this_very_tree(machine: Machine) -> None:
    mark_failed(machine.layout, UNET, "no memory was left")
    assert machine.stand()[UNET].of == "kept"
    machine.committed_of(UNET)["code_sha256"] = "of an older tree"
    assert machine.stand()[UNET].of == "here"


def test_moved_code_drops_a_row_of_a_short_scale_and_is_told_of_a_long_one(machine: Machine, file: YamlFile) -> None:
    machine.committed_of(BICUBIC)["code_sha256"] = "0" * 64
    assert status(machine.stand()[BICUBIC]) == "stale: lines of its code have changed since"
    long = Params(file, "celeba_cpu")
    measured, committed = machine.record(long.evaluations[UNET], long), machine.committed_of(UNET)
    committed.update({name: measured[name] for name in ("params_sha256", "code_sha256")})  # of that scale's metrics
    write_json(machine.layout.result(UNET) / "result.json", {**measured, "code_sha256": "of an older tree"})
    at_hand = next(one for one in standings(long, machine.layout, machine.committed) if one.name == UNET)
    assert at_hand.of == "kept" and not at_hand.moved, "what lies here is older than what is committed"
    assert stands(long, ["code"]) and stands(long, ["code", "networks"]) and not stands(machine.params, ["networks"])
    assert not any(stands(long, [what]) for what in ("params", "data", "weights"))


def test_networks_behind_a_row_may_differ_in_bits_but_not_in_images_or_code(machine: Machine, file: YamlFile) -> None:
    long, layout = Params(file, "celeba_cpu"), machine.layout
    sr3_yoda, unet = long.evaluations["sr3_yoda"], long.evaluations[UNET]
    results: dict[str, Any] = {
        "tasks": {name: {"packs_sha256": packs_sha256(layout, name)} for name in ("faces_x4", "faces_x8")},
        "maps_code_sha256": {"dino_max": maps_code_sha256(machine.root, sr3_yoda.prior)},
    }
    records = {one.name: machine.record(one, long) for one in (sr3_yoda, unet)}
    for prior in ("dino_max", "landmark_gauss"):
        for task in ("faces_x4", "faces_x8"):
            write_json(layout.prior(prior) / task / "test.json", {"maps": "other bits"})

    def moved_of(one: Evaluation) -> list[str]:
        return moved(long, layout, one, records[one.name], results)

    assert moved_of(sr3_yoda) == ["networks"]
    assert moved_of(unet) == ["data"], "a heatmap is the same everywhere"
    results["maps_code_sha256"]["dino_max"] = "0" * 64
    assert moved_of(sr3_yoda) == ["data"]
    results["maps_code_sha256"]["dino_max"] = maps_code_sha256(machine.root, sr3_yoda.prior)
    write_json(layout.packs("faces_x4") / "task.json", {"task": "of other images"})
    assert moved_of(sr3_yoda) == ["data"]


def test_a_row_that_builds_on_an_encoder_is_judged_by_the_encoder_that_was_made_here(
    machine: Machine, file: YamlFile
) -> None:
    long, layout = Params(file, "celeba_cpu"), machine.layout
    diffbir = long.evaluations["diffbir"]
    assert diffbir.row.encoder is not None and long.evaluations[BICUBIC].row.encoder is None
    encoder, task = layout.encoder(diffbir.row.encoder.name) / "encoder.json", diffbir.task.name
    write_json(layout.packs(task) / "task.json", {"task": task})
    write_json(layout.prior(diffbir.prior.name) / task / "test.json", {"maps": diffbir.prior.name})
    run = layout.run("diffbir") / "run.json"
    write_json(run, {"encoder_sha256": "as trained"})
    record = machine.record(diffbir, long)
    results = {
        "tasks": {task: {"packs_sha256": packs_sha256(layout, task)}},
        "maps_code_sha256": {diffbir.prior.name: maps_code_sha256(machine.root, diffbir.prior)},
    }
    run.unlink()  # from here on this is another machine
    assert moved(long, layout, diffbir, record, results) == [], "nothing is here to compare with"
    write_json(encoder, {"weights_sha256": "as trained"})
    assert moved(long, layout, diffbir, record, results) == []
    write_json(encoder, {"weights_sha256": "as trained on another processor"})
    assert moved(long, layout, diffbir, record, results) == ["networks"]
    assert moved(long, layout, diffbir, record, {}) == ["data"], "nothing says that the images are the same"


def test_cells_without_their_rows_are_not_taken_for_an_empty_report(machine: Machine) -> None:
    assert committed_results(machine.layout) == {"results": []}
    (machine.layout.report() / "tables").mkdir(parents=True)
    (machine.layout.report() / "cells.csv").touch()
    with pytest.raises(SrledgerError, match="git checkout"):
        committed_results(machine.layout)


def test_lines_of_kept_rows_stay_in_the_table_of_timings(machine: Machine) -> None:
    header = "row,stage,seed,seconds,peak_memory_mib,images_per_s,threads,device\n"
    old = [f"{row},evaluate,,{seconds},900,20,2,cpu\n" for row, seconds in ((BICUBIC, 10), (UNET, 20), (STUDENT, 30))]
    path = machine.layout.report() / "machine.csv"
    path.parent.mkdir(parents=True)
    path.write_text(header + "".join(old) + "gone,evaluate,,1,1,1,1,cpu\n", encoding="utf-8")
    measured = dict.fromkeys(("seed", "peak_memory_mib", "images_per_s", "threads", "device"))
    for row in (BICUBIC, UNET):  # of bicubic an older timing, whose row is kept all the same
        values = {"row": row, "stage": "evaluate", "seconds": 5, **measured}
        write_json(machine.layout.machine() / f"{row}.evaluate.json", values)
    assert write_machine_table(machine.params, machine.layout, kept={BICUBIC}) == 1
    with path.open(encoding="utf-8", newline="") as file:
        assert [(line["row"], line["seconds"]) for line in csv.DictReader(file)] == [(BICUBIC, "10"), (UNET, "5")]
    assert write_machine_table(machine.params, machine.layout) == 2
    assert path.read_text(encoding="utf-8").count("\n") == 3


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    build_rows(folder / "rows", pairs=False)
    write_cells(folder)
    return folder


def write_cells(report: Path) -> None:
    config, rows = ReportConfig(bootstrap_resamples=100), read_rows(report / "rows", [])
    cells = build_cells(rows, lay_out(rows, config), {}, config)
    (report / "cells.csv").write_text(cells_csv(cells), encoding="utf-8")


def all_kept(report: Path) -> list[Standing]:
    """Every row of a rows folder that has numbers, as if it were to be kept."""

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    records = read_json(report / "rows" / "results.json")["results"]
    return [
        Standing(Evaluation(record["row"], Named(record["row"]), Named(record["task"]), None, True), "kept", record)  # type: ignore[arg-type]
        for record in records
        if not record["failed"]
    ]


def test_rows_are_kept_only_as_the_committed_cells_say(report: Path, tmp_path: Path) -> None:
    check_kept(report, all_kept(report), ReportConfig(alpha=0.1))  # other intervals, the same values
    copy = shutil.copytree(report, tmp_path / "copy")
    rows = copy / "rows"
    shutil.copyfile(rows / "unet__faces_x4.parquet", rows / "sr3_yoda__faces_x4.parquet")
    with pytest.raises(SrledgerError, match="not what the committed cells say") as caught:
        check_kept(copy, all_kept(copy), ReportConfig())
    assert "psnr_rgb/sr3_yoda/faces_x4" in str(caught.value)
    check_kept(copy, [one for one in all_kept(copy) if one.name != "sr3_yoda"], ReportConfig())
    results = read_json(rows / "results.json")
    next(record for record in results["results"] if record["row"] == "unet")["data_sha256"] = "0" * 64
    write_json(rows / "results.json", results)
    with pytest.raises(SrledgerError, match="/unet/"):
        check_kept(copy, [one for one in all_kept(copy) if one.name == "unet"], ReportConfig())


def test_cells_of_a_dropped_row_say_why_and_what_fills_them(report: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(report, tmp_path / "copy")
    results = read_json(copy / "rows" / "results.json")
    why = "stale: settings have changed since"
    for record in results["results"]:
        if record["row"] == "unet":
            empty = {"parameters": None, "macs": None, "image_metrics": [], "set_metrics": {}, "metric_info": {}}
            record.update(absent=why, unavailable=dict.fromkeys(record["image_metrics"], why), **empty)
    write_json(copy / "rows" / "results.json", results)
    write_cells(copy)
    cells = read_cells(copy / "cells.csv")
    assert {cell["status"] for cell in cells if cell["row"] == "unet"} == {why}
    others = [cell for cell in cells if cell["row"] != "unet"]
    assert others == [cell for cell in read_cells(report / "cells.csv") if cell["row"] != "unet"]
    assert "srledger repro --scale copy  # with --only NAME" in explain(copy / "cells.csv", "macs/unet/faces_x4")
