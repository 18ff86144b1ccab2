"""The papers' own numbers: they stand beside what was measured and never in its column."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from srledger.errors import SrledgerError, unknown_name

FIELDS = ("paper", "artefact", "task", "row", "metric", "value", "unit", "source", "grade", "note")


@dataclasses.dataclass(frozen=True)
class Published:
    """One number as a paper gives it; ``value`` keeps the digits that were printed."""

    paper: str
    artefact: str
    task: str
    row: str
    metric: str
    value: str
    unit: str
    source: str
    grade: str
    note: str

    @property
    def citation(self) -> str:
        """Where the number comes from, on one line."""
        parts = [" ".join(part for part in (self.paper, self.artefact) if part), self.source]
        grade = f"grade {self.grade}" if self.grade else ""
        return "; ".join(part for part in [*parts, grade, self.note] if part)


def read_published(folder: Path) -> dict[tuple[str, str, str], list[Published]]:
    """(row, task, metric) -> numbers, the best grade first, then in file order.

    Raises:
        SrledgerError: a file's header is not FIELDS.
    """
    found: dict[tuple[str, str, str], list[Published]] = {}
    for path in sorted(folder.glob("*.csv")) if folder.is_dir() else []:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != FIELDS:
                raise SrledgerError(
                    "a file of published numbers has another header", where=path.name,
                    found=",".join(reader.fieldnames or ()), expected=",".join(FIELDS),
                )  # fmt: skip
            for line in reader:
                number = Published(**{field: (line[field] or "").strip() for field in FIELDS})
                if number.value:
                    found.setdefault((number.row, number.task, number.metric), []).append(number)
    return {key: sorted(numbers, key=lambda number: number.grade or "~") for key, numbers in found.items()}


def published_beside(
    published: Mapping[tuple[str, str, str], list[Published]], names: Iterable[str], task: str, metric: str
) -> tuple[Published, ...]:
    """The numbers of papers' rows in a metric, with notes that say which row it is.

    Args:
        names: ``row`` (on ``task``), ``row/task``, or ``row/task/artefact`` (that table or figure alone).

    Raises:
        SrledgerError: no paper has a row of that name.
    """
    found = []
    for name in names:
        row, of_task, artefact = (*name.split("/", 2), "", "")[:3]
        of_row = [one for key, numbers in published.items() if key[:2] == (row, of_task or task) for one in numbers]
        wanted = [one for one in of_row if artefact in ("", one.artefact)]
        if not wanted:
            known = {f"{row}/{on}" for row, on, _ in published} | {f"{row}/{of_task}/{one.artefact}" for one in of_row}
            raise unknown_name("published row", name, known, where="published/*.csv")
        for number in wanted:
            note = "; ".join(part for part in (f"there {number.row} on {number.task}", number.note) if part)
            found += [dataclasses.replace(number, note=note)] if number.metric == metric else []
    return tuple(found)
