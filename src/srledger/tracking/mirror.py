"""MLflow shows what lies on disk: every row and seed is a run, rebuilt from ``runs/`` and ``results/`` at any time.

The ledger is on disk; MLflow may be down, locked or deleted, and ``srledger mlflow-sync`` fills it again. A run knows
its data sets (name, digest, where they come from), and the registry of models is filled from the report.
"""

from __future__ import annotations

import csv
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from srledger.config import Params
from srledger.datasets import dataset_record
from srledger.errors import SrledgerError
from srledger.io import canonical_json, read_json, sha256_json
from srledger.layout import Layout
from srledger.settings import Task
from srledger.tracking.registry import MODEL, register

KEY_TAG = "srledger.key"
DIGEST_DIGITS = 32  # MLflow takes 36
HOLDS = 1000  # metrics that a request to MLflow may hold


def mirror(params: Params, layout: Layout) -> str:
    """``sync``, but a tracker that can't be reached is only said, never an error."""
    try:
        return f"{sync(params, layout)} runs new in MLflow"
    except SrledgerError as error:
        return f"{error.problem}; the numbers on disk are whole, `srledger mlflow-sync` fills the gap"


def sync(params: Params, layout: Layout) -> int:
    """Bring MLflow up to date with ``runs/`` and ``results/``; returns how many runs it had to add.

    Raises:
        SrledgerError: the tracking server or database can't be used.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{(layout.root / 'mlflow.db').resolve()}")
    try:
        client = MlflowClient(uri)
        name = f"srledger/{params.scale}"
        experiment = client.get_experiment_by_name(name)
        artifacts = (
            (layout.root / "mlartifacts" / params.scale).resolve().as_uri() if uri.startswith("sqlite") else None
        )
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name, artifacts)
        records: list[dict[str, Any]] = []
        present = {run.data.tags.get(KEY_TAG): run for run in client.search_runs([experiment_id], max_results=10000)}
        added = 0
        for record in _records(params, layout):
            run = present.get(record["key"])
            if run is not None and run.info.status != "FINISHED":  # its sync was killed: what it holds is a part
                client.delete_run(run.info.run_id)
                run = None
            if run is None:
                present[record["key"]] = _add(client, experiment_id, record, layout)
                added += 1
            record["run_id"] = present[record["key"]].info.run_id
            records.append(record)
        if not layout.ablations:
            register(client, records, layout)
        return added
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise SrledgerError("MLflow can't be reached", where=uri, found=str(error).splitlines()[0][:200]) from error


def _records(params: Params, layout: Layout) -> Iterator[dict[str, Any]]:
    """One record per active row and seed: what its MLflow run shall hold."""
    for row in params.rows.values():
        folder = layout.run(row.name)
        if not row.active or not (folder / "run.json").exists():
            continue
        run = read_json(folder / "run.json")
        results = {
            evaluation.name: read_json(layout.result(evaluation.name) / "result.json")
            for evaluation in params.evaluations.values()
            if evaluation.active and evaluation.row is row and (layout.result(evaluation.name) / "result.json").exists()
        }
        for seed in run["seeds"]:
            facts = {"row": row.name, "seed": seed, "run": run, "results": results}
            tasks = ({"training": row.task} if run["trained"] else {}) | {
                f"testing on {result['task']}": params.tasks[result["task"]] for result in results.values()
            }
            yield {**facts, "key": sha256_json([params.scale, facts]), "folder": folder, "tasks": tasks}


def _add(client: Any, experiment_id: str, record: dict[str, Any], layout: Layout) -> Any:
    from mlflow.entities import Metric, Param

    run, row, seed = record["run"], record["row"], record["seed"]
    tags = {
        KEY_TAG: record["key"],
        "srledger.row": row,
        "srledger.seed": str(seed),
        "srledger.weights_sha256": run["weights_sha256"][str(seed)],
        "srledger.code_sha256": run["code_sha256"],
        "srledger.revision": revision(layout.root),
    }
    created = client.create_run(experiment_id, run_name=f"{row} seed {seed}", tags=tags)
    run_id, started_ms = created.info.run_id, created.info.start_time
    client.log_inputs(run_id, datasets=list(_datasets(record["tasks"], layout)))
    params = [Param(name, str(value)[:500]) for name, value in _flat(run["resolved"]) if value is not None]
    for k in range(0, len(params), 100):
        client.log_batch(run_id, params=params[k : k + 100])
    metrics = [Metric(name, value, started_ms, step) for name, value, step in _curves(record["folder"], seed)]
    metrics += [Metric(name, value, started_ms, 0) for name, value in _measured(record["results"], seed, layout)]
    for k in range(0, len(metrics), HOLDS):
        client.log_batch(run_id, metrics=metrics[k : k + HOLDS])
    for name, result in record["results"].items():
        grid = _sample_grid(layout, name, result["task"])
        if grid is not None:
            client.log_image(run_id, grid, artifact_file=f"samples_{result['task']}.png")
    weights = record["folder"] / f"seed{seed}"
    if weights.is_dir():
        client.log_artifacts(run_id, str(weights), artifact_path=MODEL)
    client.set_terminated(run_id, "FINISHED")
    return client.get_run(run_id)


def _datasets(tasks: Mapping[str, Task], layout: Layout) -> Iterator[Any]:
    """MLflow's word for what a run learned from and was measured on: name, digest, source."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    contexts: dict[str, list[str]] = {}
    for context, task in tasks.items():
        contexts.setdefault(task.dataset.name, []).append(context)
    for name, uses in contexts.items():
        about = dataset_record(layout.raw(name))
        source = {name: about[name] for name in ("source", "licence", "redistributable")}
        yield DatasetInput(
            dataset=Dataset(
                name=name,
                digest=about["sha256"][:DIGEST_DIGITS],
                source_type="srledger",
                source=canonical_json(source),
                profile=canonical_json({"counts": about["counts"], "identities": about["identities"]}),
            ),
            tags=[InputTag("mlflow.data.context", ", ".join(uses)), InputTag("srledger.sha256", about["sha256"])],
        )


