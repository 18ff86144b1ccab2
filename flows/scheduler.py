"""Which stage starts when: dependency order, as many side by side as there are leases. Prefect or not, it is the same.

A stage that DVC calls up to date is not started unless something before it ran. One that follows a failed stage is
blocked: `dvc repro --single-item` would run it on old inputs without a word.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from flows.graph import Stage, StageGraph
from flows.leases import Kind, Lease, Leases
from flows.process import Result

LOOK_FOR_LEASE_S = 0.25
SAY_WAITING_EVERY_S = 60.0


class Board(Protocol):
    """Where stages run and where their ends are shown."""

    def start(self, stage: Stage, lease: Lease) -> Any:
        """Begin to run a stage; returns a future, of ``concurrent.futures`` or of Prefect."""

    def note(self, stage: Stage, result: Result) -> None:
        """Show a stage that is not run: it is up to date, or blocked."""

    def result(self, stage: Stage, future: Any) -> Result:
        """How a stage ended whose future is done."""

    def ended(self, stage: Stage, result: Result) -> None:
        """Called for every stage as it ends, before anything that follows it starts."""

    def held(self, leases: Leases) -> None:
        """Show how many leases are held; called whenever that changes."""

    def say(self, line: str) -> None:
        """Tell a person."""


def run_graph(
    graph: StageGraph,
    leases: Leases,
    kind_of: Callable[[Stage], Kind],
    board: Board,
    *,
    force: bool = False,
    excused: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Result]:
    """Bring every stage of ``graph`` up to date; returns how each ended, in the graph's order.

    One failed stage does not stop those that do not depend on it. ``excused`` names, for a stage, those before it whose
    failure it has words for. When this is interrupted, stages that run are the caller's to stop; leases are let go of.
    """
    return _Run(graph, leases, kind_of, board, force, excused or {}).finish()


class _Run:
    """The state of one run of a graph."""

    def __init__(
        self,
        graph: StageGraph,
        leases: Leases,
        kind_of: Callable[[Stage], Kind],
        board: Board,
        force: bool,
        excused: Mapping[str, Collection[str]],
    ) -> None:
        self.graph, self.leases, self.kind_of, self.board = graph, leases, kind_of, board
        self.force, self.excused = force, excused
        self.waiting = list(graph)
        self.results: dict[str, Result] = {}
        self.running: dict[str, Lease] = {}
        self.done: queue.SimpleQueue[tuple[Stage, Any]] = queue.SimpleQueue()
        self.said: dict[Kind, float] = {}

    def finish(self) -> dict[str, Result]:
        try:
            while self.waiting or self.running:
                lacking = self._start_what_can()
                self._await_one(LOOK_FOR_LEASE_S if lacking else None)
        finally:
            for lease in self.running.values():
                lease.close()
        return {name: self.results[name] for name in self.graph}

    def _start_what_can(self) -> bool:
        """Start and settle all that can be now; returns whether a stage lacks a lease that another flow may hold."""
        lacking: set[Kind] = set()
        for name in list(self.waiting):
            before = self.graph.upstream(name)
            if any(other not in self.results for other in before):
                continue
            stage = self.graph[name]
            excused = self.excused.get(name, ())
            blockers = [other for other in before if not self.results[other].good and other not in excused]
            if blockers:
                labels = ", ".join(self.graph[other].label for other in blockers)
                self._settle(stage, Result("blocked", f"upstream failed: {labels}"))
            elif not (self.force or stage.changed or any(self.results[other].outcome != "skipped" for other in before)):
                self._settle(stage, Result("skipped"))
            else:
                kind = self.kind_of(stage)
                if kind not in lacking and (lease := self.leases.acquire(kind, stage.label)) is not None:
                    self._start(stage, lease)
                else:
                    lacking.add(kind)
                    self._say_waiting(kind, stage)
        return bool(lacking)

    def _settle(self, stage: Stage, result: Result) -> None:
        self.waiting.remove(stage.name)
        self.results[stage.name] = result
        self.board.note(stage, result)
        self.board.ended(stage, result)

    def _start(self, stage: Stage, lease: Lease) -> None:
        self.waiting.remove(stage.name)
        self.running[stage.name] = lease
        self.board.held(self.leases)
        future: Future[Any] = self.board.start(stage, lease)
        future.add_done_callback(lambda done: self.done.put((stage, done)))

    def _await_one(self, timeout_s: float | None) -> None:
        if not self.running and timeout_s is None:
            return
        try:
            stage, future = self.done.get(timeout=timeout_s)
        except queue.Empty:
            return
        result = self.board.result(stage, future)
        self.results[stage.name] = result
        self.board.ended(stage, result)
        self.running.pop(stage.name).close()
        self.board.held(self.leases)

    def _say_waiting(self, kind: Kind, stage: Stage) -> None:
        """Only of leases that others hold: waiting for one's own stages is what a schedule is."""
        own = sum(lease.slot.kind == kind for lease in self.running.values())
        now_s = time.monotonic()
        if own < self.leases.count(kind) and now_s - self.said.get(kind, -SAY_WAITING_EVERY_S) >= SAY_WAITING_EVERY_S:
            self.said[kind] = now_s
            self.board.say(f"{stage.label} {self.leases.waiting_for(kind)}")
