"""Weighted sums of the rows of a table in one metric, with intervals and tests as all comparisons have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from srledger.evaluation import statistics
from srledger.evaluation.statistics import Bootstrap, Interval
from srledger.reporting.cells import Cell, bootstrap_of
from srledger.reporting.comparisons import set_sample
from srledger.reporting.config import ReportConfig
from srledger.reporting.layout import Column, Table
from srledger.reporting.rows import Rows

ROUNDING = 1e-12  # a difference below this share of its terms is the order of a sum, and nothing else
Found = tuple[Interval, float | None, float | None]  # difference, p, p of the sign-flip test (None: no test)


class Numbers(Protocol):
    """The rows of a table in one metric."""

    def mean(self, rows: Sequence[str]) -> float:
        """Mean over rows, and over images and seeds."""

    def difference(self, weights: Mapping[str, float]) -> Found:
        """A sum of rows with weights that add up to zero."""


def numbers_of(
    rows: Rows, table: Table, column: Column, cells: Mapping[str, Cell], config: ReportConfig
) -> Numbers | None:
    """The rows that ``cells`` has, each with a value in ``column``; None: no image is finite in all of them."""
    if column.of == "set" and cells:
        return _OfSets(rows, table, column, cells, config)
    values = {row: rows.measured[row, table.task].values[column.metric] for row in cells}
    if not values or not statistics.finite_images(*values.values()).any():
        return None
    # Rows that share their weights share their seeds: what one training came to is the same on both sides.
    first: dict[str, str] = {}
    axes = {row: first.setdefault(cell.weights_sha256 or row, row) for row, cell in cells.items()}
    return _OfImages(values, axes, bootstrap_of(table.task, config))


class _OfImages:
    """Numbers of single images, those that are finite in every row."""

    def __init__(self, values: Mapping[str, np.ndarray], axes: Mapping[str, str], bootstrap: Bootstrap) -> None:
        mask = statistics.finite_images(*values.values())
        kept = {row: of_row[:, mask] for row, of_row in values.items()}
        self._bootstrap = bootstrap
        self._means = {row: of_row.mean(axis=0) for row, of_row in kept.items()}
        self._drawn = {row: statistics.bootstrap_means(of_row, axes[row], bootstrap) for row, of_row in kept.items()}

    def mean(self, rows: Sequence[str]) -> float:
        return float(np.mean([self._means[row] for row in rows]))

    def difference(self, weights: Mapping[str, float]) -> Found:
        of_images = _sum(weights, self._means)
        low, high = None, None
        if len(of_images) > 1:
            alpha = self._bootstrap.alpha
            low, high = (float(end) for end in np.quantile(_sum(weights, self._drawn), [alpha / 2, 1 - alpha / 2]))
        interval = Interval(float(of_images.mean()), low, high, len(of_images))
        return interval, statistics.directed_p(of_images), statistics.sign_flip_p(of_images, self._bootstrap)


def _sum(weights: Mapping[str, float], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    plus = np.sum([weight * arrays[row] for row, weight in weights.items() if weight > 0], axis=0)
    minus = np.sum([-weight * arrays[row] for row, weight in weights.items() if weight < 0], axis=0)
    difference = plus - minus
    return np.where(np.abs(difference) <= ROUNDING * (np.abs(plus) + np.abs(minus)), 0.0, difference)


class _OfSets:
    """Numbers of whole sets; where a row has no error, a sum with it is a value without interval or test."""

    def __init__(
        self, rows: Rows, table: Table, column: Column, cells: Mapping[str, Cell], config: ReportConfig
    ) -> None:
        self._cells = cells
        self._samples = {row: set_sample(rows, row, table.task, column.metric, config) for row in cells}
        self._alpha = config.alpha

    def mean(self, rows: Sequence[str]) -> float:
        return float(np.mean([self._value(row) for row in rows]))

    def difference(self, weights: Mapping[str, float]) -> Found:
        plus = self._side({row: weight for row, weight in weights.items() if weight > 0})
        minus = self._side({row: -weight for row, weight in weights.items() if weight < 0})
        if plus[1] is None or minus[1] is None:
            n = min(plus[0].n, minus[0].n)
            return Interval(plus[0].value - minus[0].value, None, None, n), None, None
        sides = {"plus": (plus[0], plus[1]), "minus": (minus[0], minus[1])}
        (found,) = statistics.compare_sets(sides, "minus", self._alpha)
        return found.difference, found.p, None

    def _side(self, weights: Mapping[str, float]) -> tuple[Interval, float | None]:
        value = sum(weight * self._value(row) for row, weight in weights.items())
        errors = [weight * sample[1] for row, weight in weights.items() if (sample := self._samples[row])]
        n = min(self._cells[row].n for row in weights)
        error = float(np.sqrt(np.sum(np.square(errors)))) if len(errors) == len(weights) else None
        return Interval(value, None, None, n), error

    def _value(self, row: str) -> float:
        return float(self._cells[row].value or 0.0)
