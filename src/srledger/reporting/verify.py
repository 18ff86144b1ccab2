"""`srledger report --check`: is a committed report what its rows give, and do its rows belong to this tree?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from srledger.config import Params
from srledger.datasets import settings_sha256
from srledger.errors import SrledgerError
from srledger.io import read_json, sha256_json
from srledger.layout import Layout
from srledger.reporting.check import compare_report
from srledger.reporting.moved import WARNINGS, moved, stands
from srledger.reporting.probes_page import recorded_probes
from srledger.reporting.rows import HASHES
from srledger.reporting.stage import render

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
    stale, warnings = staleness(params, layout, results)
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


def staleness(params: Params, layout: Layout, results: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """(stale, warnings): which rows of a results.json no longer belong to this tree's params, code, data and weights.

    A row that has no numbers, and says that it is stale or was not run yet, is a warning: it claims nothing.
    """
    by_key = {(record["row"], record["task"]): record for record in results["results"]}
    active = {
        (item.row.name, item.task.name): item for item in params.evaluations.values() if item.active or item.unavailable
    }
    stale = [f"{row} on {task}: in params.yaml, not in the report" for row, task in active.keys() - by_key.keys()]
    stale += [f"{row} on {task}: in the report, not in params.yaml" for row, task in by_key.keys() - active.keys()]
    warnings = []
    for (row, task), record in by_key.items():
        if (row, task) not in active:
            continue
        evaluation = active[row, task]
        if evaluation.unavailable:
            if evaluation.unavailable not in record["unavailable"].values():
                stale.append(f"{row} on {task}: stale, moved: the reason why its data can't be had")
        elif record.get("absent"):
            warnings.append(f"warning: {row} on {task} has no numbers: {record['absent']}")
        elif stands(params, found := moved(params, layout, evaluation, record, results)):
            warnings += [f"warning: {row} on {task}: {WARNINGS[what]}" for what in found]
        else:
            stale.append(f"{row} on {task}: stale, moved: {', '.join(found)}")
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
        changed = [key for key in wanted if wanted[key] != probe[key]]
        changed += [f"row {row}" for row in probe["rows"] if results.get((row, probe["task"])) != probe["inputs"][row]]
        if changed:
            found.append(f"probe {name}: stale, moved: {', '.join(changed)}")
    return found
