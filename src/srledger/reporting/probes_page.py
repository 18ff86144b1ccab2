"""The probes page: what each analysis found, from the tables that the rows folder holds."""

from __future__ import annotations

import base64
import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
from markupsafe import Markup

from srledger.io import canonical_json, read_json
from srledger.layout import PUBLIC, RESTRICTED, Layout
from srledger.plugins import plugin_class, plugin_config
from srledger.probes import INDEX, Look, Measured, Probe, Shown
from srledger.reporting.config import ReportConfig
from srledger.reporting.figures import colours_of
from srledger.reporting.html import inline_svg, render_page
from srledger.reporting.pictures import find_pictures
from srledger.reporting.probe_tables import cell_text, interval_text, number_text, probe_table_files
from srledger.reporting.published import Published
from srledger.reporting.rows import Rows

PROBES = "probes"  # in the rows folder


@dataclasses.dataclass(frozen=True)
class ProbeView:
    """A probe as the page has it: its record, its docstring, and what it shows (nothing when it is unavailable)."""

    record: Mapping[str, Any]
    about: str
    shown: Shown
    figures: tuple[Markup, ...]
    pictures: tuple[str, ...]


def collect_probes(layout: Layout, folder: Path, *, private: bool = False) -> None:
    """Copy what the probes of a report found, and the pictures that this report may show, into the rows folder."""
    found = layout.probes()
    if (found / INDEX).exists() and read_json(found / INDEX):
        shutil.copytree(found, folder / PROBES, ignore=shutil.ignore_patterns(RESTRICTED))
        if private and (found / RESTRICTED).is_dir():
            shutil.copytree(found / RESTRICTED, folder / PROBES / PUBLIC, dirs_exist_ok=True)


def recorded_probes(rows_dir: Path) -> list[dict[str, Any]]:
    """The records of a rows folder; none in rows of old."""
    path = rows_dir / PROBES / INDEX
    return read_json(path) if path.exists() else []


def show_probes(
    rows_dir: Path, rows: Rows, config: ReportConfig, published: Mapping[tuple[str, str, str], list[Published]]
) -> list[ProbeView]:
    """Every probe of a report as its page shows it.

    Raises:
        SrledgerError: a record names a plug-in or a setting that there is not.
    """
    colours = colours_of(rows.row_names())
    views = []
    for record in recorded_probes(rows_dir):
        plugin = plugin_class("probes", record["plugin"])
        about = (plugin.__doc__ or "").strip()
        if record["status"] != "ok":
            views.append(ProbeView(record, about, Shown(), (), ()))
            continue
        settings = plugin_config("probes", record["plugin"]).model_validate_json(canonical_json(record["config"]))
        probe: Probe = plugin(settings)
        found = Measured(parquet.read_table(rows_dir / PROBES / f"{record['name']}.parquet"), record["facts"])

        def pictures(task: str) -> Sequence[Any]:
            return find_pictures(rows_dir / "pictures", task, rows.rows_of(task), config.figure_images)

        look = Look(
            record["name"], record["task"], tuple(record["rows"]), record["seeds"],
            {**colours_of(record["rows"]), **colours}, published, pictures, config.bootstrap_resamples, config.alpha,
            {path.stem: path for path in sorted((rows_dir / PROBES / PUBLIC / record["name"]).glob("*.png"))},
        )  # fmt: skip
        shown = probe.show(found, look)
        figures = tuple(inline_svg(figure.svg, figure.caption) for figure in shown.figures)
        addresses = tuple("data:image/png;base64," + base64.b64encode(one.png).decode() for one in shown.pictures)
        views.append(ProbeView(record, about, shown, figures, addresses))
    return views


def probe_files(views: Sequence[ProbeView]) -> dict[str, bytes]:
    """Path in the report -> bytes of every table, figure and further file."""
    files: dict[str, bytes] = {}
    for view in views:
        name, shown = view.record["name"], view.shown
        for table in shown.tables:
            texts = probe_table_files(name, table)
            files |= {f"tables/{file}": text.encode("utf-8") for file, text in texts.items()}
        files |= {f"figures/probe_{name}_{one.name}.svg": one.svg.encode("utf-8") for one in shown.figures}
        files |= {f"figures/probe_{name}_{one.name}.png": one.png for one in shown.pictures}
        files |= {f"figures/probe_{name}_{one.name}": one.data for one in shown.files}
    return files


def render_probes_page(
    views: Sequence[ProbeView], scale: str, config: ReportConfig, elsewhere: Sequence[str] = ()
) -> str:
    """The page as text; it says so when no probe was asked. ``elsewhere`` names those on the referee's page."""
    return render_page(
        "probes.html.j2", "probes.html",
        scale=scale, views=views, elsewhere=elsewhere, config=config, cell_text=cell_text, number_text=number_text,
        interval_text=interval_text, kind_of=lambda cell: type(cell).__name__,
    )  # fmt: skip
