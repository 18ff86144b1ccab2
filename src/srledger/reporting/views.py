"""What a table shows, before any file format: texts, marks, notes. Markdown, LaTeX and HTML all print these."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from srledger.evaluation.statistics import Comparison, Interval, can_differ
from srledger.reporting.cells import Cell
from srledger.reporting.comparisons import ColumnComparison
from srledger.reporting.config import ReportConfig
from srledger.reporting.layout import Column, Table

UP, DOWN = "\N{UPWARDS ARROW}", "\N{DOWNWARDS ARROW}"
MINUS = "\N{MINUS SIGN}"


@dataclasses.dataclass(frozen=True)
class CellView:
    """A cell as shown: ``text`` and ``interval`` have the metric's digits; ``note`` is a letter of the foot."""

    cell: Cell
    text: str
    interval: str
    best: bool
    note: str


@dataclasses.dataclass(frozen=True)
class RowView:
    """A line of a table: n is of most of its cells; a cell with another n says so."""

    row: str
    n: int
    seeds: int
    cells: tuple[CellView, ...]


@dataclasses.dataclass(frozen=True)
class TableView:
    """A table as shown. ``published`` names the metrics that have a column of papers' numbers beside them."""

    table: Table
    rows: tuple[RowView, ...]
    published: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    foot: tuple[str, ...]
    comparisons: tuple[ColumnComparison, ...]


def round_to(value: float, column: Column) -> str:
    """``value`` as the table shows it: the metric's digits, or a count with its prefix (k, M, G, T)."""
    if column.of != "cost":
        return f"{value:.{column.digits}f}".replace("-", MINUS)
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g} {prefix}"
    return str(int(value))


def label(column: Column) -> str:
    """Column head: name, the direction that is better (none for costs), unit."""
    direction = {True: f" {UP}", False: f" {DOWN}", None: ""}[column.higher_is_better]
    return f"{column.metric}{direction}{f' ({column.unit})' if column.unit else ''}"


def p_text(p: float) -> str:
    """A p value to three decimals, with its sign of relation."""
    return "p<0.001" if p < 0.001 else f"p={p:.3f}"


def difference_text(comparison: Comparison, column: Column) -> str:
    """``+0.53 [+0.41, +0.66]``, rounded like the metric."""
    return signed_text(comparison.difference, column)


def signed_text(difference: Interval, column: Column, unit: str = "") -> str:
    """``+0.53 [+0.41, +0.66]``, rounded like the metric; a unit stands behind the mean."""
    numbers = [difference.value, difference.low, difference.high]
    mean, *ends = [f"{number:+.{column.digits}f}".replace("-", MINUS) for number in numbers if number is not None]
    mean = f"{mean} {unit}".strip()
    return f"{mean} [{ends[0]}, {ends[1]}]" if len(ends) == 2 else mean


def build_view(
    table: Table,
    cells: Sequence[Cell],
    comparisons: Sequence[ColumnComparison],
    config: ReportConfig,
    trained_on: Mapping[str, str],
    sampled: Mapping[str, str],
) -> TableView:
    """The view of one table from its cells (those of other tables are passed over).

    ``trained_on`` tells, for each row that was trained on another task, which one; ``sampled``, of each transfer with
    settings of its own, whose weights it restores with and by which settings.
    """
    of_table = {(cell.row, cell.metric): cell for cell in cells if cell.table == table.name}
    best = {(row, found.column.metric) for found in comparisons if found.group for row in found.group.members}
    reasons = dict.fromkeys(cell.status for cell in of_table.values() if cell.status != "ok")
    letters = {status: letter_of(k) for k, status in enumerate(reasons)}
    rows = [_row_view(table, row, of_table, best, letters) for row in table.rows]
    published = tuple(
        column.metric for column in table.metrics if any(of_table[row, column.metric].published for row in table.rows)
    )
    remarks = (*_remarks(trained_on, sampled, comparisons, config), *_of_other_tasks(table, cells))
    foot = (*remarks, *_foot(table, comparisons, config))
    notes = tuple((letter, status) for status, letter in letters.items())
    return TableView(table, tuple(rows), published, notes, remarks, foot, tuple(comparisons))


