"""What a report shows; the ``report`` block of params.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TableConfig(BaseModel):
    """One table: a task, its rows and its columns; null means all, in the order they were given.

    ``baseline`` is the row that the others are compared with; null: the report's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    task: str
    rows: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    note: str = ""
    baseline: str | None = None


class ReportConfig(BaseModel):
    """Settings of a report.

    Attributes:
        bootstrap_resamples: draws behind each interval and each sign-flip test.
        alpha: intervals cover ``1 - alpha``; a Holm-corrected p above it is "not significantly worse".
        baseline: the row that every other row is compared with, where a table has it.
        figure_images: pictures per task in the report (the first by id).
        tables: name -> table; when empty, one table per task under the task's name.
        links: label -> relative address of a related report (a scale and its ablations).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_resamples: int = Field(2000, ge=100, le=100_000)
    alpha: float = Field(0.05, gt=0, lt=0.5)
    baseline: str = "bicubic"
    figure_images: int = Field(8, ge=0, le=64)
    tables: dict[str, TableConfig] = {}
    links: dict[str, str] = {}
