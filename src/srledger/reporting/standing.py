"""Which rows a report made in parts may show: those made here, and those of the committed report that still hold.

A committed row holds when `report --check` would accept it beside the data that lie here now: the same settings, the
same images and maps. Its numbers must be those that the committed cells say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from srledger.ablations import Absence, absence_of
from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.io import read_json
from srledger.layout import Layout, is_inactive
from srledger.reporting.cells import NOT_YET, measure, plain
from srledger.reporting.config import ReportConfig
from srledger.reporting.explain import read_cells
from srledger.reporting.layout import COSTS
from srledger.reporting.moved import moved, stands, why_stale
from srledger.reporting.rows import HASHES, read_rows
from srledger.settings import Evaluation

FEW_RESAMPLES = 100  # only values are looked at, no intervals


@dataclasses.dataclass(frozen=True)
class Standing:
    """A row in a report that is made in parts.

    Attributes:
        of: ``here`` (this machine has its result, or it failed here), ``kept`` (as committed) or ``absent``.
        record: its entry in results.json; None where it failed here or is absent.
        moved: what of it has moved and is only told.
        absence: why it has no numbers, unless that lies in the folders already.
    """

    evaluation: Evaluation
    of: Literal["here", "kept", "absent"]
    record: Mapping[str, Any] | None = None
    moved: tuple[str, ...] = ()
    absence: Absence | None = None

    @property
    def name(self) -> str:
        """What ``--only`` takes."""
        return self.evaluation.name


def committed_results(layout: Layout) -> dict[str, Any]:
    """results.json of the report that stands in ``reports/``; empty where there is none yet.

    Raises:
        SrledgerError: cells without their rows, as a kill in the wrong moment leaves them.
    """
    path = layout.report() / "rows" / "results.json"
    if path.exists():
        return read_json(path)
    if (layout.report() / "cells.csv").exists():
        raise SrledgerError(
            "a report without its rows: what it holds would be lost", where=path.parent,
            mend=f"git checkout -- {layout.report()}",
        )  # fmt: skip
    return {"results": []}


def standings(params: Params, layout: Layout, committed: Mapping[str, Any]) -> list[Standing]:
    """How every active row of params.yaml stands. All images and maps must lie here (``check_vouchers``)."""
    recorded = {(record["row"], record["task"]): record for record in committed["results"]}
    found = [
        _standing(params, layout, one, recorded.get((one.row.name, one.task.name)), committed)
        for one in params.evaluations.values()
        if one.active
    ]
    protocols = {
        (one.evaluation.task.name, metric): about
        for one in found
        if one.of == "here" and one.record
        for metric, about in one.record["metric_info"].items()
    }
    return [one if _shares_columns(one, protocols) else _stale(one.evaluation, ["protocol"]) for one in found]


def _standing(
    params: Params,
    layout: Layout,
    evaluation: Evaluation,
    recorded: Mapping[str, Any] | None,
    committed: Mapping[str, Any],
) -> Standing:
    holding: list[Standing] = []
    stale = None
    measured: tuple[tuple[Literal["here", "kept"], Mapping[str, Any] | None], ...]
    measured = (("here", _result(layout, evaluation)), ("kept", recorded))
    for of, record in measured:
        if record is None or not record["params_sha256"]:  # without hashes it was not measured
            continue
        has_moved = tuple(moved(params, layout, evaluation, record, committed if of == "kept" else {}))
        failed = Absence(record["failed"], record=dict(record)) if record["failed"] else None
        if stands(params, has_moved):
            holding.append(Standing(evaluation, of, record, has_moved, failed))
        else:
            stale = _stale(evaluation, has_moved)
    # What lies here from another day must not take the place of what came with the report and is closer to this tree.
    best = min(holding, key=lambda one: len(one.moved), default=None)
    if absence_of(layout, evaluation.name) and (best is None or best.moved or best.absence):
        return Standing(evaluation, "here")
    if best is not None:
        return best
    was_stale = recorded is not None and str(recorded.get("absent")).startswith("stale: ")
    if recorded is not None and was_stale and stale is None:  # its old numbers are gone, and why
        stale = Standing(evaluation, "absent", absence=Absence(recorded["absent"].removeprefix("stale: "), "stale"))
    return stale or Standing(evaluation, "absent", absence=Absence(NOT_YET, "unavailable"))


def _result(layout: Layout, evaluation: Evaluation) -> dict[str, Any] | None:
    folder = layout.result(evaluation.name)
    return read_json(folder / "result.json") if (folder / "result.json").exists() and not is_inactive(folder) else None


def _stale(evaluation: Evaluation, has_moved: Iterable[str]) -> Standing:
    return Standing(evaluation, "absent", absence=Absence(why_stale(list(has_moved)), "stale"))


def _shares_columns(one: Standing, protocols: Mapping[tuple[str, str], Any]) -> bool:
    """Whether a kept row measured its metrics as the rows made here did: two protocols never share a column."""
    if one.of != "kept" or one.record is None:
        return True
    task = one.evaluation.task.name
    return all(protocols.get((task, name), about) == about for name, about in one.record["metric_info"].items())


def check_kept(report: Path, kept: Iterable[Standing], config: ReportConfig) -> None:
    """Raise SrledgerError unless the rows to be kept give the very values and hashes that cells.csv holds of them.

    Intervals are left to ``report --check``: they hang on settings of the report, which may have changed.
    """
    records = {(one.evaluation.row.name, one.evaluation.task.name): one.record for one in kept}
    if not records:
        return
    rows = read_rows(report / "rows", [])
    few = config.model_copy(update={"bootstrap_resamples": FEW_RESAMPLES})
    for cell in read_cells(report / "cells.csv"):
        key, metric = (cell["row"], cell["task"]), cell["metric"]
        record = records.get(key)
        if record is None or cell["status"] != "ok":
            continue
        if metric in COSTS:
            value = record[metric]
        else:
            interval = measure(rows, *key, metric, few)
            value = interval.value if interval else None
        given = [plain(value), *(record[name] or "" for name in HASHES)]
        said = [cell["value"], *(cell[name] for name in HASHES)]
        if given != said:
            raise SrledgerError(
                "a committed row is not what the committed cells say", where=report / "rows",
                found=f"{'/'.join((metric, *key))}: {' '.join(given)}", expected=" ".join(said),
                mend=f"git checkout -- {report}",
            )  # fmt: skip
