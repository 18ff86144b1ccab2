"""MLflow shows what lies on disk: every row and seed is a run, rebuilt from ``runs/`` and ``results/`` at any time.

The ledger is on disk; MLflow may be down, locked or deleted, and ``srledger mlflow-sync`` fills it again. A run knows
its data sets (name, digest, where they come from), and the registry of models is filled from the report. A run that
was followed while it trained (``live``) is filled further, not added again; what is filled twice stays the same.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from srledger.config import Params
from srledger.datasets import dataset_record
from srledger.errors import SrledgerError
from srledger.io import canonical_json, read_json, sha256_json
from srledger.layout import ABLATIONS, Layout, is_ablation
from srledger.provenance import weights_sha256
from srledger.settings import Evaluation, Row, Task
from srledger.tracking.client import (
    KEY,
    PARENT,
    REVISION,
    TRAINED,
    TRAINING,
    WEIGHTS_RUN,
    connect,
    experiment_of,
    log_metrics,
)
from srledger.tracking.live import CURVE, SYSTEM, Live
from srledger.tracking.owner import this_process, to_tags
from srledger.tracking.registry import MODEL, register
from srledger.tracking.revision import revision
from srledger.tracking.trainings import training_of

DIGEST_DIGITS = 32  # MLflow takes 36


def mirror(params: Params, layout: Layout) -> str:
    """``sync``, but a tracker that can't be reached is only said, never an error."""
    try:
        return f"{sync(params, layout)} runs new in MLflow"
    except SrledgerError as error:
        return f"{error.problem}; the numbers on disk are whole, `srledger mlflow-sync` fills the gap"


def sync_all(params: Params, root: Path) -> int:
    """``sync`` for the rows of a scale and for those of its grid."""
    added = sync(params, Layout(params.scale, root))
    if (root / "runs" / (params.scale + ABLATIONS)).exists():
        added += sync(params.ablations, Layout(params.scale, root, ablations=True))
    return added


def sync(params: Params, layout: Layout) -> int:
    """Bring MLflow up to date with ``runs/`` and ``results/``; returns how many runs it had to fill.

    Raises:
        SrledgerError: the tracking server or database can't be used.
    """
    with connect(layout.root) as client:
        experiment_id = experiment_of(client, params.scale, layout.root)
        parents = Live(layout.root, params.scale).look(client, experiment_id)
        known = _known(client.search_runs([experiment_id], max_results=10000))
        records, filled = [], 0
        made: dict[tuple[str, int], str] = {}  # (row, seed) -> its run
        for record in _records(params, layout):
            run = next((known[word] for word in record["words"] if word in known), None)
            if run is None or not _is_whole(run, record):
                run = _fill(client, experiment_id, run, record, layout)
                filled += 1
            made[record["row"], record["seed"]] = run.info.run_id
            weights_run = made.get((record["run"].get("weights_of", ""), record["seed"]))
            for tag, value in {PARENT: parents.get(record["row"]), WEIGHTS_RUN: weights_run}.items():
                if value is not None and run.data.tags.get(tag) != value:
                    client.set_tag(run.info.run_id, tag, value)
            records.append({**record, "run_id": run.info.run_id})
        if not layout.ablations:
            register(client, records, layout)
        return filled


def _known(runs: list[Any]) -> dict[tuple[str, str], Any]:
    """Runs by what they are known by. One that has its numbers is known by its key alone: others would be new."""
    known = {}
    for run in runs:
        tags = run.data.tags
        for tag in (KEY,) if KEY in tags else (TRAINED, TRAINING):
            if tag in tags:
                known[tag, tags[tag]] = run
    return known


def _is_whole(run: Any, record: Mapping[str, Any]) -> bool:
    """Whether a run holds all that a record does; a fill that was killed is gone through again."""
    last = KEY if record["results"] else TRAINED
    return run.info.status == "FINISHED" and run.data.tags.get(last) == dict(record["words"])[last]


def _records(params: Params, layout: Layout) -> Iterator[dict[str, Any]]:
    """One record per active row and seed: what its MLflow run shall hold, and the tags it may be known by.

    A row that takes another's weights has a record once it was measured, after that row's.
    """
    for row in params.rows.values():
        path = layout.run(row.trained.name) / "run.json"
        if not row.active or not path.exists():
            continue
        run = read_json(path)
        if row.weights_of:
            run |= {"row": row.name, "resolved": row.resolved(), "weights_of": row.weights_of.name}
        results = {}
        for evaluation in params.evaluations.values():
            path = layout.result(evaluation.name) / "result.json"
            if evaluation.active and _is_of(evaluation, row) and path.exists():
                result = read_json(path)
                if result["weights_sha256"] == weights_sha256(run["weights_sha256"]):  # not of an earlier training
                    results[evaluation.name] = result
        for seed in run["seeds"] if results or not row.weights_of else ():
            facts = {"row": row.name, "seed": seed, "run": run, "results": results}
            tasks = ({"training": row.task} if run["trained"] else {}) | {
                f"testing on {result['task']}": params.tasks[result["task"]] for result in results.values()
            }
            training = training_of(layout, row.name, seed, run["weights_sha256"][str(seed)])
            words = [
                (KEY, sha256_json([params.scale, facts])),
                (TRAINED, sha256_json([params.scale, row.name, seed, run])),
                *([(TRAINING, training.id)] if training else []),
            ]
            yield {**facts, "words": words, "training": training, "folder": layout.run(row.name), "tasks": tasks}


