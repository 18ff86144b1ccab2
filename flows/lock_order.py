"""Lock files as plain `dvc repro` writes them: DVC appends a stage when it ends, and side by side that is by chance.

Entries that stood in a lock file before a run keep their places; new ones follow in the order in which `dvc repro`
would have run them. What stood there is noted in ``scratch/`` until the order is right, so that the run after a
kill -9 knows it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from srledger.io import read_json, write_bytes, write_json
from srledger.scales import LOCKS

ENTRY = re.compile(r"(?m)^  (?=\S)([^\n]+):\n")


def note_order(root: Path) -> None:
    """Note which entries the lock files hold now, unless a run that was killed has noted it."""
    if not _note(root).exists():
        write_json(_note(root), {name: list(_entries(root / name)[1]) for name in LOCKS if (root / name).exists()})


def put_in_order(root: Path, order: Iterable[str]) -> None:
    """Sort new entries of the lock files by ``order`` (stage addresses); the bytes of each entry stay as they are."""
    if not _note(root).exists():
        return
    noted, order = read_json(_note(root)), list(order)
    for name in LOCKS:
        path = root / name
        if not path.exists():
            continue
        head, entries = _entries(path)
        address = {stage: stage if name == "dvc.lock" else f"{name[:-4]}yaml:{stage}" for stage in entries}
        planned = sorted(entries, key=lambda stage: _place(order, address[stage]))
        wanted = dict.fromkeys([*(stage for stage in noted.get(name, []) if stage in entries), *planned])
        if list(wanted) != list(entries):
            write_bytes(path, (head + "".join(entries[stage] for stage in wanted)).encode("utf-8"))
    _note(root).unlink()


def _place(order: list[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _note(root: Path) -> Path:
    return root / "scratch" / "flows" / "lock_order.json"


def _entries(path: Path) -> tuple[str, dict[str, str]]:
    """The text before the first stage, and every stage's own text."""
    text = path.read_text(encoding="utf-8")
    starts = list(ENTRY.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    head = text[: starts[0].start()] if starts else text
    return head, {start[1].strip("'\""): text[start.start() : end] for start, end in zip(starts, ends, strict=True)}