def _remarks(
    trained_on: Mapping[str, str],
    sampled: Mapping[str, str],
    comparisons: Sequence[ColumnComparison],
    config: ReportConfig,
) -> tuple[str, ...]:
    """What would mislead if it were left unsaid: rows that learned another task, and tests that can find nothing."""
    remarks = [
        f"{row} was trained on {task} and is measured here as it is: no published number stands beside it."
        for row, task in trained_on.items()
    ]
    remarks += [f"{row} was not trained: it restores with the weights of {how}." for row, how in sampled.items()]
    pairs = [(one.difference.n, len(found.against_best)) for found in comparisons for one in found.against_best
             if one.p_sign_flip is not None]  # fmt: skip
    small = [n for n, family in pairs if not can_differ(n, family, config.alpha)]
    if small:
        remarks.append(
            f"{min(small)} images are too few for the test to find any difference: no row is marked as tied."
        )
    return tuple(remarks)


def _of_other_tasks(table: Table, cells: Sequence[Cell]) -> Iterator[str]:
    """What papers' numbers were measured on, where that is another task than the table's."""
    notes: dict[tuple[str, str], dict[str, list[list[str]]]] = {}
    for cell in cells:
        for number in cell.published if cell.table == table.name else ():
            if number.task != table.task:
                of_metric = notes.setdefault((number.source, number.task), {}).setdefault(number.metric, [])
                of_metric.append(number.note.split("; "))
    for (source, task), metrics in notes.items():
        shared: dict[str, list[str]] = {}  # what all numbers of a metric say -> the metrics
        for metric, lists in metrics.items():
            words = "; ".join(part for part in lists[0] if all(part in others for others in lists))
            shared.setdefault(words, []).append(metric)
        said = ". ".join(f"{', '.join(names)}: {words}" for words, names in shared.items() if words)
        where = f"Measured here: {table.about}. The published numbers beside it are of another task"
        yield f"{where}: {source}, {task}. {said}."


def letter_of(k: int) -> str:
    """The letter of note number ``k``: a, b, ... z, aa, ab."""
    return chr(ord("a") + k) if k < 26 else letter_of(k // 26 - 1) + letter_of(k % 26)


def _row_view(
    table: Table, row: str, cells: dict[tuple[str, str], Cell], best: set[tuple[str, str]], letters: dict[str, str]
) -> RowView:
    of_row = [cells[row, column.metric] for column in table.columns]
    measured = [cell for cell in of_row if cell.n]
    n = max((cell.n for cell in measured), default=0)
    views = []
    for column, cell in zip(table.columns, of_row, strict=True):
        if cell.value is None:
            views.append(CellView(cell, "", "", False, letters[cell.status]))
            continue
        interval = ""
        if cell.ci_low is not None and cell.ci_high is not None:
            interval = f"[{round_to(cell.ci_low, column)}, {round_to(cell.ci_high, column)}]"
        if cell.n and cell.n != n:
            interval = f"{interval} n={cell.n}".strip()
        views.append(CellView(cell, round_to(cell.value, column), interval, (row, column.metric) in best, ""))
    return RowView(row, n, max((len(cell.seeds) for cell in measured), default=0), tuple(views))


def _foot(table: Table, comparisons: Sequence[ColumnComparison], config: ReportConfig) -> tuple[str, ...]:
    """What a reader must know to read the table, one sentence each; then a line per metric's protocol."""
    percent = f"{100 * (1 - config.alpha):g} %"
    lines = [table.note] if table.note else []
    lines.append(
        f"Mean over test images and seeds with its {percent} interval: hierarchical bootstrap over images and seeds "
        f"({config.bootstrap_resamples} resamples) for per-image metrics, value \N{PLUS-MINUS SIGN} normal quantile "
        "times the joint standard error of images and seeds for set metrics."
    )
    lines.append(
        "Bold: the best row and every row not significantly worse (Wilcoxon signed-rank on per-image seed means; "
        f"z-test for set metrics; Holm over the rows of the column, alpha {config.alpha:g})."
    )
    if any(found.against_baseline for found in comparisons):
        lines.append(
            f"Differences to the baseline '{table.baseline}' and to the best row stand in the comparison table."
        )
    return (*lines, *(f"{column.metric}: {column.protocol}" for column in table.columns))