def _is_of(evaluation: Evaluation, row: Row) -> bool:
    """Whether a run of ``row`` holds an evaluation: its own or a transfer's, with its settings or others.

    Of the grid, a row that takes another's weights has a run of its own.
    """
    of_grid = evaluation.row.kind == "ablation"
    return (evaluation.row.name if of_grid else evaluation.row.trained.name) == row.name


def _fill(client: Any, experiment_id: str, run: Any | None, record: Mapping[str, Any], layout: Layout) -> Any:
    """Put all that a record holds into ``run``, or into a new one; the tag that says so comes last."""
    from mlflow.entities import Param

    words, facts, row, seed = dict(record["words"]), record["run"], record["row"], record["seed"]
    tags = {
        **{tag: words[tag] for tag in (TRAINING,) if tag in words},
        "srledger.row": row,
        "srledger.seed": str(seed),
        "srledger.weights_sha256": facts["weights_sha256"][str(seed)],
        "srledger.code_sha256": facts["code_sha256"],
        **({"srledger.weights_of": facts["weights_of"]} if "weights_of" in facts else {}),
    }
    if run is None:
        tags |= {REVISION: revision(layout.root), TRAINED: words[TRAINED], **to_tags(this_process())}
        run = client.create_run(experiment_id, run_name=f"{row} seed {seed}", tags=tags)
    else:
        for tag, value in tags.items():
            client.set_tag(run.info.run_id, tag, value)
    run_id, started_ms = run.info.run_id, run.info.start_time
    client.log_inputs(run_id, datasets=list(_datasets(record["tasks"], layout)))
    params = [Param(name, str(value)[:500]) for name, value in _flat(facts["resolved"]) if value is not None]
    for k in range(0, len(params), 100):
        client.log_batch(run_id, params=params[k : k + 100])
    metrics = [(name, value, step, started_ms) for name, value, step in _curves(record["folder"], seed)]
    metrics += [(name, value, 0, started_ms) for name, value in _measured(record["results"], seed, layout)]
    log_metrics(client, run_id, metrics)
    if record["training"] is not None:
        samples = record["training"].samples()
        log_metrics(client, run_id, ((SYSTEM + name, *point) for name, *point in samples))
    for name, result in record["results"].items():
        grid = _sample_grid(layout, name, result["task"])
        if grid is not None:
            client.log_image(run_id, grid, artifact_file=f"samples_{_place(name, result)}.png")
    weights = record["folder"] / f"seed{seed}"
    if weights.is_dir():
        client.log_artifacts(run_id, str(weights), artifact_path=MODEL)
    for tag in (TRAINED, KEY) if record["results"] else (TRAINED,):
        client.set_tag(run_id, tag, words[tag])
    if run.info.status != "FINISHED":  # one that was followed keeps the time when its training ended
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
                yield f"{CURVE}{line['name']}", float(line["value"]), int(line["step"])


def _measured(results: dict[str, dict[str, Any]], seed: int, layout: Layout) -> Iterator[tuple[str, float]]:
    """Means over images of every metric of one seed, as ``<task>/<metric>``; of other settings, ``<name>/<metric>``."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for name, result in results.items():
        table = pq.read_table(layout.result(name) / "rows.parquet")
        table = table.filter(pc.equal(table["seed"], seed))
        place = _place(name, result)
        for metric in result["image_metrics"]:
            yield f"{place}/{metric}", pc.mean(table[metric]).as_py()
        for metric, by_seed in result["set_metrics"].items():
            yield f"{place}/{metric}", by_seed[str(seed)]["value"]


def _place(name: str, result: Mapping[str, Any]) -> str:
    """What a run's numbers of one evaluation stand under: its task, or its name where it has settings of its own."""
    own = result["weights_of"] and not is_ablation(name)
    return name if own else str(result["task"])


def _sample_grid(layout: Layout, name: str, task: str) -> Any:
    """LR (enlarged), SR and HR (if any) of the first pictures of one size, side by side; None when there are none."""
    import numpy as np

    from srledger.packs import Pack

    sr, packs = Pack(layout.result(name) / "sr"), layout.packs(task)
    hr, lr = Pack(packs / "test_hr"), Pack(packs / "test_lr")
    reference = read_json(packs / "task.json").get("reference", True)
    shown = [image_id for image_id in sr.ids[:4] if sr.by_id(image_id).shape == sr[0].shape]
    if not shown:
        return None
    lines = []
    for image_id in shown:
        large, small = hr.by_id(image_id), lr.by_id(image_id)
        factor = large.shape[0] // small.shape[0]
        beside = [small.repeat(factor, 0).repeat(factor, 1), sr.by_id(image_id), *([large] if reference else [])]
        lines.append(np.concatenate(beside, axis=1))
    return np.concatenate(lines, axis=0)
