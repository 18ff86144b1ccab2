"""The page "What the referee asked": questions that rows answer in words, and the probes that belong to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from srledger.layout import ABLATION_MARK
from srledger.reporting.cells import Cell, build_cells
from srledger.reporting.comparisons import ColumnComparison, compare_table
from srledger.reporting.config import ReportConfig, TableConfig
from srledger.reporting.html import render_page, verdict
from srledger.reporting.layout import Table, resolve_table
from srledger.reporting.probe_tables import cell_text, interval_text, number_text
from srledger.reporting.probes_page import ProbeView
from srledger.reporting.published import Published
from srledger.reporting.rows import Rows
from srledger.reporting.views import p_text, round_to, signed_text

FOUND = {"better": "better", "worse": "worse", "same": "no difference found"}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the rows of this report say to a question: a sentence for each row."""

    name: str
    question: str
    about: str
    sentences: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Group:
    """Questions about one paper."""

    name: str
    title: str
    text: str
    answers: tuple[Answer, ...]
    probes: tuple[ProbeView, ...]


def answer_referees(
    rows: Rows,
    probes: Sequence[ProbeView],
    config: ReportConfig,
    published: Mapping[tuple[str, str, str], list[Published]],
) -> list[Group]:
    """Every group of the config that has an answer or a probe here.

    Raises:
        SrledgerError: a question names a row or a metric that the rows do not know.
    """
    by_name = {view.record["name"]: view for view in probes}
    groups = []
    for name, group in config.referee.items():
        answers = tuple(
            _answer(key, question, rows, config, published) for key, question in group.questions.items()
        )  # fmt: skip
        shown = tuple(by_name[probe] for probe in group.probes if probe in by_name)
        if answers or shown:
            groups.append(Group(name, group.title, group.text, answers, shown))
    return groups


def render_referee_page(groups: Sequence[Group], scale: str, config: ReportConfig) -> str:
    """The page as text; it says so when nothing was asked."""
    return render_page(
        "referee.html.j2", "referee.html",
        scale=scale, groups=groups, config=config, cell_text=cell_text, number_text=number_text,
        interval_text=interval_text, kind_of=lambda cell: type(cell).__name__,
    )  # fmt: skip


def _answer(
    name: str, question: TableConfig, rows: Rows, config: ReportConfig,
    published: Mapping[tuple[str, str, str], list[Published]],
) -> Answer:  # fmt: skip
    table = resolve_table(name, question, rows, config.baseline, "referee")
    cells = {(cell.row, cell.metric): cell for cell in build_cells(rows, [table], published, config)}
    comparisons = compare_table(rows, table, config)
    shown = _short_names(table.rows)
    missing = {
        f"{column.metric} {cells[table.baseline, column.metric].status}"
        for column in table.metrics
        if not any(cells[row, column.metric].n for row in table.rows)
    }
    sentences = tuple(
        f"{shown[row]}: {'; '.join(_said(row, table, comparisons, cells, config))}."
        for row in table.rows
        if row != table.baseline
    )
    about = f"Against {table.baseline}. {table.about}"
    seeds = sorted({seed for cell in cells.values() for seed in cell.seeds})
    if table.metrics:
        about += f"; seeds {', '.join(map(str, seeds)) or 'none'}"
        if len(seeds) == 1:
            about += ": how one training happens to end is part of every difference"
    return Answer(name, question.title, ". ".join([about, *sorted(missing)]) + ".", sentences)


def _short_names(rows: Sequence[str]) -> dict[str, str]:
    """Rows of one table of the grid without what they share: their base, and the table's own name."""
    parts = [row.split(ABLATION_MARK) for row in rows]
    if len({tuple(one[:1] + one[2:]) for one in parts}) > 1 or any(len(one) < 2 for one in parts):
        return {row: row for row in rows}
    return {row: one[1] for row, one in zip(rows, parts, strict=True)}


def _said(
    row: str, table: Table, comparisons: Sequence[ColumnComparison], cells: Mapping[tuple[str, str], Cell],
    config: ReportConfig,
) -> Iterator[str]:  # fmt: skip
    """A clause per metric; without metrics, per cost."""
    for found in comparisons:
        column, one = found.column, next((one for one in found.against_baseline if one.row == row), None)
        if one is None and not any(cells[of, column.metric].n for of in table.rows):
            continue  # said once, for all rows
        if one is None:
            status = next(
                (cell.status for of in (row, table.baseline) if (cell := cells[of, column.metric]).status != "ok"),
                "can't be tested",
            )
            yield f"{column.metric} {status}"
            continue
        difference = signed_text(one.difference, column, column.unit)
        told = f"{column.metric} {difference}, {p_text(one.p_holm)}: {FOUND[verdict(one, column, config.alpha)]}"
        printed = [_printed(cells[of, column.metric]) for of in (row, table.baseline)]
        yield told + (f" (published: {printed[0]} against {printed[1]})" if all(printed) else "")
    for column in table.columns if not table.metrics else ():
        own, base = cells[row, column.metric], cells[table.baseline, column.metric]
        if own.value is None or base.value is None:
            yield f"{column.metric} {own.status if own.value is None else base.status}"
        else:
            against = "the same" if own.value == base.value else f"against {round_to(base.value, column)}"
            yield f"{column.metric} {round_to(own.value, column)}, {against}"


def _printed(cell: Cell) -> str:
    """A paper's numbers beside a cell, with the grade of their transcription."""
    return ", ".join(f"{number.value} [{number.grade}]" for number in cell.published)
