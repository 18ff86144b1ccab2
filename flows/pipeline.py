"""The main graph as a flow: every out-of-date stage of dvc.yaml as a Prefect task."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, flow

from flows.prefect_board import STAGE_THREADS, PrefectBoard, end_state, follow_worker, show_results
from flows.run import bring_up_to_date, main_graph
from flows.terminal import TerminalBoard
from flows.workspace import at_scale, check_sent, one_flow
from srledger.errors import SrledgerError


@flow(name="pipeline", task_runner=STAGE_THREADS)
def pipeline(
    targets: list[str] | None = None, scale: str | None = None, force: bool = False, commit: str | None = None
) -> State[Any]:
    """Bring dvc.yaml up to date: the same result and the same dvc.lock as `dvc repro`.

    Args:
        targets: rows (``rrdb``) or stages (``train@rrdb``); none: everything and the report.
        scale: a scale of params.yaml; none: the one it names. Another leaves params.yaml and dvc.lock as they were.
        force: run stages that are up to date, too.
        commit: where the worker's clone must stand, when results are shared (``orchestration.remote``); none: anywhere.
    """
    follow_worker()
    root, board = Path.cwd(), PrefectBoard()
    try:
        with one_flow(root, "pipeline", board.say), at_scale(root, scale, partial(check_sent, root, commit)) as params:
            ended = bring_up_to_date(
                root, params, main_graph(root, params, targets or [], board.say), board, force=force
            )
            show_results(root, params.scale)
    except SrledgerError as error:
        return board.refused(error)
    return end_state(ended)


def run_here(root: Path, targets: list[str], scale: str | None, force: bool) -> int:
    """The same in this process, without a server: lines on the terminal. Returns 0, or 1 when a stage failed."""
    board = TerminalBoard()
    with one_flow(root, "pipeline", board.say), at_scale(root, scale) as params:
        ended = bring_up_to_date(root, params, main_graph(root, params, targets, board.say), board, force=force)
    return 1 if ended.failures else 0
