"""Sweeps as they lie on disk: the plan when one began, how it ended, and which rows it is about. No MLflow here."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from srledger.io import read_json, write_json
from srledger.layout import ABLATIONS
from srledger.tracking.owner import is_gone, this_process
from srledger.tracking.revision import revision
from srledger.tracking.trainings import State


@dataclasses.dataclass(frozen=True)
class Sweep:
    """One run of the sweep's flow: ``scratch/<scale>_ablations/sweeps/<id>.json``.

    The record holds ``name``, ``rows`` (of the grid, that it brings up to date), ``revision``, ``plan`` (stage, why,
    seconds last time), ``started_s`` (unix time), the process that runs it and, once it has ended, ``ended_s``,
    ``summary``, ``stages`` (label -> outcome) and ``failed`` (label -> why).
    """

    path: Path
    record: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Names the sweep; later ones sort behind."""
        return self.path.stem

    def state(self, gone: int | None = None) -> State:
        """RUNNING as long as its process lives; ``gone``: a process that is about to end."""
        if "ended_s" in self.record:
            return "FAILED" if self.record["failed"] else "FINISHED"
        return "KILLED" if is_gone(self.record) or self.record["pid"] == gone else "RUNNING"

    def end(self, summary: str, stages: Mapping[str, str], failed: Mapping[str, str]) -> None:
        """Leave word that it has ended."""
        ended = {"ended_s": time.time(), "summary": summary, "stages": dict(stages), "failed": dict(failed)}
        write_json(self.path, {**self.record, **ended})


def begin_sweep(root: Path, scale: str, name: str, rows: Iterable[str], plan: Iterable[Mapping[str, Any]]) -> Sweep:
    """Leave word of a sweep that begins in this process."""
    process, now_s = this_process(), time.time()
    stem = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now_s))}_{process['pid']}"
    record = {
        "name": name, "rows": list(rows), "revision": revision(root), "plan": list(plan), "started_s": now_s, **process,
    }  # fmt: skip
    path = _folder(root, scale) / f"{stem}.json"
    write_json(path, record)
    return Sweep(path, record)


def sweeps(root: Path, scale: str) -> Iterator[Sweep]:
    """Every sweep of a scale, the oldest first."""
    for path in sorted(_folder(root, scale).glob("*.json")):
        yield Sweep(path, read_json(path))


def _folder(root: Path, scale: str) -> Path:
    return root / "scratch" / (scale + ABLATIONS) / "sweeps"
