"""The papers' own numbers: they stand beside what was measured and never in its column."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

from srledger.errors import SrledgerError

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
