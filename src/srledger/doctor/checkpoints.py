"""Torn checkpoints: tensors without their commit mark, a mark without them, or of other bytes than it names.

A training passes over them by itself (``training/checkpoint.py``); they take room, and tell
of a kill in the wrong moment or of a full disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from srledger.doctor.findings import Finding, Patient
from srledger.doctor.processes import is_locked
from srledger.errors import SrledgerError
from srledger.io import read_json, sha256_file

TORN = Path("scratch/torn")


def find(patient: Patient) -> Iterator[Finding]:
    """One finding per torn checkpoint, or torn finished weights, of a seed that nobody trains now."""
    for folder in sorted((patient.root / "scratch").glob("*/*/seed*/*/")):
        for stem, why in torn(folder):
            if is_locked(folder / "lock"):
                break  # its trainer is at work, and replaces it
            files = [path for path in parts_of(folder, stem) if path.exists()]
            if files:
                yield Finding(
                    f"{'finished weights' if stem == 'finished' else 'a checkpoint'} torn: {why}",
                    f"{patient.place(folder)}/{stem}",
                    f"moves it to {TORN}/; training goes on from the checkpoint before it",
                    files[0].stat().st_mtime,
                    lambda folder=folder, stem=stem: _move(patient.root, folder, stem),  # type: ignore[misc]
                )


def torn(folder: Path) -> Iterator[tuple[str, str]]:
    """(stem, why) of what is torn in the scratch folder of one seed."""
    steps = {match[1] for path in folder.glob("step_*") if (match := re.match(r"(step_\d+)\.\w+$", path.name))}
    stems = sorted(steps) + (["finished"] if (folder / "finished.json").exists() else [])
    for stem in stems:
        if why := _why(folder, stem):
            yield stem, why


def parts_of(folder: Path, stem: str) -> tuple[Path, Path]:
    """The tensors and the commit mark of a checkpoint, or of finished weights."""
    tensors = "weights" if stem == "finished" else stem
    return folder / f"{tensors}.safetensors", folder / f"{stem}.json"


def _why(folder: Path, stem: str) -> str:
    tensors, mark = parts_of(folder, stem)
    try:
        wanted = read_json(mark)["weights_sha256" if stem == "finished" else "sha256"]
    except FileNotFoundError:
        return "its commit mark is missing"
    except (ValueError, KeyError, TypeError):
        return "its commit mark can't be read"
    try:
        return "" if sha256_file(tensors) == wanted else "its tensors are not those that were saved"
    except FileNotFoundError:
        return "its tensors are missing"


def _move(root: Path, folder: Path, stem: str) -> None:
    try:
        with FileLock(folder / "lock", timeout=0):
            if not _why(folder, stem):
                return
            target = root / TORN / folder.relative_to(root / "scratch")
            target.mkdir(parents=True, exist_ok=True)
            for path in reversed(parts_of(folder, stem)):  # the commit mark goes first
                if path.exists():
                    path.replace(target / path.name)
    except Timeout:
        raise SrledgerError("a training has begun in this folder", where=folder) from None
