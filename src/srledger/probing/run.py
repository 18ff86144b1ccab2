"""The probes stage: every probe of a report in one process, so that torch starts once and a row is restored once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from srledger.ablations import Absence, absence_of
from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.io import read_json, sha256_file, sha256_files, sha256_json, write_json, write_table
from srledger.layout import PUBLIC, RESTRICTED, Layout, fresh_folder, is_inactive
from srledger.plugins import PACKAGE, plugin_class
from srledger.prior_config import is_made, why_no_encoder, why_no_prior
from srledger.probes import (
    INDEX,
    CodecsConfig,
    DetectorsConfig,
    EncodersConfig,
    MapsConfig,
    Measured,
    Probe,
    ProbeUnavailable,
    RowsConfig,
)
from srledger.probing.networks import network_facts
from srledger.probing.source import Images, RestoredKey, Source
from srledger.probing.spec import asked_encoders, rows_of, task_of
from srledger.progress import Progress
from srledger.reporting.rows import HASHES
from srledger.settings import ProbeSpec

TABLE = "table.parquet"
FACTS = "facts.json"
PICTURES = "pictures"  # of a kept result, whatever their licence


def run_probes(params: Params, layout: Layout, folder: Path) -> list[dict[str, Any]]:
    """Ask every probe of a report that has something to look at; writes ``index.json`` and a table each.

    A probe is asked again only when its code, its settings or what it looks at has changed. One that can't be had
    leaves ``unavailable: <why>`` in its record.

    Raises:
        SrledgerError: a row has no results, and nobody said why.
    """
    records = [record for spec in params.probes.values() if (record := _prepare(params, layout, spec))]
    restored: dict[str, dict[RestoredKey, Images]] = {}  # task -> what its probes share
    with Progress(f"probes {layout.name}", len(records)) as progress:
        for k, record in enumerate(records):
            spec, task = params.probes[record["name"]], record["task"]

            def say(words: str, name: str = spec.name, done: int = k) -> None:
                progress.advance(done, f"{name}: {words}")

            shared = restored.setdefault(task, {})
            source = Source(
                params, layout, task, record["evaluations"], say, shared, record["priors"], record.get("encoders", ())
            )
            _ask(spec, source, record, layout, folder)
            progress.advance(k + 1)
    write_json(folder / INDEX, records)
    return records


def _prepare(params: Params, layout: Layout, spec: ProbeSpec) -> dict[str, Any] | None:
    """What is known of a probe before it is asked; None where this scale has nothing for it."""
    record: dict[str, Any] = {
        "name": spec.name,
        **spec.resolved(),
        "rows": [],
        "priors": [],
        "evaluations": {},
        "seeds": {},
        "inputs": {},
        "missing": {},
        "status": "ok",
        "facts": {},
        "code_sha256": probe_code_sha256(spec.plugin),
        "table_sha256": "",
    }
    config = spec.config
    if isinstance(config, MapsConfig):
        if not params.tasks[config.task].active:
            return None
        record["task"] = config.task
        record["inputs"]["hr"] = read_json(layout.packs(config.task) / "test_hr.json")["sha256"]
        _take_priors(params, layout, config.priors, record)
        if not record["priors"] and not record["missing"]:
            return None
    if isinstance(config, EncodersConfig):
        if not params.tasks[config.task].active:
            return None
        record["task"] = config.task
        record["inputs"] = {name: sha256_json(network_facts(params, name)) for name in config.encoders}
    if isinstance(config, DetectorsConfig):
        if not params.tasks[config.task].active:
            return None
        packs = layout.packs(config.task)
        record["task"], record["encoders"] = config.task, []
        record["inputs"] = {
            "hr": read_json(packs / "test_hr.json")["sha256"],
            "all": sha256_file(packs / "images.json"),
        }
    if isinstance(config, CodecsConfig):
        if not params.tasks[config.task].active:
            return None
        record["task"], record["encoders"] = config.task, []
        record["inputs"]["hr"] = read_json(layout.packs(config.task) / "test_hr.json")["sha256"]
    if (asked := asked_encoders(config)) is not None:
        record.setdefault("encoders", [])
        _take_encoders(params, layout, asked.names, record)
        if not record["encoders"] and not record["missing"]:
            return None
    if isinstance(config, RowsConfig):
        for name in rows_of(params, config.rows):
            why = params.why_unavailable(name)
            if why is None and not params.is_active(name):
                continue
            record["task"] = task_of(params, name)
            absence = Absence(why, "unavailable") if why else absence_of(layout, name)
            if absence:
                record["missing"][name] = absence.status
                continue
            result = _result(layout, name)
            row = result["row"]
            record["rows"].append(row)
            record["evaluations"][row] = name
            record["inputs"][row] = sha256_json([result[key] for key in HASHES])
            record["seeds"][row] = result["seeds"][: config.seeds]
        if "encoders" in record and "task" in record:  # a recogniser's question: whom an image shows
            record["inputs"]["all"] = sha256_file(layout.packs(record["task"]) / "images.json")
        prior = getattr(config, "prior", None)
        if prior and "task" in record:
            _take_priors(params, layout, (prior,), record)
    return record if record.get("task") else None


def _take_priors(params: Params, layout: Layout, names: Sequence[str], record: dict[str, Any]) -> None:
    """Note the priors of a probe that this scale makes; of those whose weights can't be had, why."""
    for prior in names:
        if not is_made(params.entries.all_priors[prior], params.scale):
            continue
        if why := why_no_prior(params, prior):
            record["missing"][prior] = f"unavailable: {why}"
            continue
        maps = layout.prior(prior) / record["task"] / "test.json"
        record["inputs"][f"{prior}/{record['task']}"] = read_json(maps)["sha256"]
        record["priors"].append(prior)


