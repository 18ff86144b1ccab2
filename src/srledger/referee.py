"""What referees asked, under ``referee`` in params.yaml, as a report of one scale has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srledger.errors import SrledgerError
from srledger.probing.spec import grid_of, task_of
from srledger.reporting.config import RefereeConfig, TableConfig

if TYPE_CHECKING:
    from srledger.config import Params
    from srledger.entries import QuestionEntry


def referee_of(params: Params) -> dict[str, RefereeConfig]:
    """The groups of the report that ``params`` make, with the questions whose rows run at this scale.

    Raises:
        SrledgerError: an unknown row, probe or metric, or rows of two tasks.
    """
    groups = {}
    for name, entry in params.entries.referee.items():
        if entry.of != params.which:
            continue
        here = ("referee", name)
        for k, probe in enumerate(entry.probes):
            params._must_be("probe", probe, params.probes, *here, "probes", k)
        tables = {key: _table(params, question, *here, "questions", key) for key, question in entry.questions.items()}
        groups[name] = RefereeConfig(
            title=entry.title, text=entry.text, probes=entry.probes,
            questions={key: table for key, table in tables.items() if table},
        )  # fmt: skip
    return groups


def _table(params: Params, entry: QuestionEntry, *here: str) -> TableConfig | None:
    """The rows that run at this scale; None where there is nothing to compare."""
    grid = grid_of(params)
    known = grid.rows if grid else params.evaluations
    params._must_be("row", entry.baseline, known, *here, "baseline")
    for k, row in enumerate(entry.rows):
        params._must_be("row", row, known, *here, "rows", k)
    for metric in entry.metrics:
        params._check_metric(metric, (*here, "metrics"))
    tasks = {row: task_of(params, row) for row in (entry.baseline, *entry.rows)}
    if len(set(tasks.values())) > 1:
        raise SrledgerError(
            "the rows of a question belong to one task", where=params.file.place((*here, "rows")),
            found=", ".join(f"{row}: {task}" for row, task in tasks.items()), expected=tasks[entry.baseline],
        )  # fmt: skip
    rows = tuple(_in_report(params, row) for row in entry.rows if params.is_active(row))
    if not rows or not params.is_active(entry.baseline):
        return None
    baseline = _in_report(params, entry.baseline)
    return TableConfig(
        title=entry.question, task=tasks[entry.baseline], rows=(baseline, *rows), metrics=entry.metrics,
        baseline=baseline, published=_published(params),
    )  # fmt: skip


def _in_report(params: Params, name: str) -> str:
    """The name of a row in the tables of its task: a transfer's is its row's, unless it has settings of its own."""
    transfer = params.entries.transfers.get(name)
    return name if transfer is None or transfer.config else transfer.row


def _published(params: Params) -> dict[str, tuple[str, ...]]:
    """Papers' rows beside those of the grid's tables; other rows have those of their own name."""
    tables = getattr(params, "table_configs", {})
    return {row: papers for name in tables for row, papers in tables[name].published.items()}
