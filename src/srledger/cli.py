"""The ``srledger`` command. Each command loads what it needs and nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from srledger.errors import SrledgerError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__.splitlines()[0]
)
Scale = Annotated[str | None, typer.Option("--scale", "-s", help="a scale of params.yaml; default: the one it names")]


@app.command()
def config(row: Annotated[str, typer.Argument(help="a variant or a student")] = "", scale: Scale = None) -> None:
    """Print what params.yaml resolves to for one row; without a row, only check the file."""
    from srledger.config import Params
    from srledger.layout import Layout
    from srledger.watched import check_files

    params = Params.load(scale=scale)
    if not row:
        check_files(params, Layout(params.scale))
        typer.echo(f"params.yaml is whole: scale {params.scale}, {sum(map(params.is_active, params.rows))} rows run")
        return
    resolved = params.row(row)
    values = {"row": row, "scale": params.scale, "active": resolved.active, **resolved.resolved()}
    typer.echo(json.dumps(values, indent=2))


@app.command()
def repro(
    scale: Scale = None,
    only: Annotated[str, typer.Option(help="rows, separated by commas; default: everything and the report")] = "",
) -> None:
    """Run `dvc repro` at another scale, and leave params.yaml and dvc.lock as they were."""
    from srledger.config import Params
    from srledger.layout import Layout
    from srledger.scales import repro_at, targets_of
    from srledger.watched import check_files

    params = Params.load(scale=scale)
    check_files(params, Layout(params.scale))
    raise typer.Exit(repro_at(params.scale, targets_of(params, [name for name in only.split(",") if name])))


@app.command()
def report(
    scale: Scale = None,
    check: Annotated[bool, typer.Option("--check", help="compare with what is committed, change nothing")] = False,
) -> None:
    """Render a report again from its committed rows; with --check, compare it byte for byte."""
    from srledger.config import Params
    from srledger.layout import Layout

    params = Params.load(scale=scale)
    layout = Layout(params.scale)
    rows = layout.report() / "rows"
    if not (rows / "results.json").exists():
        raise SrledgerError(
            "there is no report of this scale",
            where=rows,
            mend=f"set scale: {params.scale} in params.yaml, then dvc repro",
        )
    if check:
        from srledger.reporting.verify import check_report

        typer.echo(check_report(params, layout))
        return
    from srledger.reporting.stage import render

    render(params, layout.report(), rows, layout.root)
    typer.echo(f"report: {layout.report() / 'index.html'}")


@app.command()
def explain(selector: Annotated[str, typer.Argument(help="metric/row/task")], scale: Scale = None) -> None:
    """Print where a number comes from and the command that makes it again."""
    from srledger.config import Params
    from srledger.layout import Layout
    from srledger.reporting.explain import explain as explain_cell

    typer.echo(explain_cell(Layout(Params.load(scale=scale).scale).report() / "cells.csv", selector))


@app.command()
def weights(
    fetch: Annotated[bool, typer.Option("--fetch", help="download what this scale's metrics can use")] = False,
    scale: Scale = None,
) -> None:
    """List the weights catalogue: what is at hand, what is not, and why."""
    from srledger.config import Params
    from srledger.metrics import MetricName
    from srledger.plugins import plugin_class
    from srledger.weights import catalogue, resolve
    from srledger.weights import fetch as fetch_weights

    params = Params.load(scale=scale)
    allowed = params.block.weights
    if fetch:
        plugins = {MetricName.parse(name).plugin for task in params.tasks.values() for name in params.metrics_of(task)}
        of_metrics = {name for plugin in plugins for name in plugin_class("metrics", plugin).weights}
        fetch_weights(sorted({*allowed, *of_metrics}))
    for name in catalogue():
        resolved = resolve(name)
        state = "at hand" if resolved.path else resolved.reason
        used = "used" if name in allowed else "not used: add it to scales.<scale>.weights"
        typer.echo(f"{name:24} {state}; {used}; licence: {catalogue()[name].licence}")


@app.command("add-dataset")
def add_dataset(
    folder: Annotated[Path, typer.Argument(help="a folder of images; splits, LR images and people are found by name")],
    name: Annotated[str, typer.Option(help="the dataset's key; default: made from the folder's name")] = "",
    scale: Annotated[
        list[str] | None, typer.Option("--scale", "-s", help="scales that get it; may be repeated")
    ] = None,
    scale_factor: Annotated[int | None, typer.Option(min=2, help="default: that of the LR images, else 4")] = None,
    degradation: Annotated[str, typer.Option(help="default: given_lr where there are LR images, else bicubic")] = "",
    hr_size_px: Annotated[str, typer.Option(help="pixels, or as-is; default: the largest that fits")] = "",
    licence: Annotated[str, typer.Option(help="of the images; asked for where it is not given")] = "",
    redistributable: Annotated[bool, typer.Option("--redistributable", help="pictures may be published")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="accept an edited folder of a dataset: its new hash")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show everything, leave params.yaml alone")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Look at a folder of images and write a dataset, a task and a measured row to params.yaml."""
    if update:
        from srledger.add_dataset.update import update_dataset

        return update_dataset(Path(), folder, name, dry_run=dry_run, sure=yes)
    from srledger.add_dataset.command import add_dataset as add
    from srledger.add_dataset.proposal import Wishes

    wishes = Wishes(name, tuple(scale or ()), scale_factor, degradation, hr_size_px, licence, redistributable)
    add(Path(), folder, wishes, dry_run=dry_run, sure=yes)


@app.command()
def datasets() -> None:
    """List the catalogue of public data sets: what is at hand, what can be had and how, and the licence."""
    from srledger.data._catalogue import catalogue
    from srledger.data._fetched import status_of

    for name, entry in catalogue().items():
        state, reason = status_of(name)
        typer.echo(f"{name:20} {state}: {reason}; licence: {entry.licence}; {entry.homepage}")


@app.command("mlflow-sync")
def mlflow_sync(scale: Scale = None) -> None:
    """Bring MLflow up to date with what lies on disk."""
    from srledger.config import Params
    from srledger.layout import Layout
    from srledger.tracking.mirror import sync

    params = Params.load(scale=scale)
    typer.echo(f"{sync(params, Layout(params.scale))} runs new in MLflow")


def main() -> None:
    """Entry point: a user's mistake is one message, not a traceback."""
    try:
        app()
    except SrledgerError as error:
        typer.echo(f"srledger: {error}", err=True)
        sys.exit(1)
