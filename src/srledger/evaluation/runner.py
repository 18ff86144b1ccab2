"""The evaluate stage: restore every test image with every seed, measure it, keep every number."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from srledger.config import Evaluation, Params
from srledger.errors import SrledgerError
from srledger.evaluation.complexity import count_macs
from srledger.evaluation.config import EvaluationConfig
from srledger.evaluation.measure import Panel, metric_info
from srledger.evaluation.restore import batches_of_one_size, load_method, restore_unclamped, to_8_bits
from srledger.evaluation.rows import write_rows
from srledger.io import read_json, sha256_json, write_json
from srledger.layout import Layout, fresh_folder
from srledger.packs import PackWriter
from srledger.progress import Progress
from srledger.provenance import code_sha256, data_sha256, params_sha256, weights_sha256
from srledger.training.batches import Examples
from srledger.training.determinism import prepare_torch

RECORD = "result.json"


def evaluate(params: Params, evaluation: Evaluation, layout: Layout, folder: Path) -> dict[str, Any]:
    """Measure a row on a task; writes ``rows.parquet``, ``result.json`` and the pack ``sr`` into ``folder``.

    What was measured before with the same code, settings, images and weights is taken as it was found.

    ``sr`` holds the restored images of the first seed that pictures are made from. A metric that can't be had
    leaves its reason in ``result.json`` in place of numbers; on a task without HR images every paired one does.
    """
    settings, task, row = params.evaluation, evaluation.task, evaluation.row
    prepare_torch(settings.threads, settings.device)
    run = read_json(layout.run(row.trained.name) / "run.json")
    test = Examples(layout.packs(task.name), layout.prior(evaluation.prior.name) / task.name, "test")
    if not len(test):
        raise SrledgerError(
            "a task has no test images", where=layout.packs(task.name), mend="give its dataset a test split"
        )
    ids = test.ids[: settings.max_images]
    landmarks = _landmarks(layout.packs(task.name), ids)
    names = params.metrics_of(task)
    panel = Panel(names, params.block.weights, layout, reference=task.has_reference)
    hashes = {
        "data_sha256": data_sha256(layout, evaluation),
        "code_sha256": code_sha256(layout.root, params, evaluation, run["code_sha256"]),
        "params_sha256": params_sha256(params, evaluation),
        "weights_sha256": weights_sha256(run["weights_sha256"]),
    }
    kept = layout.result_kept(sha256_json([evaluation.name, hashes, panel.networks, panel.unavailable]))
    if kept.exists():
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        return read_json(folder / RECORD)
    measured = {}
    started_s = time.monotonic()
    with (
        PackWriter(folder / "sr", np.uint8) as saved,
        Progress(f"evaluate {evaluation.name}", len(ids) * len(run["seeds"])) as progress,
    ):
        for seed in run["seeds"]:
            method = load_method(evaluation, layout, seed).to(settings.device)
            measured[seed] = panel.start_seed()
            for positions in batches_of_one_size(test, len(ids), settings.batch_size):
                unclamped, hr = restore_unclamped(method, test, positions, row.trained.name, seed, settings)
                sr, points = to_8_bits(unclamped), [landmarks[k] for k in positions]
                panel.take(sr, hr, measured[seed], unclamped=unclamped, landmarks=points)
                for k, image in zip(positions, sr, strict=True):
                    if seed == run["seeds"][0] and k < settings.saved_images:
                        saved.add(ids[k], image.permute(1, 2, 0).numpy())
                progress.advance(progress.done + len(positions))
            panel.finish(measured[seed])
    seconds = time.monotonic() - started_s
    image_metrics = [name for name in names if name in panel.metrics and panel.metrics[name][1].of == "image"]
    columns = {seed: {name: values.images[name] for name in image_metrics} for seed, values in measured.items()}
    write_rows(folder / "rows.parquet", ids, columns)
    sets = {
        name: {str(seed): vars(values.sets[name]) for seed, values in measured.items()}
        for name in names
        if name in panel.metrics and panel.metrics[name][1].of == "set"
    }
    record = {
        "row": row.name,
        "task": task.name,
        "method": row.method,
        "prior": row.prior.name,
        "trained_on": row.task.name if run["trained"] else None,
        "teacher": row.teacher.name if row.teacher else None,
        "weights_of": row.weights_of.name if row.weights_of else None,
        "config": row.config.model_dump(mode="json"),
        "training": row.training.model_dump(mode="json") if run["trained"] else None,
        "seeds": run["seeds"],
        "n_test": len(ids),
        "parameters": run["parameters"],
        "macs": count_macs(method, test, settings),
        "image_metrics": image_metrics,
        "set_metrics": sets,
        "unavailable": {name: panel.unavailable[name] for name in names if name in panel.unavailable},
        "failed": None,
        "metric_info": {name: metric_info(name) for name in names},
        **hashes,
    }
    write_json(folder / RECORD, record)
    with fresh_folder(kept) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
    _note_machine(layout, evaluation, seconds, len(ids) * len(run["seeds"]), settings)
    return record


def _landmarks(packs: Path, ids: Sequence[str]) -> list[np.ndarray | None]:
    """The landmarks of images of a task, float64 ``5 x 2`` each; None of one that has none."""
    of_id = {image["id"]: image["landmarks"] for image in read_json(packs / "images.json")}
    return [None if of_id[image_id] is None else np.array(of_id[image_id], np.float64) for image_id in ids]


def _note_machine(
    layout: Layout, evaluation: Evaluation, seconds: float, images: int, settings: EvaluationConfig
) -> None:
    values = {
        "row": evaluation.name,
        "stage": "evaluate",
        "seed": None,
        "seconds": round(seconds, 2),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "images_per_s": round(images / seconds, 2),
        "threads": settings.threads,
        "device": settings.device,
    }
    write_json(layout.machine() / f"{evaluation.name}.evaluate.json", values)
