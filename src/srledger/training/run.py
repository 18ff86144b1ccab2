"""The train and distill stages: all seeds of one row, finished weights and curves into ``runs/``."""

from __future__ import annotations

import copy
import csv
import resource
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from srledger.errors import SrledgerError
from srledger.io import atomic_open, canonical_json, read_json, sha256_json, write_json
from srledger.layout import Layout
from srledger.methods import Method
from srledger.plugins import plugin_class, plugin_config
from srledger.seeds import seed_for
from srledger.training.batches import Examples
from srledger.training.checkpoint import load_weights, save_tensors
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch
from srledger.training.loop import Curve, Job, Trained, train_seed

if TYPE_CHECKING:
    from srledger.encoders import Encoder

Resolved = Mapping[str, Any]


def build_method(resolved: Resolved, *, seed: int | None = None, encoder: Encoder | None = None) -> Method:
    """The untrained method of a resolved row; ``seed`` names its initial weights.

    ``encoder`` is what a row builds on that names one; without it the method holds one of the same architecture.
    """
    name = resolved["method"]
    config = plugin_config("methods", name).model_validate_json(canonical_json(resolved["config"]))
    if encoder is None and "encoder" in resolved:
        from srledger.pipeline_encoders import build_encoder  # late: encoders are trained by what stands here

        encoder = build_encoder(resolved["encoder"])
    built_on = () if encoder is None else (encoder,)
    if seed is not None:
        torch.manual_seed(seed_for("initial_weights", seed))
    try:
        return plugin_class("methods", name)(config, resolved["scale_factor"], *built_on)
    except ValueError as error:
        raise SrledgerError("a method can't be built", where=f"params.yaml, method {name}", found=error) from error


def load_trained(run_folder: Path, seed: int, scale_factor: int | None = None) -> Method:
    """The trained method of one seed of a finished run, ready to restore: its encoder's weights are in the run too.

    ``scale_factor`` is for methods of any scale factor, which may be asked for another than their row's.
    """
    resolved = read_json(run_folder / "run.json")["resolved"]
    method = build_method({**resolved, "scale_factor": scale_factor or resolved["scale_factor"]})
    weights = run_folder / f"seed{seed}" / "weights.safetensors"
    if weights.exists():
        load_weights(method, weights)
    return method.eval().requires_grad_(False)


def train_row(row: str, resolved: Resolved, layout: Layout, folder: Path, code_sha256: str) -> dict[str, Any]:
    """Train every seed of a row (or take what is finished) and write ``run.json`` and ``seed<k>/`` into ``folder``.

    Args:
        row: the row's name.
        resolved: what ``Row.resolved`` gave.
        layout: where packs, priors and scratch lie.
        folder: takes the finished run.
        code_sha256: of the code that trains; part of the fingerprint.
    """
    config = TrainingConfig.model_validate_json(canonical_json(resolved["training"]))
    prepare_torch(config.threads, config.device)
    method_class = plugin_class("methods", resolved["method"])
    record: dict[str, Any] = {
        "row": row,
        "resolved": resolved,
        "code_sha256": code_sha256,
        "trained": method_class.trainable,
    }
    encoder, encoder_sha256 = _encoder_of(resolved, layout)
    if encoder is not None:
        record["encoder_sha256"] = encoder_sha256
    if method_class.trainable:
        record["seeds"] = list(config.seeds)
        record["weights_sha256"] = _train_seeds(
            row, resolved, config, layout, folder, code_sha256, encoder, encoder_sha256
        )  # fmt: skip
    else:
        record["seeds"] = [0]
        record["weights_sha256"] = _copy_published(resolved, folder)
    method = build_method(resolved)
    record["parameters"] = sum(value.numel() for value in method.parameters())
    write_json(folder / "run.json", record)
    return record


def _encoder_of(resolved: Resolved, layout: Layout) -> tuple[Encoder | None, str]:
    """The encoder that a row builds on, and the hash of its weights; (None, "") for a row that builds on none.

    Raises SrledgerError when it was not made, or has changed since.
    """
    if "encoder" not in resolved:
        return None, ""
    from srledger.pipeline_encoders import RECORD, load_encoder

    folder = layout.encoder(resolved["encoder_name"])
    return load_encoder(folder), read_json(folder / RECORD)["weights_sha256"]


