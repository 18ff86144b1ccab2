"""The ``srledger`` command. Each command loads what it needs and nothing else."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from srledger.errors import SrledgerError
from srledger.layout import is_ablation

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__.splitlines()[0]
)
Scale = Annotated[str | None, typer.Option("--scale", "-s", help="a scale of params.yaml; default: the one it names")]


@app.command()
def config(row: Annotated[str, typer.Argument(help="a variant or a student")] = "", scale: Scale = None) -> None:
    """Print what params.yaml resolves to for one row; without a row, only check the file."""
    from srledger.ablation_lock import check_lock, scale_of_lock
    from srledger.config import Params
    from srledger.layout import Layout
    from srledger.watched import check_files

    params = Params.load(scale=scale)
    if not row:
        check_files(params, Layout(params.scale))
        if scale_of_lock(Path()) in (None, params.scale):  # that of another scale is written anew before the grid runs
            check_lock(params.ablations, Path())
        typer.echo(f"params.yaml is whole: scale {params.scale}, {sum(map(params.is_active, params.rows))} rows run")
        return
    resolved = params.row(row)
    values = {"row": row, "scale": params.scale, "active": resolved.active, **resolved.resolved()}
    if resolved.weights_of:
        values["weights_of"] = resolved.weights_of.name
    typer.echo(json.dumps(values, indent=2))


@app.command()
def repro(
    scale: Scale = None,
    only: Annotated[
        str, typer.Option(help="rows, separated by commas; their report keeps the others; default: everything")
    ] = "",
) -> None:
    """Run `dvc repro` at another scale, and leave params.yaml and dvc.lock as they were."""
    from srledger.provenance import GRID
    from srledger.reports import open_report
    from srledger.scales import DATA_TARGET, repro_at, targets_of
    from srledger.watched import check_files

    params, layout = open_report(scale)
    check_files(params, layout)
    names = [name for name in only.split(",") if name]
    targets = [*targets_of(params, names), DATA_TARGET] if names else [GRID] if layout.ablations else []
    status = repro_at(params.scale, targets)
    if names and not status:
        for of_grid in sorted({is_ablation(name) for name in names}):
            _keep_report(params.scale, of_grid)
    raise typer.Exit(status)


def _keep_report(scale: str | None, ablations: bool) -> None:
    from srledger.reports import open_report
    from srledger.stage import QUIET_TOOLS

    os.environ.update({**QUIET_TOOLS, **os.environ})  # as stages run; torch reads it when it is loaded
    from srledger.reporting.keep import keep_report

    for line in keep_report(*open_report(scale, ablations=ablations)):
        typer.echo(line)


@app.command()
def report(
    scale: Scale = None,
    check: Annotated[bool, typer.Option("--check", help="compare with what is committed, change nothing")] = False,
    ablations: Annotated[bool, typer.Option("--ablations", help="the report of the scale's ablation grid")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="gather what rows have results here, keep committed rows that hold")
    ] = False,
) -> None:
    """Render a report again from its committed rows; with --check, compare it byte for byte."""
    from srledger.reports import open_report

    params, layout = open_report(scale, ablations=ablations)
    if keep:
        return _keep_report(params.scale, layout.ablations)
    rows = layout.report() / "rows"
    if not (rows / "results.json").exists():
        raise SrledgerError(
            "there is no report of this scale",
            where=rows,
            mend=f"srledger repro --scale {layout.name}",
        )
    if check:
        from srledger.reporting.verify import check_report

        typer.echo(check_report(params, layout))
        return
    from srledger.reporting.stage import render

    render(params, layout.report(), rows, layout.root)
    typer.echo(f"report: {layout.report() / 'index.html'}")


@app.command()
def ablations(
    scale: Scale = None,
    write: Annotated[bool, typer.Option("--write", help="write ablations/grid.lock.yaml from params.yaml")] = False,
    check: Annotated[bool, typer.Option("--check", help="fail when that file is not what params.yaml gives")] = False,
    failed: Annotated[str, typer.Option(help="a row that failed: the report goes on without it, with --why")] = "",
    why: Annotated[str, typer.Option(help="what its cells shall say")] = "",
) -> None:
    """List the rows of the ablation grid, what each changes, and whether it runs at this scale."""
    from srledger.ablation_lock import LOCK, check_lock, scale_of_lock, write_lock
    from srledger.ablations import mark_failed, select, untrained
    from srledger.reports import open_report

    params, layout = open_report(scale, ablations=True)
    grid = params.ablations.grid
    if failed:
        for name in select(grid, [failed]):
            marked = {name: why}
            if not (layout.run(name) / "run.json").exists():  # not the measuring failed, but the training
                takers = filter(params.ablations.is_active, grid.sampled_from(name))
                marked |= dict.fromkeys(takers, untrained(name, why))
            for marked_row, words in marked.items():
                mark_failed(layout, marked_row, words)
                typer.echo(f"{marked_row}: marked as failed")
        return
    if write:
        typer.echo(f"{LOCK}: {'written' if write_lock(params.ablations, layout.root) else 'was up to date'}")
        return
    if check or scale_of_lock(layout.root) in (None, params.scale):
        check_lock(params.ablations, layout.root)
    active = params.ablations.active_rows()
    if check:
        typer.echo(f"{LOCK} is what params.yaml gives: {len(active)} of {len(grid.rows)} rows, scale {params.scale}")
        return
    for name, row in grid.rows.items():
        changes = ", ".join(f"{path} {json.dumps(value)}" for path, value in row.settings.items()) or row.base
        sampled = f"; sampled from {row.weights_of}" if row.weights_of else ""
        typer.echo(f"{name:40} {'runs' if name in active else 'does not run'}; {changes}{sampled}")


@app.command()
def explain(selector: Annotated[str, typer.Argument(help="metric/row/task")], scale: Scale = None) -> None:
    """Print where a number comes from and the command that makes it again."""
    from srledger.reporting.explain import explain as explain_cell
    from srledger.reports import open_report

    _, layout = open_report(scale, ablations=is_ablation(selector))
    typer.echo(explain_cell(layout.report() / "cells.csv", selector))


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
def mlflow_sync(
    scale: Scale = None,
    follow: Annotated[bool, typer.Option("--follow", help="then show trainings while they run, until Ctrl-C")] = False,
) -> None:
    """Bring MLflow up to date with what lies on disk, and end its runs whose process is gone."""
    from srledger.config import Params
    from srledger.tracking.follow import follow as follow_trainings
    from srledger.tracking.mirror import sync_all

    params = Params.load(scale=scale)
    typer.echo(f"{sync_all(params, Path())} runs new in MLflow")
    if follow:
        follow_trainings(Path(), params.scale, typer.echo)


@app.command()
def pipeline(
    targets: Annotated[
        list[str] | None, typer.Argument(help="rows or stages; default: everything and the report")
    ] = None,
    scale: Scale = None,
    force: Annotated[bool, typer.Option("--force", help="run stages that are up to date, too")] = False,
) -> None:
    """What `dvc repro` does, stages side by side within the leases; no server is needed."""
    _enter_flows()
    from flows.pipeline import run_here

    raise typer.Exit(run_here(Path.cwd(), targets or [], scale, force))


@app.command()
def sweep(
    only: Annotated[str, typer.Option(help="rows or tables of the grid, separated by commas; default: all")] = "",
    scale: Scale = None,
) -> None:
    """The ablation grid and its report, rows side by side within the leases; no server is needed."""
    _enter_flows()
    from flows.ablation_sweep import run_here

    raise typer.Exit(run_here(Path.cwd(), [name for name in only.split(",") if name], scale))


def _enter_flows() -> None:
    """Make the clone's ``flows`` importable: they are no part of the installed package."""
    here = Path.cwd()
    if not (here / "flows" / "__init__.py").exists():
        raise SrledgerError(
            "a folder is missing", where=here / "flows", mend="run the command in the project's top folder"
        )
    (here / ".cache").mkdir(exist_ok=True)  # where Prefect is at home, by pyproject.toml
    sys.path.insert(0, str(here))


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="mend what can be; nothing that a living process holds")] = False,
    suggest: Annotated[bool, typer.Option("--suggest", help="measure faster precision and threads instead")] = False,
) -> None:
    """Find what kills and full disks left behind. Status 0: well, or made so; 1: something is left."""
    if suggest:
        from srledger.stage import QUIET_TOOLS

        os.environ.update({**QUIET_TOOLS, **os.environ})  # measured as stages run; torch reads it when it is loaded
        from srledger.doctor.suggest import suggest as measure

        return measure(Path(), typer.echo)
    from srledger.doctor import examine

    raise typer.Exit(1 if examine(Path(), typer.echo, fix=fix) else 0)


