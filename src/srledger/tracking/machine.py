"""What depends on this machine: seconds, memory and throughput, apart from everything that a report is checked by."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection

from srledger.config import Params
from srledger.io import read_json, write_text
from srledger.layout import Layout

COLUMNS = ["row", "stage", "seed", "seconds", "peak_memory_mib", "images_per_s", "threads", "device"]


def write_machine_table(params: Params, layout: Layout, kept: Collection[str] = ()) -> int:
    """Write ``machine.csv`` from what this machine measured; returns how many timings it measured itself.

    Args:
        kept: rows that were made elsewhere: their lines stay, and those of what was not measured here at all.
    """
    rows = {*params.rows, *params.evaluations, *params.entries.encoders}
    known = {*rows, *params.entries.all_priors}
    records = [read_json(path) for path in sorted(layout.machine().glob("*.json"))]
    records = [
        record
        for record in records
        if record["row"] in (params.entries.all_priors if record["stage"] == "precompute_priors" else rows)
        and record["row"] not in kept
    ]
    lines = [{name: "" if record[name] is None else str(record[name]) for name in COLUMNS} for record in records]
    path = layout.report() / "machine.csv"
    if kept and path.exists():
        here = {*params.evaluations, *(record["row"] for record in records)} - set(kept)
        with path.open(newline="", encoding="utf-8") as file:
            lines += [line for line in csv.DictReader(file) if line["row"] in known - here]
        lines.sort(key=lambda line: (line["row"], line["stage"], line["seed"]))
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    write_text(path, text.getvalue())
    return len(records)
