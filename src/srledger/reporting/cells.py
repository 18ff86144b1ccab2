"""Cells: one number of a table each, with its interval and its provenance. ``cells.csv`` is the ledger."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence

from srledger.evaluation.statistics import Bootstrap, Interval, finite_images, mean_interval, set_interval
from srledger.layout import is_ablation
from srledger.reporting.config import ReportConfig
from srledger.reporting.layout import Column, Table
from srledger.reporting.published import Published, published_beside
from srledger.reporting.rows import HASHES, Rows

HEADER = (
    "table", "row", "task", "metric", "value", "ci_low", "ci_high", "n", "seeds", "unit",
    "published", "published_source", *HASHES, "status",
)  # fmt: skip

NOT_RUN = "this row was not run on this task"
NOT_YET = "not run yet"
NOT_COUNTED = "not counted for this row"
NOT_FINITE = "no finite value was measured for this row"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        value: None unless ``status`` is ``ok``. ci_low, ci_high: None for costs and where no interval can be had.
        n: images behind the number; 0 for costs. seeds: training seeds behind it.
        published: what papers print for the same row, task and metric; the first one stands in cells.csv.
        status: ``ok``, ``unavailable: <why>``, ``failed: <why>`` or ``stale: <why>``.
    """

    table: str
    row: str
    task: str
    metric: str
    value: float | int | None
    ci_low: float | None
    ci_high: float | None
    n: int
    seeds: tuple[int, ...]
    unit: str
    published: tuple[Published, ...]
    data_sha256: str
    code_sha256: str
    params_sha256: str
    weights_sha256: str
    status: str

    @property
    def key(self) -> str:
        """The name that ``srledger explain`` takes: metric/row/task."""
        return f"{self.metric}/{self.row}/{self.task}"

    def fields(self) -> list[str]:
        """The cell as a line of cells.csv."""
        first = self.published[0] if self.published else None
        return [
            self.table, self.row, self.task, self.metric,
            plain(self.value), plain(self.ci_low), plain(self.ci_high),
            str(self.n), " ".join(str(seed) for seed in self.seeds), self.unit,
            first.value if first else "", first.citation if first else "",
            *(getattr(self, name) for name in HASHES), self.status,
        ]  # fmt: skip


def plain(number: float | int | None) -> str:
    """A number for a file: whole numbers in full, others to 9 significant digits (float32 carries 7), None as nothing.

    Nine digits hide the last bits of a float64 sum, which may differ between CPUs.
    """
    if number is None:
        return ""
    return str(number) if isinstance(number, int) else format(number, ".9g")


def build_cells(
    rows: Rows, tables: Sequence[Table], published: Mapping[tuple[str, str, str], list[Published]], config: ReportConfig
) -> list[Cell]:
    """Every number of every table, table by table, row by row, column by column."""
    return [
        _build_cell(rows, table, row, column, _published_of(rows, published, table, row, column.metric), config)
        for table in tables
        for row in table.rows
        for column in table.columns
    ]


def trained_elsewhere(rows: Rows, row: str, task: str) -> str | None:
    """The task that a row was trained on, when it is another than the one it was measured on."""
    record = rows.records.get((row, task))
    trained_on = record.get("trained_on") if record else None
    return trained_on if trained_on not in (None, task) else None


def restored_otherwise(rows: Rows, row: str, task: str) -> str | None:
    """Whose weights a transfer restores with, and by what settings that are not that row's; None for other rows."""
    record = rows.records.get((row, task))
    whose = record.get("weights_of") if record and not is_ablation(row) else None
    if record is None or whose is None:
        return None
    own: Mapping[str, object] = next((one["config"] for (name, _), one in rows.records.items() if name == whose), {})
    changed = [f"{name} {value}" for name, value in record["config"].items() if own.get(name) != value]
    return f"{whose}, {', '.join(changed)}" if own else str(whose)


def _published_of(
    rows: Rows, published: Mapping[tuple[str, str, str], list[Published]], table: Table, row: str, metric: str
) -> tuple[Published, ...]:
    """Papers' numbers for a cell: of the row's own name, or of the papers' rows that the table names beside it.

    None for a transfer, whose network saw another task than the paper's.
    """
    if trained_elsewhere(rows, row, table.task):
        return ()
    if row in table.published:
        return published_beside(published, table.published[row], table.task, metric)
    return tuple(published.get((row, table.task, metric), ()))


def bootstrap_of(task: str, config: ReportConfig) -> Bootstrap:
    """The bootstrap of a task: all its rows and metrics see the same resampled images."""
    return Bootstrap(task, config.bootstrap_resamples, config.alpha)


def _build_cell(
    rows: Rows, table: Table, row: str, column: Column, published: tuple[Published, ...], config: ReportConfig
) -> Cell:
    record = rows.records.get((row, table.task))
    value: float | int | None = None
    interval: Interval | None = None
    if record is None:
        status = f"unavailable: {NOT_RUN}"
    elif record["failed"]:
        status = f"failed: {_one_line(record['failed'])}"
    elif record.get("absent"):
        status = _one_line(record["absent"])
    elif column.of == "cost":
        value = record[column.metric]
        status = "ok" if value is not None else f"unavailable: {NOT_COUNTED}"
    elif column.metric in record["unavailable"]:
        status = f"unavailable: {_one_line(record['unavailable'][column.metric])}"
    else:
        interval = measure(rows, row, table.task, column.metric, config)
        value = interval.value if interval else None
        status = "ok" if interval else f"unavailable: {NOT_FINITE}"
    hashes = {name: (record[name] or "") if record else "" for name in HASHES}
    return Cell(
        table.name, row, table.task, column.metric, value,
        interval.low if interval else None, interval.high if interval else None, interval.n if interval else 0,
        _seeds(record, column), column.unit, published, status=status, **hashes,
    )  # fmt: skip


def _seeds(record: Mapping[str, object] | None, column: Column) -> tuple[int, ...]:
    if record is None or column.of == "cost":
        return ()
    return tuple(sorted(int(seed) for seed in record["seeds"]))  # type: ignore[attr-defined]


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def measure(rows: Rows, row: str, task: str, metric: str, config: ReportConfig) -> Interval | None:
    """The mean of a metric with its interval; None where no value is finite, or there is none."""
    measured = rows.measured.get((row, task))
    if measured is not None and metric in measured.values:
        values = measured.values[metric]
        return mean_interval(values, row, bootstrap_of(task, config)) if finite_images(values).any() else None
    of_sets = rows.records[row, task]["set_metrics"].get(metric)
    if not of_sets:
        return None
    entries = [of_sets[seed] for seed in sorted(of_sets, key=int)]
    return set_interval(
        [entry["value"] for entry in entries], [entry["standard_error"] for entry in entries],
        min(entry["n"] for entry in entries), config.alpha,
    )  # fmt: skip


def cells_csv(cells: Iterable[Cell]) -> str:
    """The ledger as text: HEADER, then one line per cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(cell.fields() for cell in cells)
    return text.getvalue()
