"""A probe's tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from srledger.probes import Quantity, ShownCell, ShownTable
from srledger.reporting.cells import plain
from srledger.reporting.latex import escape_latex
from srledger.reporting.tables import _escape, _grid
from srledger.reporting.views import MINUS


def number_text(quantity: Quantity) -> str:
    """The number with its decimals."""
    return _rounded(quantity.value, quantity.digits)


def interval_text(quantity: Quantity) -> str:
    """``[low, high]``, or nothing."""
    if quantity.low is None or quantity.high is None:
        return ""
    return f"[{_rounded(quantity.low, quantity.digits)}, {_rounded(quantity.high, quantity.digits)}]"


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", MINUS)


def cell_text(cell: ShownCell) -> str:
    """A cell in words: the number and its interval, printed numbers with their grade."""
    if isinstance(cell, Quantity):
        return f"{number_text(cell)} {interval_text(cell)}".strip()
    if isinstance(cell, tuple):
        return "; ".join(f"{one.value} ({one.grade or 'ungraded'})" for one in cell)
    return "" if cell is None else str(cell)


def probe_table_files(probe: str, table: ShownTable) -> dict[str, str]:
    """File name -> text of one table."""
    stem = f"probe_{probe}_{table.name}"
    return {f"{stem}.md": _markdown(table), f"{stem}.tex": _latex(table, stem), f"{stem}.csv": _csv(table)}


def _markdown(table: ShownTable) -> str:
    lines = [[_escape(cell_text(cell)) for cell in line] for line in table.lines]
    foot = [f"- {_escape(note)}" for note in table.notes]
    return "\n".join(
        [f"# {_escape(table.title)}", "", *_grid([_escape(name) for name in table.head], lines), "", *foot, ""]
    )


def _latex(table: ShownTable, label: str) -> str:
    rows = [" & ".join(escape_latex(cell_text(cell)) for cell in line) + r" \\" for line in table.lines]
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(table.title)}}}", rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}", r"\toprule",
        " & ".join(escape_latex(name) for name in table.head) + r" \\", r"\midrule", *rows, r"\bottomrule",
        r"\end{tabular}", *(rf"\par\footnotesize {escape_latex(note)}" for note in table.notes), r"\end{table}", "",
    ])  # fmt: skip


def _csv(table: ShownTable) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_csv_lines(table))
    return text.getvalue()


def _csv_lines(table: ShownTable) -> Iterator[list[str]]:
    with_ends = [
        any(isinstance(line[k], Quantity) and line[k].low is not None for line in table.lines)  # type: ignore[union-attr]
        for k in range(len(table.head))
    ]
    head = []
    for name, ends in zip(table.head, with_ends, strict=True):
        head += [name, f"{name}, low", f"{name}, high"] if ends else [name]
    yield head
    for line in table.lines:
        found = []
        for cell, ends in zip(line, with_ends, strict=True):
            if isinstance(cell, Quantity):
                found += [plain(cell.value), *([plain(cell.low), plain(cell.high)] if ends else [])]
            else:
                found += [cell_text(cell), *([""] * 2 * ends)]
        yield found
