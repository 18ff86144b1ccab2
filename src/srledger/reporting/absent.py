"""Rows without numbers: failed, stale or not run yet, or without data that can be had. Their cells say why."""

from __future__ import annotations

from typing import Any

from srledger.ablations import absence_of
from srledger.config import Params
from srledger.io import read_json
from srledger.layout import Layout
from srledger.plugins import plugin_class
from srledger.provenance import code_sha256, data_sha256, params_sha256, weights_sha256
from srledger.reporting.rows import HASHES
from srledger.settings import Evaluation


def absent_record(params: Params, layout: Layout, evaluation: Evaluation) -> dict[str, Any] | None:
    """What stands in results.json for a row that has no result; None where nobody left word of why."""
    absence = absence_of(layout, evaluation.name)
    if absence is None or absence.record is not None:
        return absence.record if absence else None
    if absence.kind != "failed":
        return {**_without_numbers(params, evaluation, absence.status), "absent": absence.status}
    run = layout.run(evaluation.row.trained.name) / "run.json"
    return {
        **_facts(evaluation),
        "training": evaluation.row.training.model_dump(mode="json"),
        "seeds": list(evaluation.row.training.seeds),
        "unavailable": {},
        "failed": absence.why,
        "data_sha256": data_sha256(layout, evaluation),
        "code_sha256": code_sha256(layout.root, params, evaluation),
        "params_sha256": params_sha256(params, evaluation),
        "weights_sha256": weights_sha256(read_json(run)["weights_sha256"]) if run.exists() else "",
    }


def unavailable_record(params: Params, evaluation: Evaluation) -> dict[str, Any]:
    """What stands in results.json for a row whose data can't be had."""
    return _without_numbers(params, evaluation, evaluation.unavailable)


def _without_numbers(params: Params, evaluation: Evaluation, why: str | None) -> dict[str, Any]:
    return {
        **_facts(evaluation),
        "training": None,
        "seeds": [],
        "unavailable": dict.fromkeys(params.metrics_of(evaluation.task), why),
        "failed": None,
        **dict.fromkeys(HASHES, ""),
    }


def _facts(evaluation: Evaluation) -> dict[str, Any]:
    row = evaluation.row
    return {
        "row": row.name,
        "task": evaluation.task.name,
        "method": row.method,
        "prior": row.prior.name,
        "trained_on": row.task.name if plugin_class("methods", row.method).trainable else None,
        "teacher": row.teacher.name if row.teacher else None,
        "weights_of": row.weights_of.name if row.weights_of else None,
        "config": row.config.model_dump(mode="json"),
        "n_test": 0,
        "parameters": None,
        "macs": None,
        "image_metrics": [],
        "set_metrics": {},
        "metric_info": {},
    }
