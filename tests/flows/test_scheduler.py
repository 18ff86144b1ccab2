"""The scheduler: dependency order, leases, failures that stay where they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.graph import Stage, StageGraph
from flows.leases import Lease, Leases, Slot
from flows.process import Result
from flows.scheduler import run_graph


class Recorder:
    """A board whose stages are functions of this process; it notes who ran beside whom."""

    def __init__(self, outcomes: dict[str, Result] | None = None, work: Callable[[], None] = lambda: None) -> None:
        self.outcomes, self.work = outcomes or {}, work
        self.started: list[str] = []
        self.noted: dict[str, Result] = {}
        self.said: list[str] = []
        self.beside, self.most_beside = 0, 0
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(8)

    def start(self, stage: Stage, lease: Lease) -> Future[Result]:
        self.started.append(stage.name)
        return self._threads.submit(self._run, stage)

    def _run(self, stage: Stage) -> Result:
        with self._lock:
            self.beside += 1
            self.most_beside = max(self.most_beside, self.beside)
        self.work()
        with self._lock:
            self.beside -= 1
        return self.outcomes.get(stage.name, Result("ran"))

    def note(self, stage: Stage, result: Result) -> None:
        self.noted[stage.name] = result

    def result(self, stage: Stage, future: Future[Result]) -> Result:
        return future.result()

    def ended(self, stage: Stage, result: Result) -> None: ...

    def held(self, leases: Leases) -> None: ...

    def say(self, line: str) -> None:
        self.said.append(line)


def cpu(tmp_path: Path, count: int = 2) -> Leases:
    return Leases(tmp_path / "leases", [Slot("cpu", place) for place in range(count)])


def graph(changed: str, **after: str) -> StageGraph:
    """``graph("a", a="", b="a")``: b reads a; a is out of date."""
    return StageGraph(
        {
            name: Stage(name, tuple(before.split()), ("x modified",) * (name in changed))
            for name, before in after.items()
        }
    )


def run(made: StageGraph, leases: Leases, board: Recorder, **options: object) -> dict[str, str]:
    results = run_graph(made, leases, lambda stage: "cpu", board, **options)  # type: ignore[arg-type]
    return {name: result.outcome for name, result in results.items()}


def test_only_what_is_out_of_date_and_what_follows_it_starts(tmp_path: Path) -> None:
    board = Recorder()
    outcomes = run(graph("b", a="", b="a", c="b", d="a"), cpu(tmp_path), board)
    assert outcomes == {"a": "skipped", "b": "ran", "c": "ran", "d": "skipped"}
    assert board.started == ["b", "c"] and set(board.noted) == {"a", "d"}


def test_a_stage_that_found_nothing_changed_starts_nothing_after_it(tmp_path: Path) -> None:
    board = Recorder({"b": Result("skipped")})
    outcomes = run(graph("a", a="", b="a", c="b"), cpu(tmp_path), board)
    assert outcomes == {"a": "ran", "b": "skipped", "c": "skipped"} and board.started == ["a", "b"]


def test_a_failed_stage_blocks_what_follows_and_nothing_else(tmp_path: Path) -> None:
    board = Recorder({"a": Result("failed", "the loss is not a number")})
    outcomes = run(graph("a x", a="", b="a", c="b", x="", y="x"), cpu(tmp_path), board)
    assert outcomes == {"a": "failed", "b": "blocked", "c": "blocked", "x": "ran", "y": "ran"}
    assert board.noted["b"].why == "upstream failed: a"


def test_an_excused_failure_does_not_block_but_another_does(tmp_path: Path) -> None:
    made = graph("a d", a="", d="", report="a d")
    failed = {"a": Result("failed", "why")}
    assert run(made, cpu(tmp_path), Recorder(failed), excused={"report": ["a"]})["report"] == "ran"
    both = {**failed, "d": Result("failed", "why")}
    assert run(made, cpu(tmp_path), Recorder(both), excused={"report": ["a"]})["report"] == "blocked"


@pytest.mark.parametrize("count", [1, 2])
def test_as_many_run_side_by_side_as_there_are_leases(tmp_path: Path, count: int) -> None:
    board = Recorder(work=lambda: time.sleep(0.05))
    run(graph("abcd", a="", b="", c="", d=""), cpu(tmp_path, count), board)
    assert board.most_beside == count


def test_a_stage_waits_for_a_lease_that_another_flow_holds_and_says_for_what(tmp_path: Path) -> None:
    leases = cpu(tmp_path, 1)
    other = leases.acquire("cpu", "train@other")
    assert other is not None
    board = Recorder()
    threading.Timer(0.6, other.close).start()
    assert run(graph("a", a=""), leases, board) == {"a": "ran"}
    assert "a waits for a cpu lease: 1 of 1 held by train@other (pid" in board.said[0] and len(board.said) == 1


def test_force_runs_what_is_up_to_date(tmp_path: Path) -> None:
    assert run(graph("", a="", b="a"), cpu(tmp_path), Recorder(), force=True) == {"a": "ran", "b": "ran"}


def test_an_interrupted_run_holds_no_lease(tmp_path: Path) -> None:
    class Interrupted(Recorder):
        def result(self, stage: Stage, future: Future[Result]) -> Result:
            raise KeyboardInterrupt

    leases = cpu(tmp_path, 2)
    with pytest.raises(KeyboardInterrupt):
        run(graph("a b", a="", b=""), leases, Interrupted())
    assert leases.held("cpu") == []
