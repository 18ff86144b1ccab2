"""Services that were started and are gone: their records, and what they left running."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from srledger.doctor.findings import Finding, Patient
from srledger.io import read_json
from srledger.services import end_left, is_alive, left_of


def find(patient: Patient) -> Iterator[Finding]:
    """One finding per record in ``scratch/services`` whose process has ended."""
    for path in sorted((patient.root / "scratch" / "services").glob("*.json")):
        try:
            record = read_json(path)
        except ValueError:
            record = {}
        if path.name == "deployed.json" or is_alive(record):
            continue
        left = left_of(record)
        ends = f"ends what it left running (pid {', '.join(map(str, left))}) and " if left else ""
        yield Finding(
            f"service {path.stem} has died (pid {record.get('pid', 'unknown')}); its log says why",
            patient.place(path),
            f"{ends}removes the record; `srledger services up` starts it again",
            path.stat().st_mtime,
            lambda path=path, record=record: _forget(path, record),  # type: ignore[misc]
        )


def _forget(path: Path, record: Mapping[str, int]) -> None:
    end_left(record)
    path.unlink(missing_ok=True)
