"""A report made in parts, on machines that come and go: what has results here, and committed rows for the rest.

Kept rows are laid out in scratch/ as if they had been measured here; then the gate of rows, the probes and the report
do with them what they do with all others. DVC knows nothing of this: its own stages make a report from results alone.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.gates import KINDS
from srledger.gates.run import run_gates
from srledger.gates.vouchers import check_vouchers
from srledger.io import atomic_open, write_json
from srledger.layout import FAILED, Layout, fresh_folder
from srledger.packs import PackWriter
from srledger.probing.run import keep_committed, run_probes
from srledger.reporting.moved import WARNINGS
from srledger.reporting.pictures import read_rgb
from srledger.reporting.probes_page import PROBES
from srledger.reporting.stage import report
from srledger.reporting.standing import Standing, check_kept, committed_results, standings
from srledger.tracking.machine import write_machine_table
from srledger.tracking.mirror import mirror


class KeptLayout(Layout):
    """The folders of a report in which rows that were not made here lie in scratch/, as if they had been.

    Args:
        here: rows and transfers that this machine has results of. trained: the rows behind them.
    """

    def __init__(self, layout: Layout, here: Collection[str], trained: Collection[str]) -> None:
        super().__init__(layout.scale, layout.root, ablations=layout.ablations)
        self.here, self.trained = here, trained
        self.kept = self.root / "scratch" / self.name / "kept"

    def run(self, row: str) -> Path:
        return super().run(row) if row in self.trained else self.kept / "runs" / row

    def result(self, name: str) -> Path:
        return super().result(name) if name in self.here else self.kept / "results" / name

    def failure(self, row: str) -> Path:
        return super().failure(row) if row in self.here else self.kept / "results" / FAILED / f"{row}.json"

    def gates(self, kind: str) -> Path:
        return self.kept / "gates" if kind == "rows" else super().gates(kind)

    def passed(self, kind: str) -> Path:
        return self.kept / "passed" if kind == "rows" else super().passed(kind)

    def probes(self) -> Path:
        return self.kept / "probes"


def keep_report(params: Params, layout: Layout) -> Iterator[str]:
    """Make ``reports/<scale>`` from the results that lie here and the committed rows that hold; yields lines to print.

    Raises:
        SrledgerError: data, maps or their gates' vouchers are not here, or out of date; or the committed report is not
            whole. Nothing has been written then.
    """
    check_vouchers(params, layout, [kind for kind in KINDS if kind != "rows"])
    if not layout.explored().exists():
        raise SrledgerError("the datasets were not explored", where=layout.explored(), mend="dvc repro explore")
    committed, rows = committed_results(layout), layout.report() / "rows"
    found = standings(params, layout, committed)
    kept = [one for one in found if one.of == "kept"]
    check_kept(layout.report(), [one for one in kept if not one.absence], params.report)
    yield from _told(layout, found)
    laid_out = _lay_out(layout, found, rows)
    yield run_gates("rows", params, laid_out)
    keep_committed(params, layout, rows / PROBES)
    with fresh_folder(laid_out.probes()) as part:
        run_probes(params, laid_out, part)
    yield report(params, laid_out)
    write_machine_table(params, layout, kept={one.name for one in kept})
    yield f"machine: {mirror(params, layout)}"


def _told(layout: Layout, found: Sequence[Standing]) -> Iterator[str]:
    """What stands in the report; what does not, and the command that makes it; what moved or can't be checked here."""
    kept = [one for one in found if one.of == "kept"]
    made = sum(one.of == "here" for one in found)
    yield f"kept {len(kept)} rows of the committed report; made {made}"
    by_status: dict[str, list[str]] = {}
    for one in found:
        if one.of == "absent" and one.absence:
            by_status.setdefault(one.absence.status, []).append(one.name)
    for status, names in by_status.items():
        yield f"{status}: {', '.join(names)}: srledger repro --scale {layout.name} --only {','.join(names)}"
    for what, warning in WARNINGS.items():
        if names := [one.name for one in found if what in one.moved]:
            yield f"warning: {', '.join(names)}: {warning}"
    if lacking := [one.name for one in kept if not (layout.run(one.evaluation.row.trained.name) / "run.json").exists()]:
        yield f"not checked, as they are not on this machine: weights and restored images of {', '.join(lacking)}"


def _lay_out(layout: Layout, found: Sequence[Standing], rows: Path) -> KeptLayout:
    """Put every row that was not made here into ``scratch/<scale>/kept``, from the committed ``rows``."""
    here = [one.evaluation for one in found if one.of == "here"]
    laid_out = KeptLayout(layout, {one.name for one in here}, {one.row.trained.name for one in here})
    shutil.rmtree(laid_out.kept, ignore_errors=True)
    for one in found:
        if one.absence:
            why = {"row": one.name, "why": one.absence.why, "kind": one.absence.kind, "record": one.absence.record}
            write_json(laid_out.failure(one.name), why)
        elif one.of == "kept" and one.record:
            folder = laid_out.result(one.name)
            write_json(folder / "result.json", dict(one.record))
            shutil.copyfile(rows / f"{one.record['row']}__{one.record['task']}.parquet", folder / "rows.parquet")
            _put_pictures(rows / "pictures" / one.record["task"], one.record["row"], folder / "sr")
    curves = {one.name for one in found if one.of == "kept"} - set(laid_out.trained)
    if curves and (rows / "curves.parquet").exists():
        _put_curves(parquet.read_table(rows / "curves.parquet").to_pylist(), curves, laid_out)
    return laid_out


def _put_pictures(pictures: Path, row: str, pack: Path) -> None:
    """The pack of restored images that the committed pictures give; empty where a set may not be redistributed."""
    with PackWriter(pack, np.uint8) as writer:
        for path in sorted(pictures.glob(f"*/{row}.png")):
            writer.add(path.parent.name, read_rgb(path))


def _put_curves(points: Sequence[dict[str, Any]], rows: Collection[str], layout: Layout) -> None:
    files: dict[Path, list[list[Any]]] = {}
    for point in points:
        if point["row"] in rows:
            path = layout.run(point["row"]) / f"seed{point['seed']}" / "curves.csv"
            files.setdefault(path, []).append([point["step"], point["name"], repr(point["value"])])
    for path, lines in files.items():
        with atomic_open(path, "w") as file:
            csv.writer(file, lineterminator="\n").writerows([["step", "name", "value"], *lines])
