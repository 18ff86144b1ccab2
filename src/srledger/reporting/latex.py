"""Tables as LaTeX: booktabs, every text escaped, plain enough to \\input into any paper."""

from __future__ import annotations

from collections.abc import Sequence

from srledger.reporting.views import DOWN, MINUS, UP, CellView, TableView, difference_text, label, p_text

ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", UP: r"$\uparrow$", DOWN: r"$\downarrow$", MINUS: "$-$", "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{EM DASH}": "---", "\N{EN DASH}": "--", "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$", "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """``text`` with every character that LaTeX reads as a command made harmless, and symbols as commands."""
    return "".join(ESCAPES.get(character, character) for character in text)


def latex_table(view: TableView) -> str:
    """The values. Needs only ``\\usepackage{booktabs}``."""
    head = ["row", "n", "seeds"]
    for column in view.table.columns:
        head.append(label(column))
        if column.metric in view.published:
            head.append(f"{column.metric}, published")
    lines = []
    for row in view.rows:
        line = [escape_latex(row.row), str(row.n) if row.n else "", str(row.seeds) if row.seeds else ""]
        for column, cell in zip(view.table.columns, row.cells, strict=True):
            line.append(_cell(cell))
            if column.metric in view.published:
                line.append(
                    escape_latex(
                        "; ".join(f"{number.value} ({number.grade or 'ungraded'})" for number in cell.cell.published)
                    )
                )
        lines.append(line)
    notes = [f"({letter}) {reason}" for letter, reason in view.notes]
    return _table(view.table.title, f"tab:{view.table.name}", head, lines, [*notes, *view.foot])


def latex_comparison(view: TableView, alpha: float) -> str:
    """Differences, one line per (metric, row), first to the baseline and then to the best row."""
    lines = []
    for found in view.comparisons:
        families = (("baseline", found.against_baseline), ("best", found.against_best))
        for role, comparison in ((role, comparison) for role, family in families for comparison in family):
            text = escape_latex(difference_text(comparison, found.column))
            lines.append([
                escape_latex(label(found.column)), escape_latex(comparison.row),
                escape_latex(f"{comparison.reference} ({role})"),
                rf"\textbf{{{text}}}" if comparison.p_holm <= alpha else text, escape_latex(p_text(comparison.p_holm)),
                str(comparison.difference.n),
            ])  # fmt: skip
    foot = [
        "Mean paired difference with its bootstrap interval; p after Holm over the rows of a column; "
        f"bold: p \N{LESS-THAN OR EQUAL TO} {alpha:g}."
    ]
    head = ["metric", "row", "minus", "difference", "Holm", "n"]
    return _table(f"{view.table.title}: differences", f"tab:{view.table.name}-comparison", head, lines, foot)


def _cell(view: CellView) -> str:
    if view.note:
        return f"--- ({view.note})"
    text = escape_latex(view.text)
    text = rf"\textbf{{{text}}}" if view.best else text
    return rf"\shortstack[r]{{{text} \\ \tiny {escape_latex(view.interval)}}}" if view.interval else text


def _table(title: str, key: str, head: Sequence[str], lines: Sequence[Sequence[str]], foot: Sequence[str]) -> str:
    """``head`` and ``foot`` are plain texts; ``lines`` are LaTeX already."""
    return "\n".join([
        "% needs \\usepackage{booktabs}",
        r"\begin{table}[t]",
        r"\centering\scriptsize\setlength{\tabcolsep}{2pt}",
        rf"\caption{{{escape_latex(title)}}}\label{{{key}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(escape_latex(text) for text in head) + r" \\",
        r"\midrule",
        *(" & ".join(line) + r" \\" for line in lines),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\raggedright\tiny {escape_latex(line)}" for line in foot),
        r"\end{table}",
    ]) + "\n"  # fmt: skip
