"""Which code, data and parameters a number came from."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from srledger.config import Params
from srledger.imports import imported_files
from srledger.io import read_json, sha256_file, sha256_files, sha256_json
from srledger.layout import Layout
from srledger.plugins import plugin_class
from srledger.settings import Evaluation, PriorSpec, Row, Task
from srledger.yamlmap import YamlFile

MAIN, GRID = "dvc.yaml", "ablations/dvc.yaml"  # the stage graphs
# What a stage rests on only where a plug-in of its own imports it: a row's method, its metrics, or an encoder. DVC
# watches all of it and may start a stage again; a finished seed or result of the same fingerprint is then taken as it
# is.
SHARED_CODE = (
    "src/srledger/diffusion",
    "src/srledger/encoders",
    "src/srledger/metrics",
    "src/srledger/facial_parts.py",
    "src/srledger/identity_examples.py",
    "src/srledger/landmark_examples.py",
)


def stage_code(
    root: Path, stage: str, item: Mapping[str, str], graph: str = MAIN, metrics: Iterable[str] = ()
) -> list[Path]:
    """The code files that a stage of a dvc.yaml depends on, for one item of its ``foreach``.

    dvc.yaml is the one list of them: what DVC watches is what the ledger hashes, ``SHARED_CODE`` in part.

    Args:
        metrics: plug-ins that the stage measures with.
    """
    package = root / "src/srledger"
    plugins = [package / f"{kind}s/{item[kind]}.py" for kind in ("method", "encoder") if kind in item]
    plugins += [package / f"metrics/{metric}.py" for metric in metrics]
    imported = {*plugins, *imported_files(plugins, package)}
    definition = _stages(root / graph, sha256_file(root / graph))[stage]
    files: list[Path] = []
    for dependency in definition.get("do", definition)["deps"]:
        path = root / re.sub(r"\$\{(?:item\.)?(\w+)\}", lambda match: item.get(match[1], match[0]), dependency)
        if not dependency.startswith(("src/", "stages/")):
            continue
        inside = [path] if path.is_file() else [file for file in path.rglob("*") if _is_code(file)]
        if dependency.startswith(SHARED_CODE):
            inside = [file for file in inside if file in imported]
        files += inside
    return files


@functools.lru_cache(maxsize=8)
def _stages(path: Path, _version: str) -> Mapping[str, Any]:
    """The stages of a dvc.yaml, read once for all rows; ``_version`` is its hash."""
    return YamlFile.read(path).values["stages"]


def _is_code(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


def stage_code_sha256(root: Path, stage: str, item: Mapping[str, str]) -> str:
    """Hash of the code that a stage of dvc.yaml depends on."""
    return sha256_files(root, stage_code(root, stage, item))


def train_code_sha256(root: Path, row: Row) -> str:
    """Hash of the code that makes a row's weights: of its train (or distill) stage."""
    stage = "distill" if row.kind == "student" else "train"
    files = stage_code(root, stage, {"key": row.name, "method": row.method}, _graph(row))
    # DVC knows of their code by the record that the encoder's stage leaves.
    for encoder in (row.encoder, row.encoder and row.encoder.judge):
        if encoder is not None:
            item = {"key": encoder.name, "encoder": encoder.plugin}
            files += stage_code(root, "train_encoder", item)
    return sha256_files(root, files)


def code_sha256(root: Path, params: Params, evaluation: Evaluation, trained_with: str | None = None) -> str:
    """Hash of the code that makes a row's cells: of what makes its weights, and of its evaluate stage.

    Args:
        trained_with: ``train_code_sha256`` as it was when the weights were made; by default this tree's. So weights
            that are older than the tree are not said to be made by it.
    """
    row = evaluation.row
    if row.kind == "ablation":
        evaluate = "evaluate_sampled" if row.weights_of else "evaluate"
    elif evaluation.name != row.name or row.weights_of:
        evaluate = "evaluate_transfers"
    else:
        evaluate = "evaluate_students" if row.kind == "student" else "evaluate"
    from srledger.metrics import MetricName  # late: it brings torch

    metrics = {MetricName.parse(name).plugin for name in params.metrics_of(evaluation.task)}
    measure = stage_code(root, evaluate, {"key": evaluation.name, "method": row.method}, _graph(row), metrics)
    return sha256_json([trained_with or train_code_sha256(root, row.trained), sha256_files(root, measure)])


