"""Running another scale than the one in params.yaml, which stays as it is."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from srledger.config import Params
from srledger.errors import unknown_name
from srledger.io import write_bytes

SCALE_LINE = re.compile(r"(?m)^scale:[ \t]*\w+")


def targets_of(params: Params, rows: Iterable[str]) -> list[str]:
    """The stages of dvc.yaml that measure ``rows`` (variants, students or transfers)."""
    targets = []
    for name in rows:
        if name not in params.evaluations:
            raise unknown_name("row", name, params.evaluations, where="--only")
        if name in params.entries.transfers:
            group = "evaluate_transfers"
        else:
            group = "evaluate_students" if name in params.entries.students else "evaluate"
        targets.append(f"{group}@{name}")
    return targets


def repro_at(scale: str, targets: list[str], root: Path | None = None) -> int:
    """Run ``dvc repro`` with ``scale`` in params.yaml; returns its exit status."""
    root = root or Path()
    dvc = Path(sys.executable).parent / "dvc"  # the one of this environment, activated or not
    with _scale_in_params(scale, root):
        process = subprocess.Popen([str(dvc), "repro", *targets], cwd=root)
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # the terminal told DVC and the trainer too: wait until they have saved


@contextlib.contextmanager
def _scale_in_params(scale: str, root: Path) -> Iterator[None]:
    """Put ``scale`` into params.yaml, and back what was there; the lock of the default scale is kept aside.

    What was there lies in ``scratch/repro_before`` until it is back, so that a run after a kill -9 puts it back first.
    """
    params, lock = root / "params.yaml", root / "dvc.lock"
    kept_line, kept_lock = root / "scratch/repro_before/scale", root / "scratch/repro_before/dvc.lock"
    if kept_line.exists():
        _put_back(params, lock, kept_line, kept_lock)
    if lock.exists():
        write_bytes(kept_lock, lock.read_bytes())
    found = SCALE_LINE.search(params.read_text(encoding="utf-8"))
    assert found is not None, "params.yaml was read a moment ago"
    write_bytes(kept_line, found[0].encode("utf-8"))
    _write_scale(params, f"scale: {scale}")
    try:
        yield
    finally:
        _put_back(params, lock, kept_line, kept_lock)


def _write_scale(params: Path, line: str) -> None:
    """Change the scale alone: whatever else a person edited meanwhile stays."""
    write_bytes(params, SCALE_LINE.sub(line, params.read_text(encoding="utf-8"), count=1).encode("utf-8"))


def _put_back(params: Path, lock: Path, kept_line: Path, kept_lock: Path) -> None:
    _write_scale(params, kept_line.read_text(encoding="utf-8"))
    if kept_lock.exists():
        write_bytes(lock, kept_lock.read_bytes())
    else:
        lock.unlink(missing_ok=True)
    kept_line.unlink()
    kept_lock.unlink(missing_ok=True)
