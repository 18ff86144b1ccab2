"""Gates: what must hold between two stages. One file is one kind of gate; Great Expectations does the checking.

A gate looks at a table with one line per thing (an image, a pair, a map, a measured value) and an ``id`` column. What
passed is vouched for in ``data/<scale>/passed/<kind>``, which the next stages depend on; a gate that fails stops them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from srledger.config import Params
    from srledger.layout import Layout

KINDS = ("manifests", "pairs", "priors", "rows")


@dataclasses.dataclass(frozen=True)
class Check:
    """One expectation of a gate.

    Attributes:
        name, title: its key, and one line for a reader.
        expectation: class name in ``great_expectations.expectations``; ``arguments`` are its own. Nothing is
            said of empty (NaN) values unless the expectation is about them.
        why: what goes wrong where it does not hold.
        mend: what to do about it.
        severity: ``stop`` ends the stage; ``note`` is only told in the report.
    """

    name: str
    title: str
    expectation: str
    arguments: dict[str, Any]
    why: str
    mend: str = "remove or correct what is named"
    severity: Literal["stop", "note"] = "stop"

    @property
    def column(self) -> str:
        """The column that is looked at."""
        return self.arguments["column"]


@dataclasses.dataclass(frozen=True)
class Gate:
    """A table and what is expected of it.

    Attributes:
        name: its subject (a dataset, a task, ``<prior>/<task>``, a row), or ``<subject>/<what of it>``.
        frame: has a column ``id`` and at least one line.
        checks: in the order in which a reader wants them.
    """

    kind: str
    name: str
    frame: pd.DataFrame
    checks: tuple[Check, ...]


class Subjects(Protocol):
    """What the module of a kind offers."""

    def subjects(self, params: Params, layout: Layout) -> Mapping[str, str | None]:
        """Everything this kind is about, and why a subject has nothing to check at this scale (None: it has)."""

    def gates_of(self, subject: str, params: Params, layout: Layout) -> Iterator[Gate]:
        """The gates of one subject."""

    def fingerprint(self, subject: str, layout: Layout) -> str:
        """Hash of the data that passes."""


def unique(column: str, title: str, why: str, **more: Any) -> Check:
    """Every value stands once."""
    return Check(f"{column}_is_unique", title, "ExpectColumnValuesToBeUnique", {"column": column}, why, **more)


def known(column: str, title: str, why: str, **more: Any) -> Check:
    """No value is empty."""
    return Check(f"{column}_is_known", title, "ExpectColumnValuesToNotBeNull", {"column": column}, why, **more)


def empty(column: str, title: str, why: str, **more: Any) -> Check:
    """Every value is empty: there is nothing to tell."""
    return Check(f"{column}_is_empty", title, "ExpectColumnValuesToBeNull", {"column": column}, why, **more)


def between(column: str, least: float | None, most: float | None, title: str, why: str, **more: Any) -> Check:
    """Every value lies in ``[least, most]`` (None: no limit on that side)."""
    arguments = {"column": column, "min_value": least, "max_value": most}
    return Check(f"{column}_is_in_range", title, "ExpectColumnValuesToBeBetween", arguments, why, **more)


def equal(column: str, value: Any, title: str, why: str, **more: Any) -> Check:
    """Every value is ``value``."""
    arguments = {"column": column, "value_set": [value]}
    return Check(f"{column}_is_right", title, "ExpectColumnValuesToBeInSet", arguments, why, **more)
