"""`srledger report --check`: is a committed report what its rows give, and do its rows belong to this tree?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from srledger.config import Evaluation, Params
from srledger.datasets import settings_sha256
from srledger.errors import SrledgerError
from srledger.io import read_json, sha256_json
from srledger.layout import Layout
from srledger.provenance import code_sha256, data_sha256, params_sha256, weights_sha256
from srledger.reporting.check import compare_report
from srledger.reporting.probes_page import recorded_probes
from srledger.reporting.rows import HASHES
from srledger.reporting.stage import render

CODE_MUST_MATCH = ("smoke", "quick")  # the longer scales take hours: there, moved code is a warning
SHOWN = 20


def check_report(params: Params, layout: Layout) -> str:
    """Re-render a report beside the committed one and compare; returns a line (with warnings) when all is well.

    Raises:
        SrledgerError: bytes differ, or a cell is stale; the message lists the cells and why.
    """
    with tempfile.TemporaryDirectory() as folder:
        render(params, Path(folder), layout.report() / "rows", layout.root)
        differences = [str(difference) for difference in compare_report(Path(folder), layout.report())]
    results = read_json(layout.report() / "rows" / "results.json")
    recorded = results["results"]
    stale, warnings = staleness(params, layout, recorded)
    stale += [
        f"dataset {name}: its settings in params.yaml are not those it was made with"
        for name, about in results["datasets"].items()
        if name in params.datasets and about.get("settings_sha256") != settings_sha256(params.datasets[name])
    ]
    stale += stale_probes(params, recorded_probes(layout.report() / "rows"), recorded)
    problems = differences + stale
    if problems:
        listed = "\n    ".join(problems[:SHOWN] + (["..."] if len(problems) > SHOWN else []))
        raise SrledgerError(
            f"the report {layout.name} is not what this tree makes: {len(problems)} findings",
            where=layout.report(),
            found="\n    " + listed,
            mend=f"srledger repro -s {layout.name}, or `srledger report -s {layout.name}` if only its look changed",
        )
    lines = [f"report {layout.name}: {len(recorded)} rows re-rendered, equal to what is committed", *warnings]
    return "\n".join(lines)


def staleness(params: Params, layout: Layout, recorded: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """(stale, warnings): which recorded rows no longer belong to this tree's params, code, data and weights.

    Data and weights are compared where they are at hand; params and code always.
    """
    by_key = {(record["row"], record["task"]): record for record in recorded}
    active = {
        (item.row.name, item.task.name): item for item in params.evaluations.values() if item.active or item.unavailable
    }
    stale = [f"{row} on {task}: in params.yaml, not in the report" for row, task in active.keys() - by_key.keys()]
    stale += [f"{row} on {task}: in the report, not in params.yaml" for row, task in by_key.keys() - active.keys()]
    warnings = []
    for (row, task), record in by_key.items():
        if (row, task) not in active:
            continue
        moved = _moved(params, layout, active[row, task], record)
        if moved == ["code"] and params.scale not in CODE_MUST_MATCH:
            warnings.append(f"warning: {row} on {task}: its code has moved since it was measured")
        elif moved:
            stale.append(f"{row} on {task}: stale, moved: {', '.join(moved)}")
    return sorted(stale), warnings


def stale_probes(params: Params, probes: list[dict[str, Any]], recorded: list[dict[str, Any]]) -> list[str]:
    """What of the probes of a report no longer belongs to params.yaml, or to the rows that the report itself holds."""
    results = {(record["row"], record["task"]): sha256_json([record[key] for key in HASHES]) for record in recorded}
    found = []
    for probe in probes:
        name = probe["name"]
        if name not in params.probes:
            found.append(f"probe {name}: in the report, not in params.yaml")
            continue
        wanted = params.probes[name].resolved()
        moved = [key for key in wanted if wanted[key] != probe[key]]
        moved += [f"row {row}" for row in probe["rows"] if results.get((row, probe["task"])) != probe["inputs"][row]]
        if moved:
            found.append(f"probe {name}: stale, moved: {', '.join(moved)}")
    return found


def _moved(params: Params, layout: Layout, evaluation: Evaluation, record: dict[str, Any]) -> list[str]:
    if evaluation.unavailable:
        return (
            [] if evaluation.unavailable in record["unavailable"].values() else ["the reason why its data can't be had"]
        )
    moved = []
    if params_sha256(params, evaluation) != record["params_sha256"]:
        moved.append("params")
    if code_sha256(layout.root, evaluation) != record["code_sha256"]:
        moved.append("code")
    packs = [layout.packs(task.name) / "task.json" for task in (evaluation.task, evaluation.row.task)]
    if all(path.exists() for path in packs) and data_sha256(layout, evaluation) != record["data_sha256"]:
        moved.append("data")
    run = layout.run(evaluation.row.trained.name) / "run.json"
    if run.exists() and weights_sha256(read_json(run)["weights_sha256"]) != record["weights_sha256"]:
        moved.append("weights")
    return moved
