"""The effects of a crossed table as Markdown, LaTeX and CSV. All print the same view."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from srledger.reporting.cells import plain
from srledger.reporting.effect_words import EffectCell, EffectsView, cut_words
from srledger.reporting.latex import _table, escape_latex
from srledger.reporting.tables import _escape, _grid
from srledger.reporting.views import label

HEADER = (
    "table", "task", "metric", "unit", "kind", "factor", "level", "reference", "within", "at", "minus", "averaged",
    "difference", "ci_low", "ci_high", "n", "p", "p_holm", "p_sign_flip",
)  # fmt: skip


def effect_files(view: EffectsView) -> dict[str, str]:
    """File name -> text: the answers and the effects in Markdown and LaTeX, every number in full as CSV."""
    name = f"{view.table.name}_effects"
    return {f"{name}.md": _markdown(view), f"{name}.tex": _latex(view), f"{name}.csv": _csv(view)}


def _markdown(view: EffectsView) -> str:
    parts = [f"# {_escape(view.table.title)}: effects", ""]
    for answer in view.answers:
        parts += [f"## {_escape(answer.title)}", "", *(f"- {_escape(one)}" for one in answer.sentences), ""]
    head = ["effect", *(label(column.column) for column in view.columns)]
    lines = [[_escape(line.label), *(_markdown_cell(cell) for cell in line.cells)] for line in view.lines]
    notes = [f"- ({letter}) {_escape(words)}" for letter, words in view.notes]
    return "\n".join([*parts, "## All effects", "", *_grid(head, lines), "", *notes,
                      *(f"- {_escape(line)}" for line in view.foot)]) + "\n"  # fmt: skip


def _markdown_cell(cell: EffectCell | None) -> str:
    if cell is None:
        return "\N{EM DASH}"
    text = f"{cell.text} {cell.interval}".strip()
    parts = (f"**{text}**" if cell.is_found else text, _escape(cell.p), f"({cell.note})" if cell.note else "")
    return " ".join(part for part in parts if part)


def _latex(view: EffectsView) -> str:
    head = ["effect", *(label(column.column) for column in view.columns)]
    lines = [[escape_latex(line.label), *(_latex_cell(cell) for cell in line.cells)] for line in view.lines]
    foot = [sentence for answer in view.answers for sentence in answer.sentences]
    foot += [f"({letter}) {words}" for letter, words in view.notes]
    title = f"{view.table.title}: effects"
    return _table(title, f"tab:{view.table.name}-effects", head, lines, [*foot, *view.foot])


def _latex_cell(cell: EffectCell | None) -> str:
    if cell is None:
        return "---"
    text = rf"\textbf{{{escape_latex(cell.text)}}}" if cell.is_found else escape_latex(cell.text)
    small = " ".join(part for part in (cell.interval, cell.p, f"({cell.note})" if cell.note else "") if part)
    return rf"\shortstack[r]{{{text} \\ \tiny {escape_latex(small)}}}" if small else text


def _csv(view: EffectsView) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_csv_lines(view))
    return text.getvalue()


def _csv_lines(view: EffectsView) -> Iterator[tuple[str, ...]]:
    yield HEADER
    for column in view.columns:
        for effect, estimate in column.estimates.items():
            difference = estimate.difference
            yield (
                view.table.name, view.table.task, column.column.metric, column.column.unit, effect.kind, effect.factor,
                effect.level, effect.reference, effect.within or "", effect.at or "", effect.minus or "",
                cut_words(estimate.cut) or "over all combinations", plain(difference.value), plain(difference.low),
                plain(difference.high), str(difference.n), plain(estimate.p), plain(estimate.p_holm),
                plain(estimate.p_sign_flip),
            )  # fmt: skip
