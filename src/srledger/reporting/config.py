"""What a report shows; the ``report`` block of params.yaml."""

from __future__ import annotations

import itertools
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Question(BaseModel):
    """Does a factor do the same within each level of another?"""

    model_config = ConfigDict(frozen=True, extra="forbid")

    factor: str
    within: str

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.factor == self.within:
            raise ValueError("a factor can't be asked for within itself")
        return self


class Crossed(BaseModel):
    """How the rows of a table combine the levels of its factors.

    Attributes:
        factors: factor -> its levels; the others are compared with the first.
        rows: row -> its level of each factor, in that order; rows that a scale does without too.
        questions: what is answered first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    factors: dict[str, tuple[str, ...]] = Field(min_length=1)
    rows: dict[str, tuple[str, ...]]
    questions: tuple[Question, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        combinations = set(itertools.product(*self.factors.values()))
        for row, levels in self.rows.items():
            if levels not in combinations:
                raise ValueError(f"'{row}' has not one level of each factor")
        if len(set(self.rows.values())) < len(self.rows):
            raise ValueError("two rows have the same levels")
        for question in self.questions:
            if {question.factor, question.within} - set(self.factors):
                raise ValueError(f"a question is about a factor that is none of {', '.join(self.factors)}")
        return self


class TableConfig(BaseModel):
    """One table: a task, its rows and its columns; null means all, in the order they were given.

    ``baseline`` is the row that the others are compared with; null: the report's. ``crossed`` says that the rows are
    combinations of factors. ``published`` names papers' rows that stand beside a row: ``row``, ``row/task`` or
    ``row/task/artefact``; otherwise the papers' row of its own name does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    task: str
    rows: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    note: str = ""
    baseline: str | None = None
    crossed: Crossed | None = None
    published: dict[str, tuple[str, ...]] = {}


class RefereeConfig(BaseModel):
    """What was asked of one paper: questions that tables answer, each against its baseline, and probes.

    A question's title is its words; its metrics are what it is answered in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    text: str = ""
    probes: tuple[str, ...] = ()
    questions: dict[str, TableConfig] = {}


class ReportConfig(BaseModel):
    """Settings of a report.

    Attributes:
        bootstrap_resamples: draws behind each interval and each sign-flip test.
        alpha: intervals cover ``1 - alpha``; a Holm-corrected p above it is "not significantly worse".
        baseline: the row that every other row is compared with, where a table has it.
        figure_images: pictures per task in the report (the first by id).
        tables: name -> table; when empty, one table per task under the task's name.
        referee: what referees asked, paper by paper.
        links: label -> relative address of a related report (a scale and its ablations).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_resamples: int = Field(2000, ge=100, le=100_000)
    alpha: float = Field(0.05, gt=0, lt=0.5)
    baseline: str = "bicubic"
    figure_images: int = Field(8, ge=0, le=64)
    tables: dict[str, TableConfig] = {}
    referee: dict[str, RefereeConfig] = {}
    links: dict[str, str] = {}
