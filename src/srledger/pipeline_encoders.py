"""The train_encoder stage, and the encoders that came of it: trained, as they were drawn, published, or rules."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sized
from pathlib import Path
from typing import Any

import torch

from srledger.encoders import Encoder
from srledger.errors import SrledgerError, errors_of
from srledger.identity_examples import IdentityExamples
from srledger.io import canonical_json, read_json, sha256_file, sha256_json, write_json
from srledger.landmark_examples import LandmarkExamples
from srledger.layout import INACTIVE, Layout, is_inactive
from srledger.plugins import plugin_class, plugin_config
from srledger.provenance import stage_code_sha256
from srledger.seeds import seed_for
from srledger.settings import EncoderSpec
from srledger.split_inputs import training_inputs
from srledger.training.batches import Examples
from srledger.training.checkpoint import load_weights, save_tensors
from srledger.training.determinism import prepare_torch
from srledger.training.loop import Job
from srledger.training.run import train_in_scratch, write_curves
from srledger.weights import file_hash, resolve, resolve_all

RECORD, WEIGHTS = "encoder.json", "weights.safetensors"


def write_encoder(spec: EncoderSpec, layout: Layout, folder: Path) -> dict[str, Any]:
    """Write ``encoder.json`` into ``folder``, and weights and curves where it has any of its own.

    Raises:
        SrledgerError: a task without training images, or without the landmarks or identities to learn from; what was
            learnt is of no use (``Encoder.check_learned``); see also ``train_seed``.
    """
    code_sha256 = stage_code_sha256(layout.root, "train_encoder", {"key": spec.name, "encoder": spec.plugin})
    record: dict[str, Any] = {"name": spec.name, "resolved": spec.resolved(), "code_sha256": code_sha256}
    if spec.weights == "published":
        found = resolve(spec.plugin)
        assert found.path is not None, "why_no_encoder has found it"
        plugin = plugin_class("encoders", spec.plugin)
        if plugin.bakes:
            plugin.bake(spec.config, resolve_all(plugin.weights), folder)
            record["baked_sha256"] = {name: sha256_file(folder / name) for name in plugin.bakes}
        encoder = build_encoder(record["resolved"], folder)
        record["weights_sha256"] = file_hash(found.path)
    elif spec.weights == "rule":
        encoder = build_encoder(record["resolved"])
        record["weights_sha256"] = ""
    else:
        torch.manual_seed(seed_for("initial_weights", spec.training.seeds[0]))
        encoder = build_encoder(record["resolved"])
        if spec.weights == "trained" and encoder.fits:
            _fit(encoder, spec, layout)
        elif spec.weights == "trained":
            encoder = _train(encoder, spec, layout, folder, code_sha256)
        if spec.weights == "trained":
            with errors_of(f"encoder {spec.name}"):
                encoder.check_learned()
        record["weights_sha256"] = save_tensors(folder / WEIGHTS, encoder.state_dict())
    record["parameters"] = sum(value.numel() for value in encoder.parameters())
    write_json(folder / RECORD, record)
    return record


def load_encoder(folder: Path) -> Encoder:
    """The frozen encoder that the train_encoder stage left in ``folder``; of a pair the first, with its judge.

    Raises:
        SrledgerError: it was not made at this scale, its weights changed since, are of another architecture, or are
            published and no longer at hand.
    """
    if is_inactive(folder) or not (folder / RECORD).exists():
        why = read_json(folder / INACTIVE)["why"] if is_inactive(folder) else "nothing"
        mend = f"dvc repro train_encoder@{folder.name}"
        raise SrledgerError("an encoder was not made", where=folder, found=why, mend=mend)
    record = read_json(folder / RECORD)
    if "pair" in record:
        return _load_pair(folder, record)
    resolved = record["resolved"]
    published = resolve(resolved["plugin"]) if resolved["weights"] == "published" else None
    if published is not None and published.path is None:
        raise SrledgerError("published weights are not at hand", where=folder, found=published.reason)
    if resolved["weights"] == "rule":
        found = ""
    else:
        found = file_hash(published.path) if published and published.path else sha256_file(folder / WEIGHTS)
    kept = {"": record["weights_sha256"], **record.get("baked_sha256", {})}
    for name, expected in kept.items():
        of_file = sha256_file(folder / name) if name else found
        if of_file != expected:
            raise SrledgerError(
                "an encoder's weights have changed since they were made", where=folder / name, found=of_file,
                expected=expected, mend=f"dvc repro --force train_encoder@{folder.name}",
            )  # fmt: skip
    return _load(folder, sha256_json(kept))


def _load_pair(folder: Path, record: Mapping[str, Any]) -> Encoder:
    encoder, judge = (load_encoder(folder.parent / record["pair"][part]) for part in ("encoder", "judge"))
    found = sha256_json(
        {part: read_json(folder.parent / name / RECORD)["weights_sha256"] for part, name in record["pair"].items()}
    )
    if found != record["weights_sha256"]:
        raise SrledgerError(
            "the encoders of a pair have changed since", where=folder, found=found, expected=record["weights_sha256"],
            mend=f"dvc repro join_encoders@{folder.name}",
        )  # fmt: skip
    return copy.deepcopy(encoder).judged_by(copy.deepcopy(judge))


@functools.lru_cache(maxsize=4)
def _load(folder: Path, weights_sha256: str) -> Encoder:
    """Loaded once in a process: priors and metrics of one stage share it."""
    resolved = read_json(folder / RECORD)["resolved"]
    with torch.random.fork_rng(devices=[]):  # the layers start at random before the weights are read
        encoder = build_encoder(resolved, folder)
    if resolved["weights"] not in ("published", "rule"):
        load_weights(encoder, folder / WEIGHTS)
    return encoder.eval().requires_grad_(False)


def build_encoder(resolved: Mapping[str, Any], folder: Path | None = None) -> Encoder:
    """The untrained encoder of what ``EncoderSpec.resolved`` gave; with its weights where these are published.

    ``folder`` holds the files that it bakes.
    """
    name = resolved["plugin"]
    config = plugin_config("encoders", name).model_validate_json(canonical_json(resolved["config"]))
    plugin, files = plugin_class("encoders", name), {}
    if resolved["weights"] == "published":
        files = resolve_all(plugin.weights)
        if folder is not None:
            files |= {baked: folder / baked for baked in plugin.bakes}
    encoder: Encoder = plugin(config, files)
    return encoder


def _train(encoder: Encoder, spec: EncoderSpec, layout: Layout, folder: Path, code_sha256: str) -> Encoder:
    config, seed = spec.training, spec.training.seeds[0]
    prepare_torch(config.threads, config.device)
    packs = layout.packs(spec.task.name)
    examples = _examples_of(encoder, packs)
    _check_any(examples, packs)
    if isinstance(examples, IdentityExamples):
        learner = encoder.identity_learner(spec.task.scale_factor, len(examples.identities))
    else:
        learner = encoder.learner(spec.task.scale_factor)
    job = Job(spec.name, learner, None, config, examples, None)
    data = [pack.sha256 for pack in examples.packs]
    if isinstance(examples, LandmarkExamples):
        data.append(examples.landmarks_sha256)
    if isinstance(examples, IdentityExamples):
        data.append(examples.identities_sha256)
    trained = train_in_scratch(job, seed, layout, sha256_json([code_sha256, spec.resolved(), data]))
    load_weights(learner, trained.weights)
    write_curves(folder / "curves.csv", trained.curves)
    return learner.learned


def _examples_of(encoder: Encoder, packs: Path) -> Examples:
    if encoder.learns_landmarks:
        return LandmarkExamples(packs, "train")
    if encoder.learns_identities:
        examples = IdentityExamples(packs, "train")
        if single := examples.single_images:
            print(f"{len(single)} of {len(examples.identities)} identities have one image: {', '.join(single[:5])}")
        return examples
    return Examples(packs, None, "train")


def _fit(encoder: Encoder, spec: EncoderSpec, layout: Layout) -> None:
    prepare_torch(spec.training.threads, "cpu")
    packs = layout.packs(spec.task.name)
    images = training_inputs(packs)
    _check_any(images, packs)
    encoder.fit(images.values())


def _check_any(images: Sized, packs: Path) -> None:
    if not len(images):
        raise SrledgerError("a task has no images to train on", where=packs, mend="give its dataset train images")
