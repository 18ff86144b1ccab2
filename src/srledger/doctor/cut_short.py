"""A run at another scale that was killed: params.yaml and the lock files that it put aside are not back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from srledger.doctor.findings import Finding, Patient
from srledger.scales import KEPT, put_back


def find(patient: Patient) -> Iterator[Finding]:
    """At most one finding; none while a run goes on here: it may be the one that put them aside."""
    kept = patient.root / KEPT
    if not kept.exists() or patient.processes.runners():
        return
    mark = kept / "scale"
    what = "params.yaml" + "".join(f", {name}" for name in ("dvc.lock", "ablations/dvc.lock") if (kept / name).exists())
    if mark.exists():
        here = f"a run at another scale was killed: {what} of before lie in {KEPT}"
        remedy = f"puts them back ({mark.read_text(encoding='utf-8').strip()})"
    else:
        here, remedy = "copies that a run at another scale left; what was there is back already", "removes them"
    yield Finding(here, str(KEPT), remedy, kept.stat().st_mtime, lambda: _mend(patient.root, kept))


def _mend(root: Path, kept: Path) -> None:
    put_back(root)
    shutil.rmtree(kept, ignore_errors=True)
