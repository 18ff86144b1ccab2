"""The stage graph: what is out of date, what follows it, and what is said of a graph that can't be."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from dvc.dependency import param
from dvc.fs import localfs

from flows.ablation_sweep import MarkingBoard, asked_for, excuses
from flows.graph import Stage, StageGraph, graph_of, reasons
from flows.plan import make_plan
from flows.process import Result
from flows.read_graph import read_params_once
from srledger.ablations import Grid, GridRow, absence_of
from srledger.errors import SrledgerError
from srledger.io import write_json
from srledger.layout import Layout

GRID = "ablations/dvc.yaml"


def graph(**after: list[str]) -> StageGraph:
    """A graph from ``stage=[those before it]``; a stage whose name ends in _x is out of date."""
    return StageGraph(
        {name: Stage(name, tuple(before), ("src modified",) * name.endswith("_x")) for name, before in after.items()}
    )


def test_what_follows_a_changed_stage_may_run_too() -> None:
    made = graph(a=[], b_x=["a"], c=["b_x"], d=["a"], e=["c", "d"])
    assert made.may_run() == ["b_x", "c", "e"]


def test_a_part_holds_what_its_ends_need_in_the_same_order() -> None:
    made = graph(a=[], b=["a"], c=["b"], d=["a"], e=["c", "d"])
    assert list(made.up_to(["d", "b"])) == ["a", "b", "d"]


def test_stages_that_wait_for_each_other_are_named() -> None:
    with pytest.raises(SrledgerError, match=r"wait for each other(?s:.*)(a -> b -> a|b -> a -> b)"):
        graph(a=["b"], b=["a"])


def test_an_unknown_stage_is_answered_with_the_nearest() -> None:
    answer = {"after": {"train@rrdb": [], "train@imdn": []}, "order": [], "status": {}, "unknown": ["train@rrbd"]}
    with pytest.raises(SrledgerError) as error:
        graph_of(answer)
    assert error.value.facts["nearest"] == "train@rrdb"


def test_reasons_are_read_from_every_form_of_dvc_status() -> None:
    status = [
        {"changed deps": {"src/x.py": "modified", "params.yaml": {"training": "modified", "scale": "new"}}},
        {"changed outs": {"runs/smoke/rrdb": "deleted"}},
        "changed command",
    ]
    assert reasons(status) == [
        "src/x.py modified",
        "params.yaml training modified",
        "params.yaml scale new",
        "runs/smoke/rrdb deleted",
        "changed command",
    ]


def test_names_of_stages_as_a_person_reads_them() -> None:
    row, report = Stage(f"{GRID}:train@unet__width_16"), Stage(f"{GRID}:report")
    assert (row.label, row.group, row.item, row.file) == ("train@unet__width_16", "train", "unet__width_16", GRID)
    assert (report.label, Stage("report").label) == ("ablations/report", "report")


def test_the_plan_says_why_and_how_long() -> None:
    plan = make_plan(graph(a=[], b_x=["a"], c=["b_x"]), {"b_x": 100.0, "a": 5.0})
    assert [(each.label, each.why, each.seconds) for each in plan.stages] == [
        ("b_x", "src modified", 100.0),
        ("c", "follows b_x", None),
    ]
    assert plan.summary(2) == "2 stages may run (1 of unknown time), 1 are up to date; about 0:50 with 2 leases"
    assert len(make_plan(graph(a=[], b=["a"]), {}, force=True).stages) == 2


def grid_graph(**changed: bool) -> StageGraph:
    """Two rows behind one data stage, and the report behind both."""
    names = {row: [f"{GRID}:train@{row}", f"{GRID}:evaluate@{row}"] for row in ("u__a", "u__b")}
    stages = [Stage("degrade@faces")]
    for row, (train, evaluate) in names.items():
        stages.append(Stage(train, ("degrade@faces",), ("src modified",) * changed.get(row, False)))
        stages.append(Stage(evaluate, (train,)))
    stages.append(Stage(f"{GRID}:report", ("degrade@faces", *(stage.name for stage in stages[1:]))))
    return StageGraph({stage.name: stage for stage in stages})


def test_a_filtered_sweep_leaves_the_report_out_while_another_row_is_out_of_date() -> None:
    said: list[str] = []
    part = asked_for(grid_graph(u__a=True, u__b=True), frozenset({"u__a"}), said.append)
    assert list(part) == ["degrade@faces", f"{GRID}:train@u__a", f"{GRID}:evaluate@u__a"]
    assert "u__b" in said[0] and "u__a" not in said[0]


def test_a_filtered_sweep_makes_the_report_when_all_others_are_up_to_date() -> None:
    whole = grid_graph(u__a=True)
    assert asked_for(whole, frozenset({"u__a"}), print) is whole


def test_the_report_has_words_for_failed_rows_and_for_nothing_else() -> None:
    made = grid_graph()
    assert excuses(made) == {f"{GRID}:report": [name for name in made if "@u__" in name]}


def test_a_failed_training_marks_the_rows_that_take_its_weights(tmp_path: Path) -> None:
    layout = Layout("smoke", tmp_path)
    grid = Grid({name: GridRow(name, "u", "t", (), of) for name, of in (("u__a", None), ("u__few", "u__a"))}, {}, {})
    write_json(layout.result("u__few") / "result.json", {"of": "earlier weights"})
    train, evaluate, sampled = (
        Stage(f"{GRID}:{name}") for name in ("train@u__a", "evaluate@u__a", "evaluate_sampled@u__few")
    )
    blocked = Result("blocked", "upstream failed: train@u__a")
    board = MarkingBoard(Mock(), layout, grid, grid.rows)
    for stage, result in ((train, Result("failed", "the loss is no number")), (evaluate, blocked), (sampled, blocked)):
        board.ended(stage, result)
    assert absence_of(layout, "u__a").why == "the loss is no number"
    why = "the training of u__a, whose weights it takes, failed: the loss is no number"
    assert absence_of(layout, "u__few").why == why and not layout.result("u__few").exists()

    board = MarkingBoard(Mock(), layout, grid, grid.rows)
    board.ended(evaluate, Result("failed", "no room"))  # the weights are there: only what was measured is missing
    board.ended(sampled, Result("failed", "no room either"))
    assert [absence_of(layout, row).why for row in grid.rows] == ["no room", "no room either"]


def test_params_are_found_as_dvc_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: { b: { c: 1 }, d: [2, 3] }\ne: null\n", encoding="utf-8")
    slow = param.read_param_file
    monkeypatch.setattr(param, "read_param_file", slow)  # is put back afterwards
    read_params_once()
    for keys in (["a"], ["a.b.c", "e", "a.none", "none.b"], ["a.d.1"], ["a.b.c.d"], ["a.*.c"], [], None):
        for flatten in (True, False):
            assert param.read_param_file(localfs, str(path), keys, flatten) == slow(localfs, str(path), keys, flatten)


def test_params_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    monkeypatch.setattr(param, "read_param_file", param.read_param_file)
    monkeypatch.setattr(param, "load_path", lambda path, fs: reads.append(path) or {"a": {"b": 1}})
    read_params_once()
    assert [param.read_param_file(localfs, "p.yaml", [key], flatten=True) for key in ("a", "a.b", "c")] == [
        {"a": {"b": 1}}, {"a.b": 1}, {},
    ]  # fmt: skip
    assert reads == ["p.yaml"]
