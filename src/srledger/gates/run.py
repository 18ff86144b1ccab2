"""All gates of one kind: results for the report, vouchers for the next stages, a readable table where one fails."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srledger.config import Params
from srledger.errors import SrledgerError, unknown_name
from srledger.gates import KINDS, Subjects
from srledger.gates.engine import Engine
from srledger.io import write_json, write_text
from srledger.layout import Layout, fresh_folder
from srledger.leftovers import clear_maps, clear_rows
from srledger.progress import Progress

NAMED_AT_MOST = 5
Failure = tuple[str, dict[str, Any]]  # the gate's name, the check


def run_gates(kind: str, params: Params, layout: Layout) -> str:
    """Check everything of one kind; returns the line to print.

    Raises:
        SrledgerError: something failed. It names the checks and the ids, and the table that holds all of them.
    """
    if kind not in KINDS:
        raise unknown_name("gate", kind, KINDS, where="stages/gate.py")
    clear = {"priors": clear_maps, "rows": clear_rows}.get(kind)
    dropped = clear(params, layout) if clear else []
    module: Subjects = importlib.import_module(f"srledger.gates.{kind}")
    engine = Engine(layout.data_docs(kind))
    table = layout.failed_gates(kind)
    table.unlink(missing_ok=True)
    for before in (layout.passed(kind), layout.gates(kind)):  # nothing is vouched for until it has been checked again
        shutil.rmtree(before, ignore_errors=True)
    failures: list[Failure] = []
    n_checks = n_values = 0
    subjects = module.subjects(params, layout)
    with (
        fresh_folder(layout.gates(kind)) as results,
        fresh_folder(layout.passed(kind)) as passed,
        Progress(f"gate {kind}", len(subjects)) as progress,
    ):
        for k, (subject, inactive) in enumerate(subjects.items()):
            if inactive is not None:
                write_json(passed / f"{subject}.json", {"inactive": inactive})
                continue
            for gate in module.gates_of(subject, params, layout):
                result = engine.run(gate)
                n_checks += len(result["checks"])
                n_values += sum(check["element_count"] for check in result["checks"])
                failures += [(gate.name, check) for check in result["checks"] if _stops(check)]
                written = [{key: check[key] for key in check if key != "failing"} for check in result["checks"]]
                write_json(results / f"{gate.name}.json", {**result, "checks": written})
            write_json(passed / f"{subject}.json", {"vouches_for": module.fingerprint(subject, layout)})
            progress.advance(k + 1)
        engine.build_docs()
        if failures:
            raise _failed(kind, failures, table)
    line = f"gate {kind}: {n_checks} checks of {n_values} values passed"
    return line + (f"; dropped {', '.join(dropped)}" if dropped else "")


def _stops(check: dict[str, Any]) -> bool:
    return check["severity"] == "stop" and not check["success"]


def _failed(kind: str, failures: Sequence[Failure], table: Path) -> SrledgerError:
    """Leave the table of everything that failed, and say the first of it."""
    lines = [f"# What failed in gate {kind}", ""]
    for name, check in failures:
        lines += [
            f"## {name}: {check['title']}",
            "",
            f"Why it matters: {check['why']}",
            f"To mend it: {check['mend']}",
            "",
        ]
        lines += [f"| id | {check['column']} |", "| --- | --- |"]
        lines += [f"| {cell_id} | {value} |" for cell_id, value in check["failing"]] + [""]
    write_text(table, "\n".join(lines))
    name, check = failures[0]
    count = f"{len(failures)} checks do not hold" if len(failures) > 1 else "a check does not hold"
    found = "; ".join(f"{name}: {check['title']}: {_named(check)}" for name, check in failures[:NAMED_AT_MOST])
    return SrledgerError(
        f"gate {kind} failed: {count}",
        where=table,
        found=found + (f"; and {len(failures) - NAMED_AT_MOST} more" if len(failures) > NAMED_AT_MOST else ""),
        expected="; ".join(dict.fromkeys(check["why"] for _, check in failures[:1])),
        mend="; ".join(dict.fromkeys(check["mend"] for _, check in failures[:NAMED_AT_MOST])),
    )


def _named(check: dict[str, Any]) -> str:
    failing = check["failing"]
    named = ", ".join(f"{name} ({check['column']} {value})" for name, value in failing[:NAMED_AT_MOST])
    return f"{len(failing)} failed: {named}" + (", ..." if len(failing) > NAMED_AT_MOST else "")