def _graph(row: Row) -> str:
    return GRID if row.kind == "ablation" else MAIN


def params_sha256(params: Params, evaluation: Evaluation) -> str:
    """Hash of everything in params.yaml that decides a row's cells, resolved."""
    values: dict[str, Any] = {
        "row": evaluation.row.resolved(),
        "trained_on": _resolved_task(evaluation.row.task),
        "task": _resolved_task(evaluation.task),
        "prior": evaluation.prior.resolved(),
        # A setting that is null is as if it were not there: rows measured before it existed keep their hash.
        "evaluation": params.evaluation.model_dump(mode="json", exclude_none=True),
        "metrics": params.metrics_of(evaluation.task),
        "weights": sorted(set(params.block.weights) - _weights_of_other_tasks(params, evaluation.task)),
    }
    if evaluation.row.weights_of:
        values["weights_of"] = evaluation.row.weights_of.resolved()
    return sha256_json(values)


def _weights_of_other_tasks(params: Params, task: Task) -> set[str]:
    """Published weights that metrics of other tasks ask for, and none of this one's."""
    from srledger.metrics import MetricName  # late: it brings torch

    def asked(names: Iterable[str]) -> set[str]:
        plugins = (plugin_class("metrics", MetricName.parse(name).plugin) for name in names)
        return {weights for plugin in plugins for weights in plugin.weights}

    own = params.metrics_of(task)
    return asked({name for other in params.tasks.values() for name in params.metrics_of(other)} - {*own}) - asked(own)


def _resolved_task(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "degradation": task.degradation,
        "config": task.config.model_dump(mode="json"),
        "scale_factor": task.scale_factor,
        "hr_size_px": task.hr_size_px,
        "dataset": task.dataset.name,
        **task.set_apart(),
    }


def data_sha256(layout: Layout, evaluation: Evaluation) -> str:
    """Hash of every image and map that a row's cells rest on: those it learned from and those it was measured on.

    Of a row that builds on an encoder, the encoder's weights too: as its run has recorded them or, where a run of
    another machine is asked about, as they were made here.
    """
    indices = []
    for task, prior in ((evaluation.row.task, evaluation.row.prior), (evaluation.task, evaluation.prior)):
        indices += sorted(layout.packs(task.name).glob("*.json"))
        indices += sorted((layout.prior(prior.name) / task.name).glob("*.json"))
    rested_on = [sha256_file(path) for path in indices]
    if (built_on := built_on_sha256(layout, evaluation.row)) is not None:
        rested_on.append(built_on)
    return sha256_json(rested_on)


def built_on_sha256(layout: Layout, row: Row) -> str | None:
    """Hash of the weights of the encoder that a row builds on; None where there is none, or neither it nor the run."""
    run = layout.run(row.name) / "run.json"
    if row.encoder is None or row.weights_of is not None:
        return None
    if run.exists():
        return str(read_json(run)["encoder_sha256"])
    record = layout.encoder(row.encoder.name) / "encoder.json"
    return str(read_json(record)["weights_sha256"]) if record.exists() else None


def packs_sha256(layout: Layout, task: str) -> str:
    """Hash of every image of a task: the part of ``data_sha256`` that no network has a share in."""
    return sha256_json([sha256_file(path) for path in sorted(layout.packs(task).glob("*.json"))])


def made_by_network(prior: PriorSpec) -> bool:
    """Whether a network had a share in a prior's maps: their last bits then depend on the type of processor."""
    return prior.encoder is not None or (prior.of is not None and made_by_network(prior.of))


def maps_code_sha256(root: Path, prior: PriorSpec) -> str:
    """Hash of the code behind a prior's maps: its plug-in and its encoder's, and what of their folders these import."""
    package = root / "src/srledger"
    files: set[Path] = set()
    step: PriorSpec | None = prior
    while step is not None:
        files.add(package / "priors" / f"{step.plugin}.py")
        if step.encoder is not None:
            files.add(package / "encoders" / f"{step.encoder.plugin}.py")
        step = step.of
    imported = imported_files(files, package)
    return sha256_files(root, files | {path for path in imported if path.parent.name in ("priors", "encoders")})


def weights_sha256(of_seeds: Mapping[str, str]) -> str:
    """One hash for the weights of all seeds; empty for a row without weights."""
    return sha256_json(dict(of_seeds)) if any(of_seeds.values()) else ""
