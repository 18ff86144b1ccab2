"""The ablation grid as a flow: its rows side by side, then the report, in which a failed row says why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, flow

from flows import supervisor
from flows.graph import Stage, StageGraph, read_graph
from flows.leases import Leases
from flows.plan import Plan
from flows.prefect_board import STAGE_THREADS, PrefectBoard, end_state, follow_worker, show_results
from flows.process import Result, StagePool
from flows.run import Ended, RunBoard, bring_up_to_date
from flows.terminal import TerminalBoard
from flows.workspace import at_scale, check_sent, one_flow
from srledger.ablations import Grid, mark_failed, select, untrained
from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.layout import ABLATIONS, Layout
from srledger.provenance import GRID
from srledger.scales import DATA_TARGET
from srledger.tracking.sweeps import Sweep, begin_sweep


@flow(name="ablation-sweep", task_runner=STAGE_THREADS)
def ablation_sweep(only: list[str] | None = None, scale: str | None = None, commit: str | None = None) -> State[Any]:
    """Bring ablations/dvc.yaml up to date, and what of dvc.yaml it needs; then its report.

    One failed row does not stop the others: its cells say why, and the next sweep runs it again.

    Args:
        only: rows or tables of the grid; none: all. Of other rows that are out of date here, the report keeps what it
            held and what still holds; where results are shared (``orchestration.remote``) it is then left out.
        scale: a scale of params.yaml; none: the one it names. Another leaves params.yaml and lock files as they were.
        commit: where the worker's clone must stand, when results are shared (``orchestration.remote``); none: anywhere.
    """
    follow_worker()
    root, board = Path.cwd(), PrefectBoard()
    check = partial(check_sent, root, commit)
    try:
        with one_flow(root, "ablation-sweep", board.say), at_scale(root, scale, check) as params:
            ended = sweep(root, params, only or [], board)
            show_results(root, params.scale + ABLATIONS)
    except SrledgerError as error:
        return board.refused(error)
    return end_state(ended)


def run_here(root: Path, only: list[str], scale: str | None) -> int:
    """The same in this process, without a server: lines on the terminal. Returns 0, or 1 when a stage failed."""
    board = TerminalBoard()
    with one_flow(root, "ablation-sweep", board.say), at_scale(root, scale) as params:
        ended = sweep(root, params, only, board)
    return 1 if ended.failures else 0


def sweep(root: Path, params: Params, only: Sequence[str], board: RunBoard) -> Ended:
    """Run the grid, or the rows and tables of it that ``only`` names.

    Raises:
        SrledgerError: an unknown name (with the nearest), or nothing to run at this scale; nothing has started then.
    """
    rows = select(params.ablations.grid, only)
    if not any(params.ablations.is_active(row) for row in rows):
        raise SrledgerError(
            f"none of these ablations runs at scale '{params.scale}'", where=f"scales.{params.scale}.ablations.rows",
            found=", ".join(only) or "no rows", expected="some of " + ", ".join(params.ablations.active_rows()),
        )  # fmt: skip
    graph = read_graph(root, (GRID,), wait_s=params.orchestration.busy_wait_s, say=board.say)
    part = asked_for(graph, frozenset(rows), board.say)
    marking = MarkingBoard(board, Layout(params.scale, root), params.ablations.grid, rows)
    ended = bring_up_to_date(root, params, part, marking, excused=excuses(part))
    if part is not graph and params.orchestration.remote is None and _data_are_whole(ended):
        keep_report(root, params.scale, board.say)
    return ended


def asked_for(graph: StageGraph, rows: frozenset[str], say: Callable[[str], None]) -> StageGraph:
    """The graph without rows that nobody asked for, and without the report when one of those is out of date."""
    stale = sorted({graph[name].item for name in graph.may_run() if _is_row(graph[name])} - rows)
    if not stale:
        return graph
    say(f"DVC's report is left out: these rows are out of date and not asked for: {', '.join(stale)}")
    asked = [name for name in graph if _is_row(graph[name]) and graph[name].item in rows]
    return graph.up_to([*asked, *(name for name in graph if name == DATA_TARGET)])


def keep_report(root: Path, scale: str, say: Callable[[str], None]) -> None:
    """Make the grid's report from the rows that have results here and the committed ones that hold.

    In a process of its own, since it imports torch. Raises SrledgerError with what it says when it can't.
    """
    command = [str(Path(sys.executable).parent / "srledger"), "report", "--scale", scale, "--ablations", "--keep"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, preexec_fn=supervisor.die_with_parent
    )
    for line in done.stdout.splitlines():
        say(line)
    if done.returncode != 0:
        raise SrledgerError(done.stderr.strip().removeprefix("srledger: ") or f"{' '.join(command)} failed")


def _data_are_whole(ended: Ended) -> bool:
    return all(result.good for name, result in ended.results.items() if not _is_row(ended.graph[name]))


def excuses(graph: StageGraph) -> dict[str, list[str]]:
    """What follows the rows has words for failed ones: the report, and the table of timings."""
    after = [stage for stage in graph.values() if stage.file == GRID and not stage.item]
    return {stage.name: [name for name in graph.upstream(stage.name) if _is_row(graph[name])] for stage in after}


def _is_row(stage: Stage) -> bool:
    return stage.file == GRID and bool(stage.item)


class MarkingBoard:
    """A board that also leaves word on disk: of the sweep, and of every row that failed, before the report starts."""

    def __init__(self, board: RunBoard, layout: Layout, grid: Grid, rows: Iterable[str]) -> None:
        self._board, self._layout, self._grid, self._rows = board, layout, grid, rows
        self._marked: set[str] = set()
        self._untrained: dict[str, str] = {}  # row -> why its training gave no weights
        self._sweep: Sweep | None = None
        self.start, self.note, self.result, self.held, self.say = (
            board.start, board.note, board.result, board.held, board.say
        )  # fmt: skip

    def begin(self, plan: Plan, pool: StagePool, params: Params, leases: Leases) -> None:
        """Leave word of a sweep that has something to do."""
        if plan.stages:
            rows = [row for row in self._rows if params.ablations.is_active(row)]
            stages = [{"stage": stage.label, "why": stage.why, "seconds": stage.seconds} for stage in plan.stages]
            self._sweep = begin_sweep(self._layout.root, self._layout.scale, "ablation-sweep", rows, stages)
        self._board.begin(plan, pool, params, leases)

    def finish(self, ended: Ended) -> None:
        """Leave word of how the sweep ended."""
        if self._sweep is not None:
            outcomes = {ended.graph[name].label: each.outcome for name, each in ended.results.items()}
            self._sweep.end(ended.summary(), outcomes, ended.failures)
        self._board.finish(ended)

    def ended(self, stage: Stage, result: Result) -> None:
        """Mark a row by the first of its stages that failed; one that takes weights, by the training that it lacks."""
        if _is_row(stage) and not result.good and stage.item not in self._marked:
            weights_of = self._grid.rows[stage.item].weights_of or ""
            lacking = self._untrained.get(weights_of) if result.outcome == "blocked" else None
            why = untrained(weights_of, lacking) if lacking else result.why
            if stage.group == "train":
                self._untrained[stage.item] = why
            self._marked.add(stage.item)
            mark_failed(self._layout, stage.item, why)
        self._board.ended(stage, result)