def _take_encoders(params: Params, layout: Layout, names: Sequence[str], record: dict[str, Any]) -> None:
    """Note the encoders of a probe that this scale makes; of those whose weights can't be had, why."""
    for name in names:
        if not is_made(params.entries.encoders[name], params.scale):
            continue
        if why := why_no_encoder(params, name):
            record["missing"][name] = f"unavailable: {why}"
            continue
        record["inputs"][name] = sha256_file(layout.encoder(name) / "encoder.json")
        record["encoders"].append(name)


def _result(layout: Layout, name: str) -> dict[str, Any]:
    folder = layout.result(name)
    if not (folder / "result.json").exists() or is_inactive(folder):
        raise SrledgerError("a row has no results", where=folder, expected="result.json", mend="dvc repro")
    return read_json(folder / "result.json")


def probe_code_sha256(plugin: str) -> str:
    """Hash of the code that a probe's numbers and figures come from: its own file, and what all probes share."""
    own = PACKAGE / "probes" / f"{plugin}.py"
    shared = [*(PACKAGE / "probes").glob("_*.py"), *(PACKAGE / "probing").glob("*.py")]
    return sha256_files(PACKAGE, [own, *shared])


def _ask(spec: ProbeSpec, source: Source, record: dict[str, Any], layout: Layout, folder: Path) -> None:
    if why := _why_not(spec, record):
        record["status"] = f"unavailable: {why}"
        return
    kept = layout.probe_kept(_fingerprint(record, source.params))
    if not (kept / FACTS).exists():
        probe: Probe = plugin_class("probes", spec.plugin)(spec.config)
        try:
            found = probe.measure(source)
        except ProbeUnavailable as why:
            record["status"] = f"unavailable: {why}"
            return
        _keep(found, kept)
    record["facts"] = read_json(kept / FACTS)
    shutil.copyfile(kept / TABLE, folder / f"{spec.name}.parquet")
    record["table_sha256"] = sha256_file(folder / f"{spec.name}.parquet")
    if (kept / PICTURES).exists():
        may_stand = read_json(layout.packs(record["task"]) / "task.json")["dataset"]["redistributable"]
        shutil.copytree(kept / PICTURES, folder / (PUBLIC if may_stand else RESTRICTED) / spec.name)


def _why_not(spec: ProbeSpec, record: dict[str, Any]) -> str | None:
    """Why a probe has nothing to look at."""
    if isinstance(spec.config, MapsConfig) and not record["priors"]:
        return "none of its priors has maps"
    if (asked := asked_encoders(spec.config)) is not None and not record["encoders"]:
        return f"none of its {asked.key} is at hand"
    if not isinstance(spec.config, RowsConfig):
        return None
    if not record["rows"]:
        return "none of its rows has results"
    prior = getattr(spec.config, "prior", None)
    return f"prior {prior} has no maps here" if prior and prior not in record["priors"] else None


def _fingerprint(record: Mapping[str, Any], params: Params) -> str:
    """Hash of everything that decides what a probe finds: its code, its settings and what it looks at."""
    settings = {key: record[key] for key in ("title", "plugin", "config")}
    return sha256_json([settings, record["code_sha256"], record["inputs"], params.block.weights])


def keep_committed(params: Params, layout: Layout, folder: Path) -> None:
    """Take what the probes of a report found, in the ``folder`` of its rows, for as if it had been found here.

    A probe that is the same still, by its code, settings and inputs, is then not asked again; its rows' images need not
    be here. A table that is not the one of its record is passed over.
    """
    for record in read_json(folder / INDEX) if (folder / INDEX).exists() else ():
        kept, table = layout.probe_kept(_fingerprint(record, params)), folder / f"{record['name']}.parquet"
        whole = record["status"] == "ok" and table.exists() and sha256_file(table) == record["table_sha256"]
        if whole and not (kept / FACTS).exists():
            with fresh_folder(kept) as part:
                shutil.copyfile(table, part / TABLE)
                write_json(part / FACTS, record["facts"])


def _keep(found: Measured, kept: Path) -> None:
    with fresh_folder(kept) as part:
        write_table(part / TABLE, found.table)
        write_json(part / FACTS, dict(found.facts))
        for name, pixels in found.pictures.items():
            (part / PICTURES).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(part / PICTURES / f"{name}.png", optimize=True)