def _train_seeds(
    row: str,
    resolved: Resolved,
    config: TrainingConfig,
    layout: Layout,
    folder: Path,
    code_sha256: str,
    encoder: Encoder | None,
    encoder_sha256: str,
) -> dict[str, str]:
    task_folder, prior_folder = layout.packs(resolved["task"]), layout.prior(resolved["prior_name"]) / resolved["task"]
    train, val = (Examples(task_folder, prior_folder, split) for split in ("train", "val"))
    if not len(train) or not len(val):
        raise SrledgerError(
            "a task has no images to train on", where=task_folder, mend="give its dataset train and val images"
        )
    data = [pack.sha256 for examples in (train, val) for pack in examples.packs]
    # What decides one seed: not the other seeds, and of a teacher its weights alone.
    settings = {**resolved, "training": {**resolved["training"], "seeds": None}, "teacher": None}
    hashes = {}
    for seed in config.seeds:
        teacher, teacher_sha256 = None, ""
        if resolved["teacher"] is not None:
            teacher_run = layout.run(resolved["teacher_name"])
            teacher = load_trained(teacher_run, seed)
            teacher_sha256 = read_json(teacher_run / "run.json")["weights_sha256"][str(seed)]
        decides = [code_sha256, settings, seed, data, teacher_sha256, *([encoder_sha256] if encoder else [])]
        method = build_method(resolved, seed=seed, encoder=copy.deepcopy(encoder))
        if teacher is not None:
            method.start_from(teacher)
        job = Job(row, method, teacher, config, train, val)
        trained = train_in_scratch(job, seed, layout, sha256_json(decides))
        target = folder / f"seed{seed}"
        target.mkdir()
        shutil.copyfile(trained.weights, target / "weights.safetensors")
        write_curves(target / "curves.csv", trained.curves)
        hashes[str(seed)] = trained.weights_sha256
    return hashes


def train_in_scratch(job: Job, seed: int, layout: Layout, fingerprint: str) -> Trained:
    """Train one seed, alone in its fingerprint's place in scratch, and note what it cost; a finished one is taken."""
    scratch = layout.scratch(job.row, seed, fingerprint)
    scratch.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    with _only_one(scratch):
        was_finished = (scratch / "finished.json").exists()
        trained = train_seed(job, seed, scratch)
    if not was_finished:
        _note_machine(layout, job.row, seed, job.config, time.monotonic() - started_s)
    return trained


def _copy_published(resolved: Resolved, folder: Path) -> dict[str, str]:
    """Published weights enter a run as safetensors, so that evaluation reads every run alike.

    Raises SrledgerError when they are not at hand.
    """
    method = build_method(resolved)
    files = {}
    if method.weights:
        from srledger.weights import resolve

        for name in method.weights:
            found = resolve(name)
            if found.path is None:
                raise SrledgerError(
                    "published weights are not at hand", where=f"method {resolved['method']}", found=found.reason,
                    mend="make weights, or point SRLEDGER_WEIGHTS to a folder that holds them",
                )  # fmt: skip
            files[name] = found.path
    method.load_published(files)
    tensors = method.state_dict()
    if not tensors:
        return {"0": ""}
    (folder / "seed0").mkdir()
    return {"0": save_tensors(folder / "seed0" / "weights.safetensors", tensors)}


def write_curves(path: Path, curves: list[Curve]) -> None:
    """Curves as CSV: step, name, value (shortest text that gives the same float)."""
    with atomic_open(path, "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["step", "name", "value"])
        table.writerows((step, name, repr(value)) for step, name, value in curves)


def _only_one(scratch: Path) -> Any:
    """A lock that the kernel frees when its holder dies: two trainers never share a scratch folder."""
    from filelock import FileLock, Timeout

    lock = FileLock(scratch / "lock", timeout=0)
    try:
        return lock.acquire()
    except Timeout as error:
        raise SrledgerError(
            "another process is training this seed",
            where=scratch,
            mend="wait for it, or stop it and type the same command again",
        ) from error


def _note_machine(layout: Layout, row: str, seed: int, config: TrainingConfig, seconds: float) -> None:
    """Seconds and memory of a training: they belong to this machine, so they stay out of every DVC output."""
    values = {
        "row": row,
        "stage": "train",
        "seed": seed,
        "seconds": round(seconds, 2),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "images_per_s": round(config.steps * config.batch_size / seconds, 2),
        "threads": config.threads,
        "device": config.device,
    }
    write_json(layout.machine() / f"{row}.train.seed{seed}.json", values)
