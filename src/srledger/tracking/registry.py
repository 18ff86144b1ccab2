"""MLflow's registry of models, filled from the report: a model per trained row, a version per set of weights.

Aliases say which version a report holds (the scale's name) and which row is the best of a table
(``quick_best_psnr_rgb``); a row that is no longer the best loses the alias. The report decides, MLflow shows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from srledger.io import read_json
from srledger.layout import Layout

MODEL = "model"  # the folder of a run's artifacts that holds weights and config
WEIGHTS_TAG = "srledger.weights_sha256"


def register(client: Any, records: Sequence[dict[str, Any]], layout: Layout) -> None:
    """Bring the registry up to date with the report of the layout's scale; without a report nothing is registered.

    Args:
        records: a row's ``row``, ``seed``, ``run`` (run.json) and ``run_id``; the lowest seed stands for its row.
    """
    report = layout.report() / "cells.csv"
    if not report.exists():
        return
    with report.open(newline="", encoding="utf-8") as file:
        cells = [cell for cell in csv.DictReader(file) if cell["status"] == "ok" and cell["table"] == cell["task"]]
    wanted = {f"{layout.scale}_best_{metric}": row for metric, row in _best(cells, layout)}
    for record in records:
        row, weights = record["row"], record["run"]["weights_sha256"]
        if record["seed"] != min(record["run"]["seeds"]) or not any(weights.values()):
            continue
        of_row = [cell for cell in cells if cell["row"] == row]
        values = {f"{cell['task']}/{cell['metric']}{_seeds(cell)}": cell["value"] for cell in of_row}
        version = _version(
            client, record, {"srledger.scale": layout.scale, WEIGHTS_TAG: weights[str(record["seed"])], **values}
        )
        client.set_registered_model_alias(row, layout.scale, version)
        _set_best(client, row, version, [alias for alias, best in wanted.items() if best == row], layout.scale)


def _seeds(cell: Mapping[str, str]) -> str:
    """A cell is a mean over all seeds; the weights of a version are those of one."""
    return f" mean over seeds {cell['seeds']}" if " " in cell["seeds"].strip() else ""


def _best(cells: Sequence[dict[str, str]], layout: Layout) -> Iterator[tuple[str, str]]:
    """(metric, row) of the best trained row on the task that most rows stand under."""
    tasks = [cell["task"] for cell in cells]
    results = read_json(layout.report() / "rows" / "results.json")["results"]
    of_task = max(sorted(set(tasks)), key=tasks.count)
    trained = {record["row"] for record in results if record["training"] and not record.get("weights_of")}
    info = {name: about for record in results for name, about in record["metric_info"].items()}
    for metric in dict.fromkeys(cell["metric"] for cell in cells if cell["metric"] in info):
        found = [
            cell for cell in cells if (cell["metric"], cell["task"]) == (metric, of_task) and cell["row"] in trained
        ]
        if found:
            choose = max if info[metric]["higher_is_better"] else min
            yield metric, choose(found, key=lambda cell: float(cell["value"]))["row"]


def _version(client: Any, record: dict[str, Any], tags: dict[str, str]) -> str:
    """The version of these weights at this scale, made when it is not there."""
    from mlflow.exceptions import MlflowException

    row = record["row"]
    try:
        client.create_registered_model(row, tags={"srledger.method": record["run"]["resolved"]["method"]})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for known in client.search_model_versions(f"name='{row}'"):
        if all(known.tags.get(name) == tags[name] for name in (WEIGHTS_TAG, "srledger.scale")):
            for name, value in tags.items():
                client.set_model_version_tag(row, known.version, name, value)
            return known.version
    made = client.create_model_version(row, f"runs:/{record['run_id']}/{MODEL}", record["run_id"], tags=tags)
    return made.version


def _set_best(client: Any, row: str, version: str, aliases: Sequence[str], scale: str) -> None:
    for alias in client.get_registered_model(row).aliases:
        if alias.startswith(f"{scale}_best_") and alias not in aliases:
            client.delete_registered_model_alias(row, alias)
    for alias in aliases:
        client.set_registered_model_alias(row, alias, version)
