"""Which tables a report has, and their rows and columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from srledger.errors import SrledgerError, unknown_name
from srledger.reporting.config import Crossed, ReportConfig, TableConfig
from srledger.reporting.rows import Rows

COSTS = {
    "parameters": {"unit": "", "higher_is_better": None, "digits": 0, "of": "cost",
                   "protocol": "number of weights of the method, frozen ones included"},
    "macs": {"unit": "MAC", "higher_is_better": None, "digits": 0, "of": "cost",
             "protocol": "multiply-accumulate operations to restore one image"},
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Column:
    """One metric of a table, with its protocol.

    Attributes:
        higher_is_better: None for costs, and where no row could measure the metric.
        of: ``image``, ``set`` or ``cost``.
    """

    metric: str
    unit: str
    higher_is_better: bool | None
    digits: int
    protocol: str
    of: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with nothing left open: which rows, which columns, in which order.

    Attributes:
        about: its task in words. crossed: how its rows combine factors; None: they don't.
        published: row -> papers' rows beside it, where they are not those of its own name (see TableConfig).
    """

    name: str
    title: str
    task: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    note: str
    baseline: str
    about: str
    crossed: Crossed | None
    published: Mapping[str, tuple[str, ...]]

    @property
    def metrics(self) -> tuple[Column, ...]:
        """The columns but for the costs."""
        return tuple(column for column in self.columns if column.of != "cost")


def lay_out(rows: Rows, config: ReportConfig) -> list[Table]:
    """The tables of a report, in the order of the config (or of the tasks' names).

    Raises:
        SrledgerError: a table names a task, row or metric that the rows do not know.
    """
    wanted = config.tables or {task: TableConfig(title=about_task(rows, task), task=task) for task in rows.task_names()}
    return [resolve_table(name, table, rows, config.baseline, "tables") for name, table in wanted.items()]


def about_task(rows: Rows, task: str) -> str:
    """A task in words: data set, degradation, scale factor and size."""
    about = rows.tasks.get(task)
    if about is None:
        return task
    size = about["hr_size_px"]
    shown = "native size" if size == "native" else f"{size} px"
    words = f"{task}: {about['dataset']}, {about['degradation']}, x{about['scale_factor']} to {shown}"
    words += f", {jitter_words(about['jitter'])}" if "jitter" in about else ""
    return words if about.get("reference", True) else f"{words}, without HR images"


def jitter_words(jitter: Mapping[str, float]) -> str:
    """How far the HR images of a task were moved."""
    shift, scale = (f"{100 * jitter[key]:g} %" for key in ("shift", "scale"))
    return f"HR moved by up to {shift} of its side and zoomed by up to {scale}"


def resolve_table(name: str, table: TableConfig, rows: Rows, baseline: str, group: str) -> Table:
    """One table of a ``group`` of the config. Raises SrledgerError as ``lay_out``."""
    where = f"params.yaml: report.{group}.{name}"
    if not name.replace("_", "").replace("-", "").isalnum():
        raise SrledgerError(
            "a table's name must do as a file name", where=where, found=name, expected="letters, digits, _ and -"
        )
    if table.task not in rows.task_names():
        raise unknown_name("task", table.task, rows.task_names(), where=where)
    for row in table.rows or ():
        if row not in rows.row_names():
            raise unknown_name("row", row, rows.row_names(), where=where)
    chosen = table.rows if table.rows is not None else tuple(rows.rows_of(table.task))
    if table.crossed and not any(row in table.crossed.rows for row in chosen):
        raise SrledgerError(
            "a crossed table shows none of its combinations", where=where, found=", ".join(chosen),
            expected="some of " + ", ".join(table.crossed.rows),
        )  # fmt: skip
    known = _metrics_of(rows, table.task)
    for metric in table.metrics or ():
        if metric not in known:
            raise unknown_name("metric", metric, known, where=where)
    metrics = table.metrics if table.metrics is not None else tuple(known)
    columns = [_column(rows, table.task, metric) for metric in metrics]
    columns += [Column(metric=metric, **info) for metric, info in COSTS.items() if metric not in metrics]  # type: ignore[arg-type]
    return Table(
        name, table.title, table.task, chosen, tuple(columns), table.note, table.baseline or baseline,
        about_task(rows, table.task), table.crossed, table.published,
    )  # fmt: skip


def _metrics_of(rows: Rows, task: str) -> list[str]:
    """Per-image metrics as the rows list them, then set metrics, then those that no row could measure."""
    records = [rows.records[row, task] for row in rows.rows_of(task)]
    image = [metric for record in records for metric in record["image_metrics"]]
    sets = [metric for record in records for metric in sorted(record["set_metrics"])]
    missing = [metric for record in records for metric in sorted(record["unavailable"])]
    return list(dict.fromkeys(image + sets + missing))


def _column(rows: Rows, task: str, metric: str) -> Column:
    info = rows.metric_info(task, metric)
    if info is None:  # no row could measure it: nothing is known of it but its name
        return Column(metric, "", None, 4, "not measured here", "image")
    return Column(metric, info["unit"], info["higher_is_better"], info["digits"], info["protocol"], info["of"])
