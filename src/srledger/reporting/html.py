"""The pages a reviewer opens: each one file, no network, everything in it."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from srledger.errors import SrledgerError
from srledger.evaluation.statistics import Comparison
from srledger.io import canonical_json
from srledger.reporting.cells import Cell, plain
from srledger.reporting.config import ReportConfig
from srledger.reporting.effect_words import EffectsView
from srledger.reporting.explain import filling_line
from srledger.reporting.figures import INK, LINE
from srledger.reporting.layout import Column, jitter_words
from srledger.reporting.pictures import Picture, centre_of
from srledger.reporting.rows import HASHES, Rows
from srledger.reporting.views import TableView, difference_text, label, p_text, round_to

TEMPLATES = Path(__file__).parent / "templates"
PAGES = {
    "index.html": "Report",
    "probes.html": "Probes",
    "referee.html": "What the referee asked",
    "data.html": "Data",
    "gates.html": "Gates",
}


@dataclasses.dataclass(frozen=True)
class Gap:
    """Cells that are empty for one reason, and the line that fills them."""

    status: str
    cells: tuple[Cell, ...]
    line: str


def render_html(
    rows: Rows,
    views: Sequence[TableView],
    cells: Sequence[Cell],
    figures: Mapping[str, str],
    pictures: Sequence[Picture],
    config: ReportConfig,
    effects: Mapping[str, EffectsView],
) -> str:
    """The results page as text: CSS, JavaScript, figures and pictures stand inside it.

    ``effects`` are those of the crossed tables, by name.
    """
    return render_page(
        "report.html.j2", "index.html",
        rows=rows, views=views, cells=cells, config=config, gaps=_gaps(cells, rows.scale),
        figures={name: inline_svg(svg, _alt(name)) for name, svg in figures.items()},
        pictures=_pictures(pictures), private=_private(rows, pictures), all_effects=effects,
        columns=_columns(views), data=_json(_explorer(rows, views)),
        dataset_of={task: about["dataset"] for task, about in rows.tasks.items()},
    )  # fmt: skip


def render_page(template: str, here: str, **values: Any) -> str:
    """A page of the report as text; ``here`` is its file name, one of PAGES."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        label=label, round_to=round_to, plain=plain, p_text=p_text, difference_text=difference_text, cell_id=cell_id,
        verdict=verdict, compact=canonical_json, jitter_words=jitter_words, HASHES=HASHES,
    )  # fmt: skip
    text = environment.get_template(template).render(
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        js=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        pages=PAGES,
        here=here,
        **values,
    )
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"


def data_address(path: Path) -> str:
    """A PNG file as an address that holds it: the bytes of the rows folder, not encoded again."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def cell_id(cell: Cell) -> str:
    """The anchor of a cell in the page's ledger."""
    return "cell-" + re.sub(r"[^A-Za-z0-9_-]", "-", f"{cell.table}-{cell.row}-{cell.metric}")


def verdict(comparison: Comparison, column: Column, alpha: float) -> str:
    """``better``, ``worse`` or ``same`` (not significant after Holm), seen from the row that was compared."""
    if comparison.p_holm > alpha:
        return "same"
    return "better" if (comparison.difference.value > 0) == column.higher_is_better else "worse"


def inline_svg(svg: str, alt: str) -> Markup:
    """An SVG file as an element of a page: no prolog, no names of its parts, ink and grid in the page's colours."""
    opening = re.search(r'<svg[^>]*width="([\d.]+)pt"[^>]*viewBox="([^"]+)"[^>]*>', svg)
    if opening is None:
        raise SrledgerError("a figure has no size", found=svg[:80])
    width_pt, box = opening.groups()
    body = re.sub(r' id="[\w.]+_\d+"', "", svg[opening.end() :])  # parts' names repeat from figure to figure
    body = body.replace(INK, "var(--ink)").replace(LINE, "var(--line)")
    head = Markup('<svg class="plot" role="img" aria-label="{}" viewBox="{}" style="width:{}pt">').format(
        alt, box, width_pt
    )
    return head + Markup(body)


def _alt(name: str) -> str:
    kind, _, of = name.partition("_")
    return {
        "differences": f"Paired differences to the baseline with intervals, table {of}",
        "distributions": f"Box plots of per-image values, table {of}",
        "tradeoff": f"Perception against distortion, table {of}",
        "curves": f"Training curves, task {of}",
        "interaction": f"Interaction plot, {of}",
    }[kind]


def _json(value: Any) -> Markup:
    """JSON that can stand in a script element: no character ends the element early."""
    text = canonical_json(value)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _columns(views: Sequence[TableView]) -> list[Column]:
    """Every metric of the report once per protocol, in order of appearance."""
    return list({(column.metric, column.protocol): column for view in views for column in view.table.columns}.values())


def _gaps(cells: Sequence[Cell], scale: str) -> list[Gap]:
    by_reason: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.status != "ok":
            by_reason.setdefault((cell.status, filling_line(cell.row, cell.status, scale)), []).append(cell)
    return [Gap(status, tuple(found), line) for (status, line), found in by_reason.items()]


def _pictures(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Per picture its PNG files as data addresses."""
    shown = []
    for picture in pictures:
        files = {"LR": picture.lr, **picture.restored, **({"HR": picture.hr} if picture.reference else {})}
        items = [(name, data_address(path)) for name, path in files.items()]
        shown.append({"task": picture.task, "image_id": picture.image_id, "centre": centre_of(picture), "items": items})
    return shown


def _private(rows: Rows, pictures: Sequence[Picture]) -> list[str]:
    """Tasks that have no picture here."""
    return [task for task in rows.task_names() if task not in {picture.task for picture in pictures}]


def _explorer(rows: Rows, views: Sequence[TableView]) -> dict[str, Any]:
    """Per-image seed means for the worst-case table: table -> images, metrics -> rows -> values (null: not finite)."""
    tables = {}
    for view in views:
        measured = {
            row: rows.measured[row, view.table.task]
            for row in view.table.rows
            if (row, view.table.task) in rows.measured
        }
        if not measured:
            continue
        metrics = []
        for column in view.table.metrics:
            values = {
                row: _six_digits(found.values[column.metric])
                for row, found in measured.items()
                if column.metric in found.values
            }
            if values:
                metrics.append(
                    {
                        "name": column.metric,
                        "label": label(column),
                        "digits": column.digits,
                        "higher": column.higher_is_better,
                        "rows": values,
                    }
                )
        images = next(iter(measured.values())).image_ids
        tables[view.table.name] = {
            "task": view.table.task,
            "title": view.table.title,
            "images": images,
            "rows": list(measured),
            "metrics": metrics,
        }
    return {"tables": tables, "order": list(tables)}


def _six_digits(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.mean(axis=0).tolist()]
