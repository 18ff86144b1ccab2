"""The report stage: gather rows, render, and render once more with restricted pictures for local eyes."""

from __future__ import annotations

from pathlib import Path

from srledger.config import Params
from srledger.gates.vouchers import check_vouchers
from srledger.layout import Layout, fresh_folder
from srledger.reporting.collect import collect
from srledger.reporting.render import render_report

PUBLISHED = "published"


def report(params: Params, layout: Layout) -> str:
    """Write ``reports/<scale>`` and, where a set may not be redistributed, ``private/<scale>``; returns a line."""
    check_vouchers(params, layout)
    with fresh_folder(layout.report() / "rows") as part:
        collect(params, layout, part)
    render(params, layout.report(), layout.report() / "rows", layout.root)
    line = f"report: {layout.report() / 'index.html'}"
    if any(not dataset_is_public(layout, params, name) for name in params.tasks):
        with fresh_folder(layout.private() / "rows") as part:
            collect(params, layout, part, private=True)
        render(params, layout.private(), layout.private() / "rows", layout.root)
        line += f"; with restricted pictures: {layout.private() / 'index.html'}"
    return line


def render(params: Params, folder: Path, rows: Path, root: Path) -> None:
    """Render a report from its rows, with the table order of params.yaml."""
    render_report(rows, folder, params.report, root / PUBLISHED, row_order=list(params.evaluations))


def dataset_is_public(layout: Layout, params: Params, task: str) -> bool:
    """Whether pictures of a task may stand in a committed report (true for a task that does not run)."""
    from srledger.io import read_json

    path = layout.packs(task) / "task.json"
    return not path.exists() or read_json(path)["dataset"]["redistributable"]
