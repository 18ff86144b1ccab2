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
    """The numbers of papers' rows, each named ``row`` (on ``task``) or ``row/task``; their notes say which row it is.

    Raises:
        SrledgerError: no paper has a row of that name on that task.
    """
    found = []
    known = {f"{row}/{of_task}" for row, of_task, _ in published}
    for name in names:
        full = name if "/" in name else f"{name}/{task}"
        if full not in known:
            raise unknown_name("published row", full, known, where="published/*.csv")
        row, of_task = full.split("/")
        for number in published.get((row, of_task, metric), ()):
            note = "; ".join(part for part in (f"there {row} on {of_task}", number.note) if part)
            found.append(dataclasses.replace(number, note=note))
    return tuple(found)
