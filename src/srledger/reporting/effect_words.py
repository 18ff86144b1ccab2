"""The effects of a crossed table in words and lines: every sentence is made from the numbers and says no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from srledger.evaluation.statistics import Interval, can_differ
from srledger.reporting.config import Question, ReportConfig
from srledger.reporting.effects import ColumnEffects, Effect, Estimate, Kept, TableEffects
from srledger.reporting.layout import Column, Table
from srledger.reporting.views import letter_of, p_text, signed_text

NOTHING = "no difference that the interval excludes zero from"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the table says to a question: a sentence per metric and level; ``figure`` is the name of its plot."""

    question: Question
    sentences: tuple[str, ...]
    figure: str

    @property
    def title(self) -> str:
        """The question in words."""
        return f"Is the effect of {self.question.factor} the same within each level of {self.question.within}?"


@dataclasses.dataclass(frozen=True)
class EffectCell:
    """An effect in one metric as shown; ``verdict`` is ``better``, ``worse``, ``same`` or empty (no test)."""

    estimate: Estimate
    text: str
    interval: str
    p: str
    verdict: str
    note: str

    @property
    def is_found(self) -> bool:
        """Whether the test finds it after Holm."""
        return self.verdict in ("better", "worse")


@dataclasses.dataclass(frozen=True)
class EffectLine:
    """An effect in every metric; None where rows are missing."""

    effect: Effect
    label: str
    cells: tuple[EffectCell | None, ...]


@dataclasses.dataclass(frozen=True)
class EffectsView:
    """The effects of a table as shown. ``columns`` are the metrics that have any."""

    table: Table
    columns: tuple[ColumnEffects, ...]
    answers: tuple[Answer, ...]
    lines: tuple[EffectLine, ...]
    notes: tuple[tuple[str, str], ...]
    foot: tuple[str, ...]


def effects_view(table: Table, found: TableEffects, config: ReportConfig) -> EffectsView:
    """The view of what ``table_effects`` found."""
    columns = tuple(column for column in found.columns if column.estimates)
    answers = tuple(
        Answer(question, tuple(_sentences(question, found, columns)), figure_name(table, question))
        for question in found.crossed.questions
        if all(len(found.crossed.factors[name]) > 1 for name in (question.factor, question.within))  # at this scale
    )
    shown = [effect for effect in found.effects if any(effect in column.estimates for column in columns)]
    cuts = [column.estimates[effect].cut for effect in shown for column in columns if effect in column.estimates]
    letters = {words: letter_of(k) for k, words in enumerate(dict.fromkeys(cut_words(cut) for cut in cuts if cut))}
    lines = tuple(
        EffectLine(effect, label_of(effect), tuple(_cell(effect, one, letters, config.alpha) for one in columns))
        for effect in shown
    )
    notes = tuple((letter, words) for words, letter in letters.items())
    return EffectsView(table, columns, answers, lines, notes, tuple(_foot(found, columns, config)))


def figure_name(table: Table, question: Question) -> str:
    """The name of a question's plot among the report's figures."""
    return f"interaction_{table.name}_{question.factor}_{question.within}"


def label_of(effect: Effect) -> str:
    """``prior: dino_max minus uniform, target v minus eps``."""
    label = f"{effect.factor}: {effect.level} minus {effect.reference}"
    if effect.within is None:
        return label
    return f"{label}, within {effect.within} {effect.at}{f' minus {effect.minus}' if effect.minus is not None else ''}"


def cut_words(cut: Kept) -> str:
    """``over batch 16 alone``: what stayed of the factors that lost levels."""
    return "over " + "; ".join(f"{name} {', '.join(levels)} alone" for name, levels in cut.items()) if cut else ""


def finding(difference: Interval, column: Column) -> str:
    """``better``, ``worse``, that the interval holds zero, or that there is none."""
    if difference.low is None or difference.high is None:
        return "no interval"
    if difference.low <= 0 <= difference.high:
        return NOTHING
    return "better" if (difference.low > 0) == column.higher_is_better else "worse"


def _sentences(question: Question, found: TableEffects, columns: tuple[ColumnEffects, ...]) -> Iterator[str]:
    reference, *levels = found.crossed.factors[question.factor]
    first, *others = found.crossed.factors[question.within]
    for column in columns:
        for level in levels:
            simple = [Effect(question.factor, level, reference, question.within, at) for at in (first, *others)]
            crossings = [Effect(question.factor, level, reference, question.within, at, first) for at in others]
            if not any(effect in column.estimates for effect in simple):
                continue
            parts = [_simple_words(effect, column) for effect in simple]
            parts += [_crossing_words(effect, column) for effect in crossings]
            metric = f"{column.column.metric} ({'higher' if column.column.higher_is_better else 'lower'} is better)"
            yield f"{question.factor} {level} against {reference}, {metric}: {'; '.join(parts)}."


