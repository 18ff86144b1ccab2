"""The chain behind one cell, in words: what was measured, by which code, on which data, and how to make it again."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from srledger.errors import SrledgerError, unknown_name
from srledger.reporting.cells import HEADER, NOT_COUNTED, NOT_FINITE, NOT_RUN

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
    scale = cells_csv.resolve().parent.name
    return "\n\n".join(_chain(cell, scale) for cell in found)


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


def filling_line(row: str, status: str) -> str:
    """The line that fills an empty cell."""
    if status.startswith("failed: "):
        return f"dvc repro --force train@{row} && dvc repro"
    if status.endswith(NOT_COUNTED) or status.endswith(NOT_FINITE):
        return "nothing: the row was measured, and gives no number here"
    if status.endswith(NOT_RUN):
        return f"dvc repro  # after adding a variant '{row}' for this task to params.yaml"
    return "make weights && dvc repro"


def _chain(cell: Mapping[str, str], scale: str) -> str:
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
    lines.append(f"  from rows   srledger report --scale {scale} --check")
    if cell["status"] == "ok":
        trained = f"dvc repro --force train@{cell['row']} && " if cell["weights_sha256"] else ""
        lines.append(f"  from nought {trained}dvc repro")
    else:
        lines.append(f"  to fill it  {filling_line(cell['row'], cell['status'])}")
    return "\n".join(lines)
