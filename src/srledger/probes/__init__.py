"""Probes: each file is one analysis of restored images or prior maps, beyond the metrics of the tables.

A probe has two halves that never meet in one process. ``measure`` looks at images, maps and rows, and gives a table of
plain numbers that may be published. ``show`` makes tables and figures from that table alone, so that a report can be
rendered again anywhere.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from srledger.evaluation.statistics import Bootstrap, Interval, mean_interval
from srledger.plugins import PluginConfig
from srledger.reporting.published import Published

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pyarrow as pa

    from srledger.probing.source import Source
    from srledger.reporting.pictures import Picture


INDEX = "index.json"  # the records of a report's probes, in the order of params.yaml; a table lies beside it for each


class RowsConfig(PluginConfig):
    """Settings of a probe of restored images."""

    rows: tuple[str, ...] = Field(description="rows or transfers of one task; of the grid: rows or tables too")
    images: int = Field(default=100, ge=1, description="the first test images; no more than were measured")
    seeds: int = Field(
        default=1, ge=1, description="how many of a row's training seeds are looked at, first ones first"
    )


class MapsConfig(PluginConfig):
    """Settings of a probe of prior maps."""

    task: str
    priors: tuple[str, ...] = Field(min_length=1, description="those that a scale does not make are passed over")
    images: int = Field(default=200, ge=1, description="the first test images")


class EncodersConfig(PluginConfig):
    """Settings of a probe of the networks behind the prior maps."""

    task: str = Field(description="whose images they look at")
    encoders: tuple[str, ...] = Field(
        min_length=1, description="entries of `encoders`, or plug-ins with published weights that no entry names"
    )


class DetectorsConfig(PluginConfig):
    """Settings of a probe of detectors, beside the data set's own landmarks."""

    task: str = Field(description="whose HR test images they look at")
    detectors: tuple[str, ...] = Field(
        min_length=1, description="entries of `encoders` that detect; those that can't be had are named and passed over"
    )
    images: int = Field(default=200, ge=1, description="the first test images")


class CodecsConfig(PluginConfig):
    """Settings of a probe of codecs, the encoders whose latents methods work on."""

    task: str = Field(description="whose HR test images they encode")
    codecs: tuple[str, ...] = Field(
        min_length=1,
        description="entries of `encoders` with latents; those that can't be had are named and passed over",
    )
    images: int = Field(default=100, ge=1, description="the first test images")


class ProbeUnavailable(Exception):
    """A probe can't be had here; its text is the reason and names nothing of this machine."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a probe found.

    Attributes:
        table: its numbers (ids as text, values as float32 or int32), in an order that hangs on nothing but the
            settings.
        facts: JSON values that are needed to read them (units, protocols, which metric was at hand, what is missing).
        pictures: uint8 ``H x W x 3`` each, by a name that does as a file name; a report has those of restricted data in
            its private gallery alone.
    """

    table: pa.Table
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pictures: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number of a shown table, with the decimals it is shown with and, where it has one, its interval."""

    value: float
    digits: int = 3
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Interval, digits: int = 3) -> Quantity:
        """A mean with its interval."""
        return cls(interval.value, digits, interval.low, interval.high)


ShownCell = str | int | Quantity | tuple[Published, ...] | None  # None: nothing can stand here
ShownLine = tuple[ShownCell, ...]


@dataclasses.dataclass(frozen=True)
class ShownTable:
    """A table of the page and of ``tables/``: every line as long as ``head``. ``name`` does as a file name."""

    name: str
    title: str
    head: tuple[str, ...]
    lines: tuple[ShownLine, ...]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ShownFigure:
    """A figure: SVG text as ``reporting.figures`` makes it."""

    name: str
    caption: str
    svg: str


@dataclasses.dataclass(frozen=True)
class ShownPicture:
    """A picture: the bytes of a PNG file. Made from pictures that this report may show, and from no others."""

    name: str
    caption: str
    png: bytes


@dataclasses.dataclass(frozen=True)
class ShownFile:
    """A further file beside the figures; ``name`` has its ending."""

    name: str
    caption: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a report shows of a probe, in this order; ``notes`` say how to read it."""

    figures: tuple[ShownFigure, ...] = ()
    tables: tuple[ShownTable, ...] = ()
    pictures: tuple[ShownPicture, ...] = ()
    files: tuple[ShownFile, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Look:
    """What ``show`` may use beside the table.

    Attributes:
        name: the probe's own; figures are salted with it.
        task: of its rows or maps. rows: the rows that were measured, in the order of params.yaml.
        seeds: of each row, those that were looked at.
        colours: row -> colour, the same in the whole report.
        published: (row, task, metric) -> numbers of papers.
        pictures: those of a task that this report may show.
        own: the pictures that ``measure`` left, by name; none where this report may not show them.
    """

    name: str
    task: str
    rows: tuple[str, ...]
    seeds: Mapping[str, Sequence[int]]
    colours: Mapping[str, str]
    published: Mapping[tuple[str, str, str], Sequence[Published]]
    pictures: Callable[[str], Sequence[Picture]]
    resamples: int = 2000
    alpha: float = 0.05
    own: Mapping[str, Path] = dataclasses.field(default_factory=dict)

    def mean(self, values: np.ndarray, axis: str) -> Interval:
        """Mean of ``S x N`` values (seeds by images) with its bootstrap interval; the images are drawn together.

        ``axis`` names what else the draws belong to: the row.
        """
        return mean_interval(values, axis, Bootstrap(self.task, self.resamples, self.alpha))

    def printed(self, row: str, metric: str, task: str | None = None) -> tuple[Published, ...]:
        """What papers print for a row."""
        return tuple(self.published.get((row, task or self.task, metric), ()))

    def printed_notes(self, task: str, metric: str | None = None) -> tuple[str, ...]:
        """What papers print of something that is no table of rows, each number as a sentence."""
        numbers = [
            one for (_, of, what), ones in sorted(self.published.items()) if of == task for one in ones
            if metric in (None, what)
        ]  # fmt: skip
        texts = (f"{one.row} {one.metric} {one.value} {one.unit}".rstrip() for one in numbers)
        return tuple(f"Published: {text} ({one.citation})." for text, one in zip(texts, numbers, strict=True))


class Probe(abc.ABC):
    """An analysis. Its ``Config`` derives from one of the five above; its docstring is shown to readers.

    The module must import neither torch nor matplotlib at its top: the report is made without the one, and the
    numbers without the other.
    """

    def __init__(self, config: PluginConfig) -> None:
        self.config = config

    @abc.abstractmethod
    def measure(self, source: Source) -> Measured:
        """Look at what ``source`` has. Raises ProbeUnavailable when there is nothing that it could look at."""

    @abc.abstractmethod
    def show(self, found: Measured, look: Look) -> Shown:
        """Tables and figures of what ``measure`` found; a pure function."""
