"""What a run is going to do, and how long that takes: said before it begins."""

from __future__ import annotations

import csv
import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from flows.graph import StageGraph
from flows.process import Result
from srledger.io import read_json, write_json

SHOWN_REASONS = 3
# machine.csv says what was done; the stage that did it is one of these
GROUPS = {
    "train": ("train", "train_encoder", "distill"),
    "evaluate": ("evaluate", "evaluate_students", "evaluate_transfers", "evaluate_sampled"),
}


@dataclasses.dataclass(frozen=True)
class PlannedStage:
    """A stage that may run: why, and how long it took last time (None: not known)."""

    label: str
    why: str
    seconds: float | None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What may run, in order, and how many stages need nothing."""

    stages: tuple[PlannedStage, ...]
    up_to_date: int

    @property
    def seconds(self) -> float:
        """Seconds of all stages whose time is known, one after another."""
        return sum(stage.seconds or 0.0 for stage in self.stages)

    def summary(self, leases: int) -> str:
        """``7 stages may run (2 of unknown time), 30 are up to date; about 1:40 with 2 leases``."""
        unknown = sum(stage.seconds is None for stage in self.stages)
        left = f"{len(self.stages)} stages may run{f' ({unknown} of unknown time)' if unknown else ''}"
        minutes, seconds = divmod(round(self.seconds / max(1, leases)), 60)
        about = f"; about {minutes}:{seconds:02d} with {leases} lease{'s' * (leases != 1)}" if self.seconds else ""
        return f"{left}, {self.up_to_date} are up to date{about}"


def make_plan(graph: StageGraph, seconds: Mapping[str, float], *, force: bool = False) -> Plan:
    """The plan of a graph. ``seconds``: label -> seconds of earlier runs."""
    names = list(graph) if force else graph.may_run()
    planned = []
    for name in names:
        stage = graph[name]
        why = ", ".join(stage.changed[:SHOWN_REASONS]) + (", ..." if len(stage.changed) > SHOWN_REASONS else "")
        before = [graph[other].label for other in graph.upstream(name) if other in names]
        why = why or ("asked for" if force else f"follows {', '.join(before[:SHOWN_REASONS])}")
        planned.append(PlannedStage(stage.label, why, seconds.get(stage.label)))
    return Plan(tuple(planned), len(graph) - len(names))


def earlier_seconds(root: Path, scale: str) -> dict[str, float]:
    """Seconds per stage label: of flows in this folder, else what the committed machine.csv measured elsewhere."""
    found: dict[str, float] = defaultdict(float)
    for report in (scale, f"{scale}_ablations"):
        path = root / "reports" / report / "machine.csv"
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    for group in GROUPS.get(line["stage"], ()):
                        found[f"{group}@{line['row']}"] += float(line["seconds"])
    own = _timings(root, scale)
    return {**found, **(read_json(own) if own.exists() else {})}


def note_seconds(root: Path, scale: str, graph: StageGraph, results: Mapping[str, Result]) -> None:
    """Remember how long the stages took that really ran."""
    own = _timings(root, scale)
    ran = {graph[name].label: round(result.seconds, 2) for name, result in results.items() if result.outcome == "ran"}
    if ran:
        write_json(own, {**(read_json(own) if own.exists() else {}), **ran})


def _timings(root: Path, scale: str) -> Path:
    return root / "scratch" / "flows" / f"seconds_{scale}.json"
