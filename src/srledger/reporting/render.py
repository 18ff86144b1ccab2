"""Rows in, report out. A pure function of files: no clock, no host, no draw that is not named."""

from __future__ import annotations

import contextlib
from pathlib import Path

from srledger.errors import SrledgerError
from srledger.io import write_bytes, write_text
from srledger.reporting.cells import build_cells, cells_csv, restored_otherwise, trained_elsewhere
from srledger.reporting.comparisons import compare_table
from srledger.reporting.config import ReportConfig
from srledger.reporting.data_page import render_data_page
from srledger.reporting.effect_figures import draw_interactions
from srledger.reporting.effect_tables import effect_files
from srledger.reporting.effect_words import effects_view
from srledger.reporting.effects import table_effects
from srledger.reporting.figures import draw_figures
from srledger.reporting.gates_page import render_gates_page
from srledger.reporting.html import render_html
from srledger.reporting.layout import Table, lay_out
from srledger.reporting.pictures import Picture, draw_grid, find_pictures
from srledger.reporting.probes_page import probe_files, render_probes_page, show_probes
from srledger.reporting.published import read_published
from srledger.reporting.referee_page import answer_referees, render_referee_page
from srledger.reporting.rows import Rows, read_rows
from srledger.reporting.tables import table_files
from srledger.reporting.views import build_view


def render_report(
    rows_dir: Path, out_dir: Path, config: ReportConfig, published_dir: Path, row_order: list[str]
) -> None:
    """Write the pages, ``cells.csv``, ``tables/`` and ``figures/`` below ``out_dir``; remove stale files.

    Args:
        rows_dir: the committed rows. published_dir: csv files of papers' numbers (may be absent).
        row_order: order of the rows in tables, as params.yaml lists its variants.

    Raises:
        SrledgerError: the rows are not whole, or the config names what they do not hold.
    """
    rows = read_rows(rows_dir, row_order)
    tables = lay_out(rows, config)
    published = read_published(published_dir)
    cells = build_cells(rows, tables, published, config)
    comparisons = {table.name: compare_table(rows, table, config) for table in tables}
    views = [
        build_view(
            table, cells, comparisons[table.name], config, _trained_elsewhere(rows, table), _sampled(rows, table)
        )
        for table in tables
    ]
    effects = {
        table.name: effects_view(table, found, config)
        for table in tables
        if (found := table_effects(rows, table, cells, config))
    }
    figures = draw_figures(rows, tables, comparisons, cells, config.alpha)
    for name in effects:
        figures |= draw_interactions(effects[name])
    pictures = [
        picture
        for task in dict.fromkeys(table.task for table in tables)
        for picture in _pictures_of(rows_dir, rows, task, config)
    ]
    probes = show_probes(rows_dir, rows, config, published)

    texts = {f"tables/{name}": text for view in views for name, text in table_files(view, config.alpha).items()}
    texts |= {f"tables/{name}": text for view in effects.values() for name, text in effect_files(view).items()}
    files = {name: text.encode("utf-8") for name, text in texts.items()}
    files |= {f"figures/{name}.svg": svg.encode("utf-8") for name, svg in figures.items()}
    files |= {f"figures/pictures_{picture.task}_{picture.image_id}.png": draw_grid(picture) for picture in pictures}
    files |= probe_files(probes)
    _remove_stale(out_dir, set(files))
    for name, data in sorted(files.items()):
        write_if_new(out_dir / name, data)
    write_text(out_dir / "cells.csv", cells_csv(cells))
    write_text(out_dir / "index.html", render_html(rows, views, cells, figures, pictures, config, effects))
    groups = answer_referees(rows, probes, config, published)
    asked = [view.record["name"] for group in groups for view in group.probes]
    others = [view for view in probes if view.record["name"] not in asked]
    write_text(out_dir / "probes.html", render_probes_page(others, rows.scale, config, asked))
    write_text(out_dir / "referee.html", render_referee_page(groups, rows.scale, config))
    write_text(out_dir / "data.html", render_data_page(rows_dir, config))
    write_text(out_dir / "gates.html", render_gates_page(rows_dir))


def _pictures_of(rows_dir: Path, rows: Rows, task: str, config: ReportConfig) -> list[Picture]:
    reference = rows.tasks.get(task, {}).get("reference", True)
    folder, count = rows_dir / "pictures", config.figure_images
    return find_pictures(folder, task, rows.rows_of(task), count, reference=reference)


def _trained_elsewhere(rows: Rows, table: Table) -> dict[str, str]:
    """Row -> the task that it was trained on, with the scale factor where that is another."""
    return {
        row: task + _other_factor(rows, task, table.task)
        for row in table.rows
        if (task := trained_elsewhere(rows, row, table.task))
    }


def _sampled(rows: Rows, table: Table) -> dict[str, str]:
    """Row -> whose weights it restores with, and by which settings."""
    return {row: how for row in table.rows if (how := restored_otherwise(rows, row, table.task))}


def _other_factor(rows: Rows, trained_on: str, measured_on: str) -> str:
    theirs, ours = (rows.tasks.get(task, {}).get("scale_factor") for task in (trained_on, measured_on))
    return "" if theirs in (None, ours) else f" (x{theirs}; here it is x{ours})"


def write_if_new(path: Path, data: bytes) -> None:
    """Write atomically, and not at all when the file holds ``data`` already."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return
    write_bytes(path, data)


def _remove_stale(out_dir: Path, wanted: set[str]) -> None:
    for folder in (out_dir / "tables", out_dir / "figures"):
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            if path.is_dir():
                raise SrledgerError(
                    "a folder stands where only the report's files may", where=path, mend=f"rm -r {path}"
                )
            if path.relative_to(out_dir).as_posix() not in wanted:
                path.unlink()
