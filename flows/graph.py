"""DVC's stage graph as values: which stages there are, what each waits for, and why it is out of date."""

from __future__ import annotations

import dataclasses
import graphlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from srledger.errors import SrledgerError, unknown_name

BUSY = ("is busy, it is being blocked by", "Unable to acquire lock")  # another DVC works in this folder
ASK_AGAIN_S = 2.0


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml or of ablations/dvc.yaml.

    Attributes:
        name: DVC's address of it, such as ``train@rrdb`` or ``ablations/dvc.yaml:train@rrdb__width_16``.
        after: names of the stages whose outputs it reads.
        changed: why DVC says it is out of date; empty when nothing that it reads or makes has changed.
    """

    name: str
    after: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """``train`` of ``train@rrdb``."""
        return self.name.rpartition(":")[2].partition("@")[0]

    @property
    def item(self) -> str:
        """``rrdb`` of ``train@rrdb``; empty for a stage that stands alone."""
        return self.name.rpartition(":")[2].partition("@")[2]

    @property
    def file(self) -> str:
        """The file that it stands in, ``dvc.yaml`` or ``ablations/dvc.yaml``."""
        return self.name.rpartition(":")[0] or "dvc.yaml"

    @property
    def label(self) -> str:
        """What a person reads: ``train@rrdb``; ``ablations/report``, so that two reports differ."""
        folder = "" if self.item else self.file.removesuffix("dvc.yaml")
        return folder + self.name.rpartition(":")[2]


class StageGraph(Mapping[str, Stage]):
    """Stages by name, in the order in which `dvc repro` would run them."""

    def __init__(self, stages: Mapping[str, Stage]) -> None:
        """Raises SrledgerError when stages wait for each other."""
        self._stages = dict(stages)
        waits = {name: [other for other in stage.after if other in stages] for name, stage in stages.items()}
        try:
            self._order = tuple(graphlib.TopologicalSorter(waits).static_order())
        except graphlib.CycleError as error:
            raise SrledgerError("stages wait for each other", found=" -> ".join(error.args[1])) from None
        self._upstream = waits

    def __getitem__(self, name: str) -> Stage:
        return self._stages[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __len__(self) -> int:
        return len(self._stages)

    def upstream(self, name: str) -> list[str]:
        """Stages of this graph whose outputs ``name`` reads."""
        return self._upstream[name]

    def up_to(self, names: Collection[str]) -> StageGraph:
        """The part of the graph that ``names`` need, themselves included."""
        wanted: set[str] = set(names)
        for name in reversed(self._order):
            if name in wanted:
                wanted.update(self._upstream[name])
        return StageGraph({name: stage for name, stage in self._stages.items() if name in wanted})

    def may_run(self) -> list[str]:
        """Stages that are out of date, and those after them: what a run of the graph may have to run."""
        marked: set[str] = set()
        for name, stage in self._stages.items():
            if stage.changed or marked.intersection(self._upstream[name]):
                marked.add(name)
        return [name for name in self._stages if name in marked]


def read_graph(
    root: Path, targets: Sequence[str] = (), *, wait_s: float = 0.0, say: Callable[[str], None] = lambda line: None
) -> StageGraph:
    """Ask DVC once for the graph of ``targets`` (stages or .yaml files; none: all of dvc.yaml) and its state.

    DVC can't answer while a stage runs in this folder: it is asked again for ``wait_s`` seconds.

    Raises:
        SrledgerError: an unknown stage (with the nearest name), a broken dvc.yaml, or a folder that stays busy.
    """
    give_up_s = time.monotonic() + wait_s
    while True:
        asked = subprocess.run(
            [sys.executable, "-m", "flows.read_graph", *targets], cwd=root, capture_output=True, text=True, check=False
        )
        if asked.returncode == 0:
            return graph_of(json.loads(asked.stdout.splitlines()[-1]))
        found = asked.stderr.strip().splitlines()[-1:] or [f"status {asked.returncode}"]
        if not any(sign in asked.stderr for sign in BUSY):
            raise SrledgerError("DVC can't read its graph", where=root / "dvc.yaml", found=found[0], mend="dvc status")
        if time.monotonic() >= give_up_s:
            raise SrledgerError(
                "another DVC works in this folder", where=root, found=found[0],
                mend="wait for it to end, or end it; after a kill -9: srledger doctor --fix",
            )  # fmt: skip
        say(f"waits for another DVC in this folder: {found[0]}")
        time.sleep(ASK_AGAIN_S)


def graph_of(answer: Mapping[str, Any]) -> StageGraph:
    """The graph from the answer of ``read_graph``. Raises SrledgerError for an unknown stage."""
    for name in answer["unknown"]:
        raise unknown_name("stage", name, answer["after"], where="dvc.yaml")
    return StageGraph(
        {
            name: Stage(name, tuple(answer["after"][name]), tuple(reasons(answer["status"].get(name, []))))
            for name in answer["order"]
        }
    )


def reasons(status: list[Any]) -> list[str]:
    """DVC's status of one stage in words: ``src/x.py modified``, ``params.yaml training modified``."""
    found = []
    for entry in status:
        if isinstance(entry, str):
            found.append(entry)  # "changed command", "always changed"
            continue
        for changes in entry.values():
            for path, change in changes.items():
                words = [f"{path} {key} {how}" for key, how in change.items()] if isinstance(change, dict) else None
                found += words or [f"{path} {change}"]
    return found
