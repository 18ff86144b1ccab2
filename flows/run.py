"""One run of DVC's graph, from the folder's lock to its lock files: what every flow does, with Prefect or without."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from flows.follower import following
from flows.graph import Stage, StageGraph, read_graph
from flows.leases import Kind, Leases, machine_leases
from flows.lock_order import note_order, put_in_order
from flows.plan import Plan, earlier_seconds, make_plan, note_seconds
from flows.process import Outcome, Result, StagePool
from flows.remote import check_remote, push_finished
from flows.scheduler import Board, run_graph
from srledger.config import Params
from srledger.orchestration import asks_for_gpu
from srledger.scales import targets_of


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended: every stage's result by name, in DVC's order."""

    graph: StageGraph
    results: Mapping[str, Result]

    @property
    def failures(self) -> dict[str, str]:
        """Label -> why, of stages that failed themselves."""
        return {self.graph[name].label: each.why for name, each in self.results.items() if each.outcome == "failed"}

    def summary(self) -> str:
        """``3 ran, 1 restored from the cache, 20 up to date; failed: train@rrdb (the loss is not a number)``."""
        words: dict[Outcome, str] = {
            "ran": "ran",
            "restored": "restored from the cache",
            "skipped": "up to date",
            "blocked": "blocked",
        }
        outcomes = [each.outcome for each in self.results.values()]
        counts = [f"{outcomes.count(outcome)} {word}" for outcome, word in words.items() if outcome in outcomes]
        done = ", ".join(counts) or "nothing to do"
        failed = ", ".join(f"{label} ({why})" for label, why in self.failures.items())
        return done + (f"; failed: {failed}" if failed else "")


class RunBoard(Board, Protocol):
    """A board that is told of the plan and handed the means to run stages before any starts."""

    def begin(self, plan: Plan, pool: StagePool, params: Params, leases: Leases) -> None:
        """Called once, when everything was found to be in order."""

    def finish(self, ended: Ended) -> None:
        """Called once, when every stage has ended; not when the run is interrupted."""


def bring_up_to_date(
    root: Path,
    params: Params,
    graph: StageGraph,
    board: RunBoard,
    *,
    force: bool = False,
    excused: Mapping[str, Collection[str]] | None = None,
) -> Ended:
    """Run what is out of date in ``graph``, side by side within the leases.

    The folder must be held (``workspace.one_flow``) and params.yaml stand at the params' scale. ``excused`` names, for
    a stage, those before it whose failure it has words for.

    Raises:
        SrledgerError: a GPU that is not there, a remote that does not answer: nothing has started then. Or what was
            restored can't be sent: everything has run then.
    """

    def kind_of(stage: Stage) -> Kind:
        return "gpu" if asks_for_gpu(params, stage.group, stage.item) else "cpu"

    settings = params.orchestration
    plan = make_plan(graph, earlier_seconds(root, params.scale), force=force)
    may_run = list(graph) if force else graph.may_run()
    needs_gpu = any(kind_of(graph[name]) == "gpu" for name in may_run)
    leases = machine_leases(root, settings.cpu_leases, settings.stages_per_gpu, needs_gpu=needs_gpu)
    if settings.remote:
        check_remote(root, settings.remote)
        push_finished(root, settings.remote, [name for name in graph if name not in may_run])
    pool = StagePool(root, force=force, busy_wait_s=settings.busy_wait_s, remote=settings.remote)
    board.begin(plan, pool, params, leases)
    note_order(root)
    with following(root, params.scale) if plan.stages else contextlib.nullcontext():
        try:
            results = run_graph(graph, leases, kind_of, board, force=force, excused=excused)
        finally:
            pool.stop()
        put_in_order(root, graph)
        note_seconds(root, params.scale, graph, results)
        ended = Ended(graph, results)
        board.finish(ended)
        if settings.remote:
            restored = [name for name, result in results.items() if result.outcome == "restored"]
            push_finished(root, settings.remote, restored)
    return ended


def main_graph(root: Path, params: Params, targets: Sequence[str], say: Callable[[str], None]) -> StageGraph:
    """The graph of ``targets`` (rows or stages; none: all of dvc.yaml) and what they need, asked of DVC once.

    Raises:
        SrledgerError: an unknown target, with the nearest name; or a folder where another DVC works.
    """
    rows = {*params.evaluations, *params.ablations.grid.rows}
    stages: list[str] = []
    for name in targets:
        stages += targets_of(params, [name]) if name in rows else [name]
    return read_graph(root, stages, wait_s=params.orchestration.busy_wait_s, say=say)
