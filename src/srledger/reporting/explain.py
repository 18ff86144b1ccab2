"""The chain behind one cell, in words: what was measured, by which code, on which data, and how to make it again."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Mapping
from pathlib import Path

from srledger.errors import SrledgerError, unknown_name
from srledger.io import read_json
from srledger.reporting.cells import HEADER, NOT_COUNTED, NOT_FINITE, NOT_RUN, NOT_YET

WHAT = {
    "data_sha256": "the packs of this task",
    "code_sha256": "the files that training and evaluation depend on",
    "params_sha256": "the parameters of this row",
    "weights_sha256": "the trained weights",
}


def explain(cells_csv: Path, selector: str) -> str:
    """The chain of every cell that ``selector`` (``metric/row/task``) names, one per table it stands in.

    Raises:
        SrledgerError: no ledger, or no such cell; the message holds the nearest name.
    """
    cells = read_cells(cells_csv)
    names = [f"{cell['metric']}/{cell['row']}/{cell['task']}" for cell in cells]
    found = [cell for cell, name in zip(cells, names, strict=True) if name == selector]
    if not found:
        raise unknown_name("cell", selector, set(names), where=cells_csv, mend='srledger explain "metric/row/task"')
    return "\n\n".join(_chain(cell, cells_csv.resolve().parent) for cell in found)


def read_cells(cells_csv: Path) -> list[dict[str, str]]:
    """The lines of a ledger. Raises SrledgerError when there is none or its header is another."""
    if not cells_csv.exists():
        raise SrledgerError("there is no ledger", where=cells_csv, mend="srledger report")
    with cells_csv.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != HEADER:
            raise SrledgerError(
                "this is no ledger of cells", where=cells_csv, expected=",".join(HEADER), mend="srledger report"
            )
        return list(reader)


def filling_line(row: str, status: str, scale: str) -> str:
    """The line that fills an empty cell."""
    if status.startswith("failed: "):
        return f"srledger repro --scale {scale}"
    if status.startswith("stale: ") or status.endswith(NOT_YET):
        return f"srledger repro --scale {scale}  # with --only NAME, this row (or its transfer) alone"
    if status.endswith(NOT_COUNTED) or status.endswith(NOT_FINITE):
        return "nothing: the row was measured, and gives no number here"
    if status.endswith(NOT_RUN):
        return f"srledger repro --scale {scale}  # after adding a variant '{row}' for this task to params.yaml"
    if "weights '" in status:
        return f"make weights, add the name to scales.{scale}.weights, srledger repro --scale {scale}"
    return "nothing: the metric can't measure these images"


def _chain(cell: Mapping[str, str], folder: Path) -> str:
    scale = folder.name
    unit = f" {cell['unit']}" if cell["unit"] else ""
    value = f"{cell['value']}{unit}" if cell["value"] else cell["status"]
    lines = [f"{cell['metric']}/{cell['row']}/{cell['task']}  (table {cell['table']})", f"  value       {value}"]
    if cell["ci_low"]:
        lines.append(f"  interval    {cell['ci_low']} to {cell['ci_high']}")
    if cell["n"] != "0":
        lines.append(f"  measured on {cell['n']} test images, seeds {cell['seeds']}")
    if cell["published"]:
        lines.append(f"  published   {cell['published']}{unit}  ({cell['published_source']})")
    lines += [f"  {name.removesuffix('_sha256'):<11} {cell[name] or 'none'}  {what}" for name, what in WHAT.items()]
    if weights_of := _weights_of(cell, folder):
        lines.append(f"  sampled     with the weights of {weights_of}, by settings of its own")
    lines.append(f"  from rows   srledger report --scale {scale} --check")
    if cell["status"] == "ok":
        lines.append("  from nought a fresh clone with an empty SRLEDGER_CACHE, then:")
        lines.append(f"              srledger repro --scale {scale} --only {cell['row']}")
    else:
        lines.append(f"  to fill it  {filling_line(cell['row'], cell['status'], scale)}")
    commits = commits_with(cell["code_sha256"], folder)
    lines.append(f"  committed   {', '.join(commits) if commits else 'not yet'}")
    return "\n".join(lines)


def _weights_of(cell: Mapping[str, str], folder: Path) -> str | None:
    """The row whose weights a cell's row took; None where it was trained itself."""
    path = folder / "rows" / "results.json"
    records = read_json(path)["results"] if path.exists() else []
    of_cell = (record for record in records if (record["row"], record["task"]) == (cell["row"], cell["task"]))
    return next((record.get("weights_of") for record in of_cell), None)


def commits_with(code_sha256: str, report: Path) -> list[str]:
    """Commits (newest first) that brought cells of this code into a report, or took them out again.

    A report can't name its own commit: the commit holds the report.
    """
    command = ["git", "log", "--format=%h %cs", f"-S{code_sha256}", "--", "cells.csv"]
    answer = subprocess.run(command, cwd=report, capture_output=True, text=True, check=False)
    return answer.stdout.splitlines() if code_sha256 else []
