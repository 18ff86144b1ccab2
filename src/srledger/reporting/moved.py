"""What has moved since a row was measured: its settings, code, data or weights. What that means for its numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from srledger.config import Params
from srledger.io import canonical_json, read_json
from srledger.layout import Layout
from srledger.provenance import (
    built_on_sha256,
    code_sha256,
    data_sha256,
    made_by_network,
    maps_code_sha256,
    packs_sha256,
    params_sha256,
    train_code_sha256,
    weights_sha256,
)
from srledger.settings import Evaluation, Row

CODE_MUST_MATCH = ("smoke", "quick")  # the longer scales take hours: there, some of it is a warning
WARNINGS = {
    "code": "its code has moved since it was measured",
    "networks": "networks of the pipeline behind it (of its maps, or the frozen one that it builds on) have other bits "
    "here, by the same code and settings, as on another type of processor",
}
STALE = {
    "params": "settings", "code": "lines of its code", "data": "images or maps", "weights": "weights",
    "networks": "bits of the networks behind it", "protocol": "protocols of its metrics",
}  # fmt: skip


def moved(
    params: Params, layout: Layout, evaluation: Evaluation, record: Mapping[str, Any], results: Mapping[str, Any]
) -> list[str]:
    """Which of ``params``, ``code``, ``data`` (or only ``networks``) and ``weights`` of a row are not this tree's.

    Params and code are compared always, data and weights where they are at hand. ``networks``: the images are the
    same, and so are code and settings of all maps; the bits of networks that made the maps, or that the row builds on,
    are not.

    Args:
        record, results: the row's entry in a results.json, and the whole file.
    """
    found = []
    if params_sha256(params, evaluation) != record["params_sha256"]:
        found.append("params")
    if code_sha256(layout.root, params, evaluation) != record["code_sha256"]:
        found.append("code")
    if data_at_hand(layout, evaluation) and data_sha256(layout, evaluation) != record["data_sha256"]:
        found.append("networks" if _only_bits_of_networks(layout, evaluation, results) else "data")
    run = layout.run(evaluation.row.trained.name) / "run.json"
    if run.exists() and _other_weights(layout, evaluation.row.trained, read_json(run), record):
        found.append("weights")
    return found


def stands(params: Params, found: Collection[str]) -> bool:
    """Whether a row's numbers may stand in a report although ``found`` has moved."""
    return set(found) <= (set() if params.scale in CODE_MUST_MATCH else set(WARNINGS))


def why_stale(found: Collection[str]) -> str:
    """``settings, images or maps have changed since``."""
    return ", ".join(STALE[what] for what in found) + " have changed since"


def data_at_hand(layout: Layout, evaluation: Evaluation) -> bool:
    """Whether all that ``data_sha256`` of a row looks at lies here, of training and of test."""
    row = evaluation.row
    if row.encoder is not None and row.weights_of is None and built_on_sha256(layout, row) is None:
        return False
    both = ((evaluation.row.task, evaluation.row.prior), (evaluation.task, evaluation.prior))
    last_written = [
        path
        for task, prior in both
        for path in (layout.packs(task.name) / "task.json", layout.prior(prior.name) / task.name / "test.json")
    ]
    return all(path.exists() for path in last_written)


def _other_weights(layout: Layout, row: Row, run: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a row was measured with other weights than a run that this tree would make; an older run says nothing."""
    if weights_sha256(run["weights_sha256"]) == record["weights_sha256"]:
        return False
    of_this_tree = canonical_json(run["resolved"]) == canonical_json(row.resolved())
    return of_this_tree and run["code_sha256"] == train_code_sha256(layout.root, row)


def _only_bits_of_networks(layout: Layout, evaluation: Evaluation, results: Mapping[str, Any]) -> bool:
    priors = (evaluation.row.prior, evaluation.prior)
    images, code = results.get("tasks", {}), results.get("maps_code_sha256", {})
    return (
        (evaluation.row.encoder is not None or any(map(made_by_network, priors)))
        and all(
            images.get(task.name, {}).get("packs_sha256") == packs_sha256(layout, task.name)
            for task in (evaluation.row.task, evaluation.task)
        )
        and all(code.get(prior.name) == maps_code_sha256(layout.root, prior) for prior in priors)
    )
