"""What a crossed table found: the effect of each factor, and how it depends on another factor's level.

Every effect is a weighted sum of rows whose weights add up to zero, taken image by image. It is estimated on a whole
set of combinations alone: where rows are missing, levels of the other factors are left out until none is missing.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

from srledger.evaluation.statistics import Interval, holm
from srledger.reporting.cells import Cell
from srledger.reporting.config import Crossed, Question, ReportConfig
from srledger.reporting.effect_numbers import Numbers, numbers_of
from srledger.reporting.layout import Column, Table
from srledger.reporting.rows import Rows

NOT_HERE = "does not run at this scale"

Levels = tuple[str, ...]  # one of each factor, in the order of the factors
Kept = dict[str, tuple[str, ...]]  # factor -> some of its levels


@dataclasses.dataclass(frozen=True)
class Effect:
    """A level of a factor minus a reference level, averaged over the combinations of the other factors.

    Attributes:
        within: another factor that is held at the level ``at``; None: a main effect.
        minus: a level of ``within`` whose effect is subtracted: the difference of the differences. None: it is not.
    """

    factor: str
    level: str
    reference: str
    within: str | None = None
    at: str | None = None
    minus: str | None = None

    @property
    def kind(self) -> str:
        """``main``, ``simple`` or ``interaction``."""
        return "main" if self.within is None else "simple" if self.minus is None else "interaction"

    @property
    def fixed(self) -> Kept:
        """The factors that the effect is about, with the levels that it needs."""
        fixed: Kept = {self.factor: (self.reference, self.level)}
        if self.within is not None:
            fixed[self.within] = tuple(level for level in (self.minus, self.at) if level is not None)
        return fixed

    def sign(self, levels: Mapping[str, str]) -> int:
        """How a row with these levels enters the sum: 1, -1 or 0."""
        sign = {self.level: 1, self.reference: -1}.get(levels[self.factor], 0)
        if self.within is not None:
            sign *= 1 if levels[self.within] == self.at else -1 if levels[self.within] == self.minus else 0
        return sign


@dataclasses.dataclass(frozen=True)
class Estimate:
    """An effect in one metric.

    Attributes:
        cut: factors of which levels had to be left out, with those that stayed; empty: it is over all combinations.
        p: None where nothing can be tested; p_holm: after Holm over all effects of the table in this metric.
        p_sign_flip: None for set metrics.
    """

    difference: Interval
    cut: Kept
    p: float | None
    p_holm: float | None
    p_sign_flip: float | None


@dataclasses.dataclass(frozen=True)
class Profile:
    """The points of an interaction plot: (level of the factor, level of the other) -> mean.

    Each interval is that of the point's distance to the mean of all points, image by image: what images have in common
    is no part of it (Cousineau 2005).
    """

    points: dict[tuple[str, str], Interval]
    cut: Kept


@dataclasses.dataclass(frozen=True)
class ColumnEffects:
    """The effects in one metric. ``missing`` says why rows have no number; effects that need them are not there."""

    column: Column
    estimates: dict[Effect, Estimate]
    profiles: dict[Question, Profile]
    missing: dict[str, str]


@dataclasses.dataclass(frozen=True)
class TableEffects:
    """The effects of a table.

    Attributes:
        crossed: the levels that have rows at this scale. not_here: those that have none.
        trained: factors between whose levels lies a training. sampled: those whose levels share their weights.
        one_seed: some row was trained once alone.
    """

    crossed: Crossed
    not_here: Kept
    effects: tuple[Effect, ...]
    columns: tuple[ColumnEffects, ...]
    trained: tuple[str, ...]
    sampled: tuple[str, ...]
    one_seed: bool


def effects_of(crossed: Crossed) -> tuple[Effect, ...]:
    """Main effects; differences of differences of each two factors; effects within levels, where they are asked for.

    A pair of factors stands as the first question about it has it, else in the order of the factors.
    """
    main = [Effect(name, level, own) for name, (own, *others) in crossed.factors.items() for level in others]
    asked = [(question.factor, question.within) for question in crossed.questions]
    pairs = [
        (second, first) if (second, first) in asked and (first, second) not in asked else (first, second)
        for first, second in itertools.combinations(crossed.factors, 2)
    ]
    crossings = [effect for pair in pairs for effect in _within(crossed, *pair, differences=True)]
    simple = [effect for pair in dict.fromkeys(asked) for effect in _within(crossed, *pair, differences=False)]
    return (*main, *crossings, *simple)


def _within(crossed: Crossed, factor: str, within: str, *, differences: bool) -> Iterable[Effect]:
    reference, *levels = crossed.factors[factor]
    first, *others = crossed.factors[within]
    for level in levels:
        for at in others if differences else (first, *others):
            yield Effect(factor, level, reference, within, at, first if differences else None)


def table_effects(rows: Rows, table: Table, cells: Sequence[Cell], config: ReportConfig) -> TableEffects | None:
    """The effects of every metric of a crossed table, from its rows and cells; None for other tables."""
    if table.crossed is None:
        return None
    crossed = _here(table.crossed, table.rows)
    not_here = {
        name: tuple(level for level in levels if level not in crossed.factors[name])
        for name, levels in table.crossed.factors.items()
    }
    effects = effects_of(crossed)
    of_table = {(cell.row, cell.metric): cell for cell in cells if cell.table == table.name}
    columns = [_column_effects(rows, table, crossed, column, effects, of_table, config) for column in table.metrics]
    measured = {cell.row: cell for cell in of_table.values() if cell.n}
    trained, sampled = _what_lies_between(crossed, {row: cell.weights_sha256 for row, cell in measured.items()})
    one_seed = any(cell.weights_sha256 and len(cell.seeds) == 1 for cell in measured.values())
    return TableEffects(crossed, not_here, effects, tuple(columns), trained, sampled, one_seed)


def _here(crossed: Crossed, rows: Sequence[str]) -> Crossed:
    """Without the levels of which no row runs at this scale."""
    found = [set(levels) for levels in zip(*(crossed.rows[row] for row in rows if row in crossed.rows), strict=True)]
    factors = {
        name: tuple(level for level in levels if level in of_rows)
        for (name, levels), of_rows in zip(crossed.factors.items(), found, strict=True)
    }
    combinations = set(itertools.product(*factors.values()))
    kept = {row: levels for row, levels in crossed.rows.items() if levels in combinations}
    return crossed.model_copy(update={"factors": factors, "rows": kept})


def _what_lies_between(crossed: Crossed, weights: Mapping[str, str]) -> tuple[Levels, Levels]:
    """Factors whose levels have weights of their own, and those whose levels share them."""
    trained, sampled = [], []
    for k, factor in enumerate(crossed.factors):
        alike: dict[Levels, list[str]] = {}  # the other factors' levels -> weights of the rows with them
        for row in crossed.rows.keys() & weights.keys():
            levels = crossed.rows[row]
            alike.setdefault((*levels[:k], *levels[k + 1 :]), []).append(weights[row])
        if any(len(set(found)) > 1 for found in alike.values()):
            trained.append(factor)
        elif any(len(found) > 1 for found in alike.values()):
            sampled.append(factor)
    return tuple(trained), tuple(sampled)


def _column_effects(
    rows: Rows, table: Table, crossed: Crossed, column: Column, effects: Sequence[Effect],
    cells: Mapping[tuple[str, str], Cell], config: ReportConfig,
) -> ColumnEffects:  # fmt: skip
    missing = {", ".join(levels): "no row has these levels" for levels in itertools.product(*crossed.factors.values())
               if levels not in crossed.rows.values()}  # fmt: skip
    measured: dict[str, Cell] = {}
    for row in crossed.rows:
        cell = cells.get((row, column.metric))
        if cell is None:
            missing[row] = NOT_HERE
        elif cell.value is None:
            missing[row] = cell.status
        else:
            measured[row] = cell
    numbers = numbers_of(rows, table, column, measured, config)
    if numbers is None:
        return ColumnEffects(column, {}, {}, missing)
    row_of = {levels: row for row, levels in crossed.rows.items() if row in measured}
    estimates = {}
    for effect in effects:
        kept = _set_of(crossed, row_of.keys(), effect)
        if kept is not None:
            difference, p, p_sign_flip = numbers.difference(_weights(effect, kept, row_of))
            estimates[effect] = Estimate(difference, _cut(crossed, kept, effect.fixed), p, None, p_sign_flip)
    tested = {effect: one.p for effect, one in estimates.items() if one.p is not None}
    for effect, p_holm in zip(tested, holm(list(tested.values())), strict=True):
        estimates[effect] = dataclasses.replace(estimates[effect], p_holm=p_holm)
    profiles = {question: _profile(crossed, question, row_of, numbers) for question in crossed.questions}
    return ColumnEffects(column, estimates, {key: one for key, one in profiles.items() if one}, missing)


def _set_of(crossed: Crossed, there: Iterable[Levels], effect: Effect) -> Kept | None:
    """What an effect is averaged over: where it can be, one set for all levels of the two factors that it is about."""
    all_levels = {name: crossed.factors[name] for name in effect.fixed}
    alike = whole_set(crossed, there, all_levels) if effect.within is not None else None
    return alike or whole_set(crossed, there, effect.fixed)


def whole_set(crossed: Crossed, there: Iterable[Levels], fixed: Kept) -> Kept | None:
    """Levels of every factor whose combinations are all ``there``, with all that ``fixed`` names; None: not to be had.

    The level with the most missing combinations goes first, of equals the last; a factor keeps one level at least.
    """
    kept = {name: fixed.get(name, levels) for name, levels in crossed.factors.items()}
    there = set(there)
    while holes := [levels for levels in itertools.product(*kept.values()) if levels not in there]:
        counts = [
            (sum(hole[k] == level for hole in holes), k, j)
            for k, (name, levels) in enumerate(kept.items())
            for j, level in enumerate(levels)
            if name not in fixed and len(levels) > 1
        ]
        if not counts or max(counts)[0] == 0:
            return None
        _, k, j = max(counts)
        name = list(kept)[k]
        kept[name] = kept[name][:j] + kept[name][j + 1 :]
    return kept


def _cut(crossed: Crossed, kept: Kept, fixed: Iterable[str]) -> Kept:
    return {name: levels for name, levels in kept.items() if name not in fixed and levels != crossed.factors[name]}


def _weights(effect: Effect, kept: Kept, row_of: Mapping[Levels, str]) -> dict[str, float]:
    combinations = list(itertools.product(*kept.values()))
    signs = {row_of[levels]: effect.sign(dict(zip(kept, levels, strict=True))) for levels in combinations}
    # An effect is a mean of differences between two rows, an interaction one of differences between four.
    share = (2 if effect.kind == "interaction" else 1) / sum(sign > 0 for sign in signs.values())
    return {row: sign * share for row, sign in signs.items()}


def _profile(crossed: Crossed, question: Question, row_of: Mapping[Levels, str], numbers: Numbers) -> Profile | None:
    both = {name: crossed.factors[name] for name in (question.factor, question.within)}
    kept = whole_set(crossed, row_of.keys(), both) or whole_set(crossed, row_of.keys(), {})
    if kept is None or min(len(kept[name]) for name in both) < 2:
        return None
    place = [list(kept).index(name) for name in (question.factor, question.within)]
    rows_at: dict[tuple[str, str], list[str]] = {}
    for levels in itertools.product(*kept.values()):
        rows_at.setdefault((levels[place[0]], levels[place[1]]), []).append(row_of[levels])
    every = [row for rows in rows_at.values() for row in rows]
    mean = numbers.mean(every)
    points = {}
    for point, rows in rows_at.items():
        weights = {row: (row in rows) / len(rows) - 1 / len(every) for row in every}
        distance, _, _ = numbers.difference(weights)
        low, high = (None if end is None else mean + end for end in (distance.low, distance.high))
        points[point] = Interval(mean + distance.value, low, high, distance.n)
    return Profile(points, _cut(crossed, kept, both))