def _simple_words(effect: Effect, column: ColumnEffects) -> str:
    estimate, where = column.estimates.get(effect), f"within {effect.within} {effect.at}"
    if estimate is None:
        return f"nothing {where}: rows are missing"
    said = finding(estimate.difference, column.column)
    return f"{_number(estimate, column.column)} {where} ({_aside(said, estimate)})"


def _crossing_words(effect: Effect, column: ColumnEffects) -> str:
    mirrored = Effect(
        effect.within or "", effect.at or "", effect.minus or "", effect.factor, effect.level, effect.reference
    )
    estimate = column.estimates.get(effect) or column.estimates.get(mirrored)
    what = f"difference of the differences, {effect.within} {effect.at} minus {effect.minus},"
    if estimate is None:
        return f"{what} not to be had: rows are missing"
    said = finding(estimate.difference, column.column)
    if said in ("better", "worse"):
        said = f"the effect is {said} within {effect.within} {effect.at}"
    return f"{what} {_number(estimate, column.column)} ({_aside(said, estimate)})"


def _number(estimate: Estimate, column: Column) -> str:
    return signed_text(estimate.difference, column, column.unit)


def _aside(said: str, estimate: Estimate) -> str:
    return "; ".join(part for part in (said, cut_words(estimate.cut)) if part)


def _cell(effect: Effect, column: ColumnEffects, letters: Mapping[str, str], alpha: float) -> EffectCell | None:
    estimate = column.estimates.get(effect)
    if estimate is None:
        return None
    text, _, interval = signed_text(estimate.difference, column.column).partition(" ")
    verdict, p = "", ""
    if estimate.p_holm is not None:
        better = (estimate.difference.value > 0) == column.column.higher_is_better
        verdict = "same" if estimate.p_holm > alpha else "better" if better else "worse"
        p = p_text(estimate.p_holm)
    return EffectCell(estimate, text, interval, p, verdict, letters.get(cut_words(estimate.cut), ""))


def _foot(found: TableEffects, columns: tuple[ColumnEffects, ...], config: ReportConfig) -> Iterator[str]:
    """What a reader must know, one sentence or two each."""
    factors = "; ".join(f"{name} {', '.join(levels)}" for name, levels in found.crossed.factors.items())
    yield (
        f"Factors, each with its reference level first: {factors}. An effect is a level minus the reference, image by "
        "image, averaged over all combinations of the other factors; a difference of differences is an effect within "
        "one level of another factor minus the same effect within that factor's reference level. Better and worse of "
        "it speak of the effect."
    )
    yield (
        f"Intervals ({100 * (1 - config.alpha):g} %) are each for itself: the bootstrap of the tables, over the images "
        "that are finite in every row. p: Wilcoxon signed-rank on per-image seed means (z-test for set metrics), after "
        "Holm over all effects of the table in one metric."
    )
    if found.trained and found.one_seed:
        yield (
            f"Between the levels of {', '.join(found.trained)} lies a training with one seed: how one training happens "
            "to end is part of these effects, and of what they do to others."
        )
    if found.sampled:
        yield f"The levels of {', '.join(found.sampled)} share their weights: no training lies between them."
    pairs = [(one.difference.n, len(column.estimates)) for column in columns for one in column.estimates.values()
             if one.p_sign_flip is not None]  # fmt: skip
    small = [n for n, family in pairs if not can_differ(n, family, config.alpha)]
    if small:
        yield f"{min(small)} images are too few for the test to find any effect."
    yield from _missing(found, columns)


def _missing(found: TableEffects, columns: tuple[ColumnEffects, ...]) -> Iterator[str]:
    """Levels and rows without numbers, and the effects that can't be had without them."""
    if levels := "; ".join(f"{name} {', '.join(of_factor)}" for name, of_factor in found.not_here.items() if of_factor):
        yield f"Without rows at this scale: {levels}."
    metrics: dict[tuple[str, str], list[str]] = {}
    for column in columns:
        for row, why in column.missing.items():
            metrics.setdefault((row, why), []).append(column.column.metric)
    rows: dict[str, list[str]] = {}
    for (row, why), of_row in metrics.items():
        everywhere = len(of_row) == len(columns)
        rows.setdefault(why if everywhere else f"{why}, in {', '.join(of_row)}", []).append(row)
    if rows:
        listed = "; ".join(f"{', '.join(names)} ({why})" for why, names in rows.items())
        yield f"Missing: {listed}. An effect is averaged over combinations that are all there, or is not given."
    lost = [effect for effect in found.effects if columns and not any(effect in one.estimates for one in columns)]
    if lost:
        yield f"Not to be had for want of rows: {'; '.join(label_of(effect) for effect in lost)}."
    empty = [column for column in found.columns if not column.estimates]
    for why in dict.fromkeys(_why_empty(column) for column in empty):
        yield f"No effects in {', '.join(one.column.metric for one in empty if _why_empty(one) == why)}: {why}."


def _why_empty(column: ColumnEffects) -> str:
    return "; ".join(dict.fromkeys(column.missing.values())) or "no image is finite in every row"