def revision(root: Path) -> str:
    """The commit that is checked out, with ``+dirty`` when tracked files differ from it; empty outside git."""

    def ask(*arguments: str) -> str:
        answer = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        return answer.stdout.strip()

    return ask("rev-parse", "HEAD") + ("+dirty" if ask("status", "--porcelain", "--untracked-files=no") else "")


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(values, dict):
        yield prefix, values
        return
    for key, value in values.items():
        yield from _flat(value, f"{prefix}.{key}" if prefix else key)


def _curves(folder: Path, seed: int) -> Iterator[tuple[str, float, int]]:
    path = folder / f"seed{seed}" / "curves.csv"
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                yield f"curve/{line['name']}", float(line["value"]), int(line["step"])


def _measured(results: dict[str, dict[str, Any]], seed: int, layout: Layout) -> Iterator[tuple[str, float]]:
    """Means over images of every metric of one seed, as ``<task>/<metric>``."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for name, result in results.items():
        table = pq.read_table(layout.result(name) / "rows.parquet")
        table = table.filter(pc.equal(table["seed"], seed))
        for metric in result["image_metrics"]:
            yield f"{result['task']}/{metric}", pc.mean(table[metric]).as_py()
        for metric, by_seed in result["set_metrics"].items():
            yield f"{result['task']}/{metric}", by_seed[str(seed)]["value"]


def _sample_grid(layout: Layout, name: str, task: str) -> Any:
    """LR (enlarged), SR and HR of the first pictures of one size, side by side; None when there are none."""
    import numpy as np

    from srledger.packs import Pack

    sr, packs = Pack(layout.result(name) / "sr"), layout.packs(task)
    hr, lr = Pack(packs / "test_hr"), Pack(packs / "test_lr")
    shown = [image_id for image_id in sr.ids[:4] if sr.by_id(image_id).shape == sr[0].shape]
    if not shown:
        return None
    lines = []
    for image_id in shown:
        large, small = hr.by_id(image_id), lr.by_id(image_id)
        factor = large.shape[0] // small.shape[0]
        lines.append(np.concatenate([small.repeat(factor, 0).repeat(factor, 1), sr.by_id(image_id), large], axis=1))
    return np.concatenate(lines, axis=0)
