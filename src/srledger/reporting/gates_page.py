"""The gates page: what was checked between the stages, how much of it, and what was noted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from srledger.gates import KINDS
from srledger.io import read_json
from srledger.reporting.html import render_page

GATES = "gates.json"
ABOUT = {
    "manifests": "Every dataset, before anything is made from it",
    "pairs": "Every task's HR and LR images, before anything is trained on them",
    "priors": "Every prior's maps, before a network sees them",
    "rows": "Every row's values, before they stand in a table",
}


@dataclasses.dataclass(frozen=True)
class CheckLine:
    """One check over all gates of a kind that make it. ``failed``: how many of them it stopped (none, in a report)."""

    check: Mapping[str, Any]
    gates: int
    values: int
    unexpected: int
    failed: int


@dataclasses.dataclass(frozen=True)
class GateLine:
    """One gate over all its checks. ``notes`` are those of its checks that found something to tell."""

    name: str
    checked: int
    checks: int
    values: int
    notes: tuple[Mapping[str, Any], ...]
    failed: int


@dataclasses.dataclass(frozen=True)
class KindView:
    """All gates of a kind: what they check, line by line, and what each found."""

    kind: str
    about: str
    checks: tuple[CheckLine, ...]
    gates: tuple[GateLine, ...]


def render_gates_page(rows_dir: Path) -> str:
    """The page as text, from ``rows_dir / GATES`` alone; it says so when nothing is there (rows of old)."""
    path = rows_dir / GATES
    gates = read_json(path) if path.exists() else []
    kinds = [*KINDS, *sorted({gate["kind"] for gate in gates} - set(KINDS))]
    views = [
        _view(kind, of_kind) for kind in kinds if (of_kind := [gate for gate in gates if gate["kind"] == kind])
    ]  # fmt: skip
    return render_page(
        "gates.html.j2", "gates.html",
        scale=read_json(rows_dir / "results.json")["scale"], views=views, summary=summarise(gates) if gates else "",
    )  # fmt: skip


def summarise(gates: Sequence[Mapping[str, Any]]) -> str:
    """``7 gates, 84 checks, 12,345 values, all passed; 3 notes``."""
    checks = [check for gate in gates for check in gate["checks"]]
    failed, notes = sum(map(_stopped, checks)), sum(map(_noted, checks))
    counts = [_count(len(gates), "gate"), _count(len(checks), "check"), _count(_values(checks), "value")]
    result = f"{_count(failed, 'check')} failed" if failed else "all passed"
    return ", ".join([*counts, result]) + (f"; {_count(notes, 'note')}" if notes else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _values(checks: Sequence[Mapping[str, Any]]) -> int:
    return sum(check["element_count"] for check in checks)


def _stopped(check: Mapping[str, Any]) -> bool:
    return check["severity"] == "stop" and not check["success"]


def _noted(check: Mapping[str, Any]) -> bool:
    return check["severity"] == "note" and not check["success"]


def _view(kind: str, gates: Sequence[Mapping[str, Any]]) -> KindView:
    by_check: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for gate in gates:
        for check in gate["checks"]:
            by_check.setdefault((check["check"], check["title"]), []).append(check)
    checks = [
        CheckLine(
            found[0], len(found), _values(found), sum(check["unexpected_count"] for check in found),
            sum(map(_stopped, found)),
        )
        for found in by_check.values()
    ]  # fmt: skip
    lines = [
        GateLine(
            gate["name"], gate["checked"], len(gate["checks"]), _values(gate["checks"]),
            tuple(filter(_noted, gate["checks"])), sum(map(_stopped, gate["checks"])),
        )
        for gate in gates
    ]  # fmt: skip
    return KindView(kind, ABOUT.get(kind, ""), tuple(checks), tuple(lines))
