"""Tables as Markdown and CSV, and the comparison tables beside them. All print the same view."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from srledger.evaluation.statistics import Comparison
from srledger.reporting.cells import plain
from srledger.reporting.comparisons import ColumnComparison
from srledger.reporting.latex import latex_comparison, latex_table
from srledger.reporting.views import CellView, TableView, difference_text, label, p_text

COMPARISON_HEADER = (
    "table", "task", "metric", "unit", "role", "row", "reference", "difference", "ci_low", "ci_high",
    "n", "p", "p_holm", "p_sign_flip",
)  # fmt: skip


def table_files(view: TableView, alpha: float) -> dict[str, str]:
    """File name -> text of one table: Markdown, LaTeX and CSV of the values and of the comparisons."""
    name = view.table.name
    return {
        f"{name}.md": markdown_table(view),
        f"{name}.tex": latex_table(view),
        f"{name}.csv": csv_table(view),
        f"{name}_comparison.md": markdown_comparison(view, alpha),
        f"{name}_comparison.tex": latex_comparison(view, alpha),
        f"{name}_comparison.csv": csv_comparison(view),
    }


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(line) + " |" for line in (head, ruler, *lines)]


def _markdown_cell(view: CellView) -> str:
    if view.note:
        return f"\N{EM DASH} ({view.note})"
    text = f"**{view.text}**" if view.best else view.text
    return f"{text} {view.interval}".strip()


def _published(view: CellView) -> str:
    numbers = [f"{number.value} ({number.grade or 'ungraded'})" for number in view.cell.published]
    return _escape("; ".join(numbers))


def markdown_table(view: TableView) -> str:
    """The values: one column per metric, the papers' numbers in columns of their own."""
    head = ["row", "n", "seeds"]
    for column in view.table.columns:
        head.append(label(column))
        if column.metric in view.published:
            head.append(f"{column.metric}, published (grade)")
    lines = []
    for row in view.rows:
        line = [row.row, str(row.n) if row.n else "", str(row.seeds) if row.seeds else ""]
        for column, cell in zip(view.table.columns, row.cells, strict=True):
            line.append(_markdown_cell(cell))
            if column.metric in view.published:
                line.append(_published(cell))
        lines.append(line)
    notes = [f"({letter}) {_escape(reason)}" for letter, reason in view.notes]
    foot = [f"- {_escape(line)}" for line in (*notes, *view.foot)]
    return "\n".join([f"# {_escape(view.table.title)}", "", *_grid(head, lines), "", *foot]) + "\n"


def markdown_comparison(view: TableView, alpha: float) -> str:
    """Differences to the baseline and to the best row of each column."""
    parts = [f"# {_escape(view.table.title)}: differences", ""]
    for title, role in (("Against the baseline", "baseline"), ("Against the best row of each column", "best")):
        columns = [found for found in view.comparisons if _family(found, role)]
        if not columns:
            continue
        head = ["row", *(f"{label(found.column)} minus {_reference(found, role)}" for found in columns)]
        lines = []
        for row in view.table.rows:
            texts = [_comparison_text(found, role, row, alpha) for found in columns]
            if any(texts):
                lines.append([row, *texts])
        parts += [f"## {title}", "", *_grid(head, lines), ""]
    parts += [
        "- Mean paired difference with its bootstrap interval; p after Holm over the rows of a column; bold where "
        f"p \N{LESS-THAN OR EQUAL TO} {alpha:g}. Raw and sign-flip p stand in the CSV."
    ]
    return "\n".join(parts) + "\n"


def _family(found: ColumnComparison, role: str) -> tuple[Comparison, ...]:
    return found.against_baseline if role == "baseline" else found.against_best


def _reference(found: ColumnComparison, role: str) -> str:
    family = _family(found, role)
    return family[0].reference if family else ""


def _comparison_text(found: ColumnComparison, role: str, row: str, alpha: float) -> str:
    for comparison in _family(found, role):
        if comparison.row == row:
            text = difference_text(comparison, found.column)
            return f"{f'**{text}**' if comparison.p_holm <= alpha else text} {_escape(p_text(comparison.p_holm))}"
    return ""


def _csv(lines: Iterator[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def csv_table(view: TableView) -> str:
    """The values in full: per metric the mean, both ends, n, membership of the best group, and the papers' number."""
    return _csv(_csv_lines(view))


def _csv_lines(view: TableView) -> Iterator[list[str]]:
    head = ["row", "task"]
    for column in view.table.metrics:
        head += [f"{column.metric}{end}" for end in ("", "_ci_low", "_ci_high", "_n", "_best", "_published")]
    yield [*head, *(column.metric for column in view.table.columns if column.of == "cost")]
    for row in view.rows:
        line, costs = [row.row, view.table.task], []
        for column, shown in zip(view.table.columns, row.cells, strict=True):
            cell = shown.cell
            if column.of == "cost":
                costs.append(plain(cell.value))
                continue
            published = cell.published[0].value if cell.published else ""
            line += [
                plain(cell.value),
                plain(cell.ci_low),
                plain(cell.ci_high),
                str(cell.n),
                str(int(shown.best)),
                published,
            ]
        yield [*line, *costs]


def csv_comparison(view: TableView) -> str:
    """Every comparison, one per line, with all its p values."""
    return _csv(_comparison_lines(view))


def _comparison_lines(view: TableView) -> Iterator[Sequence[str]]:
    yield COMPARISON_HEADER
    for found in view.comparisons:
        for role in ("baseline", "best"):
            for comparison in _family(found, role):
                difference = comparison.difference
                yield (
                    view.table.name, view.table.task, found.column.metric, found.column.unit, role, comparison.row,
                    comparison.reference, plain(difference.value), plain(difference.low), plain(difference.high),
                    str(difference.n), plain(comparison.p), plain(comparison.p_holm), plain(comparison.p_sign_flip),
                )  # fmt: skip
