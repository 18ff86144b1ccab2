"""Trainings as they lie in scratch: who trains, how far it is, and how it ended. No MLflow here."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from srledger.io import read_json
from srledger.layout import ABLATIONS, Layout
from srledger.tracking.owner import is_gone
from srledger.tracking.vitals import PROCESS, SAMPLES, read_samples

State = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]  # MLflow's words
FINISHED = "finished.json"


@dataclasses.dataclass(frozen=True)
class Training:
    """One seed of a row with one fingerprint, in its scratch folder."""

    folder: Path

    @property
    def row(self) -> str:
        """The variant, student or row of the grid."""
        return self.folder.parents[1].name

    @property
    def seed(self) -> int:
        """The seed."""
        return int(self.folder.parent.name.removeprefix("seed"))

    @property
    def id(self) -> str:
        """``smoke/landmark_unet/seed0/0123456789abcdef``: a run in MLflow carries it as a tag."""
        return "/".join(self.folder.parts[-4:])

    @property
    def process(self) -> dict[str, Any]:
        """Who trains it, or did last; ``failed`` when an error ended it."""
        found: dict[str, Any] = read_json(self.folder / PROCESS)
        return found

    @property
    def state(self) -> State:
        """RUNNING as long as its process lives and its weights are not there."""
        if (self.folder / FINISHED).exists():
            return "FINISHED"
        if not is_gone(self.process):
            return "RUNNING"
        return "FAILED" if "failed" in self.process else "KILLED"

    def curves(self) -> list[tuple[str, float, int]]:
        """(name, value, step) of all that was logged: to the end, or to the newest checkpoint."""
        for _ in range(3):  # a checkpoint may go while we look, as a newer one comes
            newest = max(self.folder.glob("step_*.json"), default=None)
            try:
                if (self.folder / FINISHED).exists():
                    found = read_json(self.folder / FINISHED)["curves"]
                else:
                    found = read_json(newest)["state"]["curves"] if newest else []
            except FileNotFoundError:
                continue
            return [(name, value, step) for step, name, value in found]
        return []

    def samples(self) -> list[tuple[str, float, int, int]]:
        """(name, value, number, unix time in ms) of the machine's samples."""
        return read_samples(self.folder / SAMPLES)


def trainings(scale: str, root: Path) -> Iterator[Training]:
    """Every training of a scale that was sampled on this machine, its grid's too."""
    here = socket.gethostname()
    for home in (scale, scale + ABLATIONS):
        for path in sorted((root / "scratch" / home).glob(f"*/seed*/*/{PROCESS}")):
            training = Training(path.parent)
            if training.process["host"] == here:  # a folder may be shared, or a copy
                yield training


def training_of(layout: Layout, row: str, seed: int, weights_sha256: str) -> Training | None:
    """The training that made these weights, if its scratch folder is still here."""
    for path in sorted(layout.scratch(row, seed, "").glob(f"*/{FINISHED}")):
        if read_json(path)["weights_sha256"] == weights_sha256:
            return Training(path.parent)
    return None
