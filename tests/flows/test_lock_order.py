"""Lock files keep the order that plain `dvc repro` gives them, whatever ended first."""

from __future__ import annotations

from pathlib import Path

from flows.lock_order import note_order, put_in_order

HEAD = "schema: '2.0'\nstages:\n"


def entry(name: str) -> str:
    return f"  {name}:\n    cmd: python stages/x.py {name}\n    outs:\n    - path: data/{name}\n      md5: abc\n"


def lock(*names: str) -> str:
    return HEAD + "".join(map(entry, names))


def test_new_entries_follow_the_plan_and_old_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    path.write_text(lock("report", "train@old"), encoding="utf-8")
    note_order(tmp_path)
    path.write_text(lock("report", "train@old", "train@b", "download@a", "train@a"), encoding="utf-8")
    put_in_order(tmp_path, ["download@a", "train@a", "train@b", "report"])
    assert path.read_text(encoding="utf-8") == lock("report", "train@old", "download@a", "train@a", "train@b")


def test_a_run_after_a_kill_remembers_what_stood_there_before(tmp_path: Path) -> None:
    note_order(tmp_path)  # no lock file yet; then a run that was killed
    path = tmp_path / "dvc.lock"
    path.write_text(lock("b", "a"), encoding="utf-8")
    note_order(tmp_path)
    put_in_order(tmp_path, ["a", "b"])
    assert path.read_text(encoding="utf-8") == lock("a", "b")
    path.write_text(lock("b", "a"), encoding="utf-8")  # a person's own `dvc repro` of b, then a
    note_order(tmp_path)
    put_in_order(tmp_path, ["a", "b"])
    assert path.read_text(encoding="utf-8") == lock("b", "a")


def test_the_grid_has_a_lock_file_of_its_own(tmp_path: Path) -> None:
    note_order(tmp_path)
    (tmp_path / "ablations").mkdir()
    path = tmp_path / "ablations" / "dvc.lock"
    path.write_text(lock("train@u__b", "train@u__a"), encoding="utf-8")
    put_in_order(tmp_path, ["ablations/dvc.yaml:train@u__a", "ablations/dvc.yaml:train@u__b"])
    assert path.read_text(encoding="utf-8") == lock("train@u__a", "train@u__b")
