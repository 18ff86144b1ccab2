"""What depends on this machine: seconds, memory and throughput, apart from everything that a report is checked by."""

from __future__ import annotations

import csv
import io

from srledger.config import Params
from srledger.io import read_json, write_text
from srledger.layout import Layout

COLUMNS = ["row", "stage", "seed", "seconds", "peak_memory_mib", "images_per_s", "threads", "device"]


def write_machine_table(params: Params, layout: Layout) -> int:
    """Write ``machine.csv`` from what this machine measured; returns how many timings it holds."""
    known = {*params.rows, *params.evaluations, *params.entries.encoders}
    records = [read_json(path) for path in sorted(layout.machine().glob("*.json"))]
    records = [record for record in records if record["row"] in known]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for record in records:
        table.writerow(["" if record[name] is None else record[name] for name in COLUMNS])
    write_text(layout.report() / "machine.csv", text.getvalue())
    return len(records)
