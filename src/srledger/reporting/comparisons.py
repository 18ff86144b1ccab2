"""For each column of each table: who is best, who shares the place, and how each row stands to the baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from srledger.evaluation import statistics
from srledger.evaluation.statistics import BestGroup, Comparison, Interval
from srledger.reporting.cells import bootstrap_of
from srledger.reporting.config import ReportConfig
from srledger.reporting.layout import Column, Table
from srledger.reporting.rows import Rows


@dataclasses.dataclass(frozen=True)
class ColumnComparison:
    """The tests of one column. Each of the two lists is one Holm family.

    Attributes:
        group: best row and those not significantly worse; None when nothing can be tested.
        against_baseline: every other row minus the baseline; empty when the table has no baseline row.
    """

    column: Column
    group: BestGroup | None
    baseline: str | None
    against_baseline: tuple[Comparison, ...]

    @property
    def against_best(self) -> tuple[Comparison, ...]:
        """Every other row minus the best."""
        return self.group.comparisons if self.group else ()


def compare_table(rows: Rows, table: Table, config: ReportConfig) -> list[ColumnComparison]:
    """The tests of every metric column of ``table``, in column order."""
    return [
        _compare_sets(rows, table, column, config)
        if column.of == "set"
        else _compare_images(rows, table, column, config)
        for column in table.metrics
    ]


def _compare_images(rows: Rows, table: Table, column: Column, config: ReportConfig) -> ColumnComparison:
    samples = {}
    for row in table.rows:
        measured = rows.measured.get((row, table.task))
        if (
            measured
            and column.metric in measured.values
            and statistics.finite_images(measured.values[column.metric]).any()
        ):
            samples[row] = measured.values[column.metric]
    bootstrap = bootstrap_of(table.task, config)
    group = statistics.best_group(samples, bool(column.higher_is_better), bootstrap) if samples else None
    baseline = table.baseline if table.baseline in samples else None
    against = statistics.compare_rows(samples, baseline, bootstrap) if baseline else []
    return ColumnComparison(column, group, baseline, tuple(against))


def _compare_sets(rows: Rows, table: Table, column: Column, config: ReportConfig) -> ColumnComparison:
    samples = {row: found for row in table.rows if (found := set_sample(rows, row, table.task, column.metric, config))}
    if not samples:
        return ColumnComparison(column, None, None, ())
    best = statistics.best_row(
        {row: interval.value for row, (interval, _) in samples.items()}, bool(column.higher_is_better)
    )
    group = statistics.group_of(best, samples, statistics.compare_sets(samples, best, config.alpha), config.alpha)
    baseline = table.baseline if table.baseline in samples else None
    against: Sequence[Comparison] = statistics.compare_sets(samples, baseline, config.alpha) if baseline else []
    return ColumnComparison(column, group, baseline, tuple(against))


def set_sample(rows: Rows, row: str, task: str, metric: str, config: ReportConfig) -> tuple[Interval, float] | None:
    """Interval and standard error of a set metric; None without an error, as nothing can be tested then."""
    record = rows.records.get((row, task))
    if record is None or record["failed"] or metric not in record["set_metrics"]:
        return None
    entries = [record["set_metrics"][metric][seed] for seed in sorted(record["set_metrics"][metric], key=int)]
    values, errors = [entry["value"] for entry in entries], [entry["standard_error"] for entry in entries]
    error = statistics.set_standard_error(values, errors)
    if error is None:
        return None
    return statistics.set_interval(values, errors, min(entry["n"] for entry in entries), config.alpha), error
