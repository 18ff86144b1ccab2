"""Half-made files and folders (``.<name>.part``): what a kill -9 left, older than every process that may be at work.

A stage that runs again replaces the folder of its own output; files keep a name that is never used again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from srledger.doctor.findings import Finding, Patient

LOOKED_IN = ("data", "runs", "results", "reports", "private", "scratch", "ablations", "published")


def find(patient: Patient) -> Iterator[Finding]:
    """One finding per half-made file or folder."""
    oldest_s = min((each.born_s for each in patient.processes.at_work()), default=time.time())
    for path in sorted(parts(patient.root)):
        try:
            changed_s, size_bytes = state(path)
        except FileNotFoundError:
            continue  # it took its name while we looked
        if changed_s < oldest_s:
            yield Finding(
                f"a half-made {'folder' if path.is_dir() else 'file'}, {size_bytes / 1024:.0f} KiB",
                patient.place(path),
                "removes it",
                changed_s,
                lambda path=path, changed_s=changed_s: _remove(path, changed_s),  # type: ignore[misc]
            )


def parts(root: Path) -> Iterator[Path]:
    """Everything half-made below the folders that stages write, and in the top folder itself."""
    yield from root.glob(".*.part")
    for name in LOOKED_IN:
        for folder, folders, files in os.walk(root / name):
            yield from (Path(folder, each) for each in [*folders, *files] if _is_part(each))
            folders[:] = [each for each in folders if not _is_part(each)]


def state(path: Path) -> tuple[float, int]:
    """When it or anything in it changed last, and how many bytes it holds."""
    inside = [path, *(path.rglob("*") if path.is_dir() else ())]
    found = [each.lstat() for each in inside]
    return max(each.st_mtime for each in found), sum(each.st_size for each in found)


def _is_part(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")


def _remove(path: Path, changed_s: float) -> None:
    if state(path)[0] > changed_s:
        return  # somebody writes to it after all
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
