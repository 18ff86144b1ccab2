"""Gather what a report is made from: rows, curves, facts, gates and pictures, into ``reports/<scale>/rows``.

After this the report needs neither data nor weights: a fresh clone renders it again from the committed folder.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from srledger.config import Evaluation, Params, Task
from srledger.errors import SrledgerError
from srledger.gates import KINDS
from srledger.io import read_json, write_json, write_table
from srledger.layout import INACTIVE, PUBLIC, RESTRICTED, Layout, is_inactive
from srledger.packs import Pack
from srledger.provenance import maps_code_sha256, packs_sha256
from srledger.reporting.absent import absent_record, unavailable_record
from srledger.reporting.data_page import EXPLORATION, PICTURES
from srledger.reporting.gates_page import GATES
from srledger.reporting.probes_page import collect_probes


def collect(params: Params, layout: Layout, folder: Path, *, private: bool = False) -> None:
    """Fill ``folder`` with rows, curves, ``results.json``, gate results, facts and pictures of what runs at this scale.

    Args:
        private: take pictures of sets that may not be redistributed too (for a local gallery).

    Raises:
        SrledgerError: a row has no results yet.
    """
    records = [
        (evaluation, absent_record(params, layout, evaluation) or _record(layout, evaluation))
        for evaluation in params.evaluations.values()
        if evaluation.active
    ]
    unavailable = [evaluation for evaluation in params.evaluations.values() if evaluation.unavailable]
    measured = [
        (evaluation, record) for evaluation, record in records if not (record["failed"] or record.get("absent"))
    ]
    for evaluation, record in measured:
        shutil.copyfile(
            layout.result(evaluation.name) / "rows.parquet", folder / f"{record['row']}__{record['task']}.parquet"
        )
    tasks = {
        evaluation.task.name: read_json(layout.packs(evaluation.task.name) / "task.json") for evaluation, _ in records
    }
    summary = {
        "scale": layout.name,
        "results": [record for _, record in records] + [unavailable_record(params, one) for one in unavailable],
        "datasets": {task["dataset"]["name"]: _without(task["dataset"], "name") for task in tasks.values()},
        "tasks": {
            name: {
                "dataset": task["dataset"]["name"],
                "degradation": task["degradation"],
                "scale_factor": task["scale_factor"],
                "hr_size_px": task["hr_size_px"] or "native",
                "packs_sha256": packs_sha256(layout, name),
                **{key: task[key] for key in ("jitter", "reference") if key in task},
            }
            for name, task in tasks.items()
        }
        | {one.task.name: _asked_for(one.task) for one in unavailable},
        "maps_code_sha256": {
            name: maps_code_sha256(layout.root, params.priors[name])
            for name in {one.name for evaluation, _ in records for one in (evaluation.row.prior, evaluation.prior)}
        },
    }
    write_json(folder / "results.json", summary)
    write_table(folder / "curves.parquet", _curves(layout, (name for name, row in params.rows.items() if row.active)))
    collect_gates(layout, folder)
    collect_probes(layout, folder, private=private)
    collect_exploration(layout.explored(), folder, private=private)
    for name, task in tasks.items():
        if task["dataset"]["redistributable"] or private:
            shown = [evaluation for evaluation, _ in measured if evaluation.task.name == name]
            kinds = ("hr", "lr") if task.get("reference", True) else ("lr",)
            _pictures(layout, name, kinds, shown, params.report.figure_images, folder / "pictures" / name)


def _record(layout: Layout, evaluation: Evaluation) -> dict[str, Any]:
    folder = layout.result(evaluation.name)
    if not (folder / "result.json").exists() or is_inactive(folder):
        raise SrledgerError("a row has no results", where=folder, expected="result.json", mend="dvc repro")
    return read_json(folder / "result.json")


def _asked_for(task: Task) -> dict[str, Any]:
    """What is known of a task without its images."""
    return {
        "dataset": task.dataset.name,
        "degradation": task.degradation,
        "scale_factor": task.scale_factor,
        "hr_size_px": task.hr_size_px or "native",
        **task.set_apart(),
    }


def _without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _curves(layout: Layout, rows: Iterable[str]) -> pa.Table:
    columns: dict[str, list[Any]] = {"row": [], "seed": [], "step": [], "name": [], "value": []}
    for row in rows:
        for path in sorted(layout.run(row).glob("seed*/curves.csv"), key=lambda path: int(path.parent.name[4:])):
            with path.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    columns["row"].append(row)
                    columns["seed"].append(int(path.parent.name[4:]))
                    columns["step"].append(int(line["step"]))
                    columns["name"].append(line["name"])
                    columns["value"].append(float(line["value"]))
    types = {"row": pa.string(), "seed": pa.int32(), "step": pa.int32(), "name": pa.string(), "value": pa.float32()}
    return pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})


def collect_gates(layout: Layout, folder: Path) -> None:
    """Write the results of all gates of a scale into one file of ``folder``, in the pipeline's order, then by name."""
    found = [path for kind in KINDS for path in sorted(layout.gates(kind).rglob("*.json")) if path.name != INACTIVE]
    write_json(folder / GATES, [read_json(path) for path in found])


def collect_exploration(explored: Path, folder: Path, *, private: bool) -> None:
    """Copy the facts of every dataset into ``folder``, and the pictures that this report may show."""
    for path in sorted(explored.glob("*.json")):
        (folder / EXPLORATION).mkdir(exist_ok=True)
        shutil.copyfile(path, folder / EXPLORATION / path.name)
    for source in (PUBLIC, RESTRICTED) if private else (PUBLIC,):
        if (explored / source).is_dir():
            shutil.copytree(explored / source, folder / EXPLORATION / PICTURES, dirs_exist_ok=True)


def _pictures(
    layout: Layout, task: str, kinds: Sequence[str], shown: Sequence[Evaluation], count: int, folder: Path
) -> None:
    """PNG files ``<image id>/{<kind>,<row>}.png`` of the first test images; ``kinds`` are hr and lr."""
    packs = {kind: Pack(layout.packs(task) / f"test_{kind}") for kind in kinds}
    packs |= {evaluation.row.name: Pack(layout.result(evaluation.name) / "sr") for evaluation in shown}
    for image_id in packs["lr"].ids[:count]:
        for name, pack in packs.items():
            if image_id in pack.ids:
                path = folder / image_id / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.array(pack.by_id(image_id))).save(path, optimize=True)
