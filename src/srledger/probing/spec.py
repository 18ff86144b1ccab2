"""A probe's entry of params.yaml, checked against the rows and priors that it names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from srledger.ablations import Grid
from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig, plugin_class, plugin_config, plugin_names
from srledger.probes import CodecsConfig, DetectorsConfig, EncodersConfig, MapsConfig, RowsConfig
from srledger.references import demand_reference
from srledger.settings import ProbeSpec
from srledger.token_priors import check_is_map
from srledger.weights import catalogue


def probe_spec(params: Params, name: str) -> ProbeSpec:
    """The probe ``name`` at the scale of ``params``.

    Raises:
        SrledgerError: a setting, row, prior or task that there is not; rows of two tasks; no row at all; a task
            without HR images.
    """
    entry = params.entries.probes[name]
    plugin, here = entry.probe or name, ("probes", name)
    params._must_be("probe", plugin, plugin_names("probes"), *here)
    config = params._layered(
        plugin_config("probes", plugin), (*here, "config"), (*here, "at", params.scale, "config")
    )  # fmt: skip
    for key in ("metrics", "distances"):
        for metric in getattr(config, key, ()):
            params._check_metric(metric, (*here, "config", key))
    if isinstance(config, MapsConfig | EncodersConfig | DetectorsConfig | CodecsConfig):
        params._must_be("task", config.task, params.tasks, *here, "config", "task")
        demand_reference(params, params.tasks[config.task], "a probe", *here, "config", "task")
    if isinstance(config, EncodersConfig):
        for k, encoder in enumerate(config.encoders):
            known = [*params.entries.encoders, *(one for one in plugin_names("encoders") if one in catalogue())]
            params._must_be("encoder", encoder, known, *here, "config", "encoders", k)
    if (asked := asked_encoders(config)) is not None:
        _check_encoders(params, asked, here)
    if isinstance(config, MapsConfig):
        for prior in config.priors:
            params._check_prior(prior, config.task, *here, "config")
            check_is_map(params, prior, (*here, "config", "priors"))
    if isinstance(config, RowsConfig):
        grid = grid_of(params)
        known = [*grid.rows, *grid.tables] if grid else list(params.evaluations)
        for k, row in enumerate(config.rows):
            params._must_be("row", row, known, *here, "config", "rows", k)
        tasks = {row: task_of(params, row) for row in rows_of(params, config.rows)}
        if len(set(tasks.values())) > 1:
            raise SrledgerError(
                "the rows of a probe belong to one task", where=params.file.place((*here, "config", "rows")),
                found=", ".join(f"{row}: {task}" for row, task in tasks.items()), expected="one task",
                mend="a probe of its own for each task (give both the same `probe`)",
            )  # fmt: skip
        for task in sorted(set(tasks.values())):
            demand_reference(params, params.tasks[task], "a probe", *here, "config", "rows")
        looked_at = getattr(config, "prior", None)
        for task in sorted(set(tasks.values())) if looked_at else ():
            params._check_prior(str(looked_at), task, *here, "config")
            check_is_map(params, str(looked_at), (*here, "config", "prior"))
    return ProbeSpec(name, entry.title, plugin, config)


@dataclasses.dataclass(frozen=True)
class AskedEncoders:
    """The entries of ``encoders`` that a probe asks itself.

    Attributes:
        key: of its settings.
        ability: class attribute that each must have; ``lack`` is said of one without it.
    """

    key: str
    names: tuple[str, ...]
    ability: str
    lack: str


def asked_encoders(config: PluginConfig) -> AskedEncoders | None:
    """Detectors, codecs or recognisers of a probe; None for another probe."""
    if isinstance(config, DetectorsConfig):
        return AskedEncoders("detectors", config.detectors, "detects", "detects nothing")
    if isinstance(config, CodecsConfig):
        return AskedEncoders("codecs", config.codecs, "codes", "has no latents")
    if isinstance(config, RowsConfig) and (names := getattr(config, "recognisers", ())):
        return AskedEncoders("recognisers", names, "recognises", "recognises nobody")
    return None


def _check_encoders(params: Params, asked: AskedEncoders, here: tuple[str, ...]) -> None:
    def able(plugin: str) -> bool:
        return bool(getattr(plugin_class("encoders", plugin), asked.ability))

    entries = params.entries.encoders
    for k, name in enumerate(asked.names):
        place: tuple[str | int, ...] = (*here, "config", asked.key, k)
        params._must_be("encoder", name, entries, *place)
        if not able(entries[name].encoder):
            raise SrledgerError(
                f"the encoder '{name}' {asked.lack}", where=params.file.place(place), found=entries[name].encoder,
                expected="one of " + ", ".join(key for key, one in entries.items() if able(one.encoder)),
            )  # fmt: skip


def grid_of(params: Params) -> Grid | None:
    """The ablation grid, when these are its parameters."""
    return getattr(params, "grid", None)


def rows_of(params: Params, names: Sequence[str]) -> tuple[str, ...]:
    """``names`` with the rows of an ablation table in place of the table's name."""
    grid = grid_of(params)
    tables: Mapping[str, Sequence[str]] = grid.tables if grid else {}
    return tuple(dict.fromkeys(row for name in names for row in tables.get(name, (name,))))


def task_of(params: Params, row: str) -> str:
    """The task that a row or transfer is measured on; no network is imported for the answer."""
    entries, grid = params.entries, grid_of(params)
    if grid is not None:
        return entries.ablations[grid.rows[row].table].task or entries.variants[grid.rows[row].base].task
    for group in (entries.variants, entries.students, entries.transfers):
        if row in group:
            return group[row].task
    raise KeyError(row)