services = typer.Typer(no_args_is_help=True, help="Prefect's server, MLflow's page and two workers on this machine.")
app.add_typer(services, name="services")


@services.command("up")
def services_up(
    prefect_port: Annotated[int | None, typer.Option(help="of Prefect's server, default 4200")] = None,
    mlflow_port: Annotated[int | None, typer.Option(help="of MLflow's page, default 5000")] = None,
    pool: Annotated[list[str] | None, typer.Option(help="whose worker to start; default: cpu and gpu")] = None,
) -> None:
    """Start what does not run, wait until it is healthy, print the two addresses."""
    from srledger.config import Params
    from srledger.services import POOLS, PREFECT_URL, Services
    from srledger.yamlmap import YamlFile

    found = Services(Path(), prefect_port, mlflow_port)
    found.up(Params(YamlFile.read(Path("params.yaml"))).orchestration, typer.echo, pool or POOLS)
    typer.echo(f"Prefect: {found.prefect_url}\nMLflow:  {found.mlflow_url}")
    if found.prefect_url != PREFECT_URL:
        typer.echo(f"every `prefect` command must know the port: export PREFECT_API_URL={found.prefect_url}/api")


@services.command("down")
def services_down() -> None:
    """Stop them: flow runs that run are stopped too, trainings save a checkpoint."""
    from srledger.services import Services

    Services(Path()).down(typer.echo)


@services.command("status")
def services_status() -> None:
    """Say how each of them is."""
    from srledger.services import Services

    for name, state in Services(Path()).status().items():
        typer.echo(f"{name:16}{state}")


def main() -> None:
    """Entry point: a user's mistake is one message, not a traceback."""
    try:
        app()
    except SrledgerError as error:
        typer.echo(f"srledger: {error}", err=True)
        sys.exit(1)
