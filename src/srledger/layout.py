"""Where things lie: the folders of one scale, relative to the project's top folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from srledger.io import fsync_folder, write_json

INACTIVE = "inactive.json"  # stands alone in the output of a stage that its scale does without
PUBLIC, RESTRICTED = "pictures", "restricted"  # below ``Layout.explored``: what a committed report may show, and not
ABLATION_MARK = "__"  # in the name of an ablation's row, between its base and what is changed; in no other name
ABLATIONS = "_ablations"  # behind the scale in the folders of the ablation grid
FAILED = "_failed"  # beside the results of the grid: why a row has none


def is_ablation(row: str) -> bool:
    """Whether a row belongs to the ablation grid: its name alone says so."""
    return ABLATION_MARK in row


class Layout:
    """Paths of one scale.

    Rows of the ablation grid lie apart from the others, in ``<scale>_ablations``; with ``ablations`` the report is
    the grid's too.
    """

    def __init__(self, scale: str, root: Path | None = None, *, ablations: bool = False) -> None:
        self.scale = scale
        self.root = root or Path()
        self.ablations = ablations

    @property
    def name(self) -> str:
        """What the report is called: ``quick`` or ``quick_ablations``."""
        return self.scale + (ABLATIONS if self.ablations else "")

    def _home(self, row: str) -> str:
        return self.scale + ABLATIONS if is_ablation(row) else self.name

    def entries(self) -> Path:
        """All rows and all priors of params.yaml, as JSON."""
        return self.root / "data" / self.scale / "entries"

    def raw(self, dataset: str) -> Path:
        """Packs and manifest of a dataset, at its own sizes."""
        return self.root / "data" / self.scale / "raw" / dataset

    def packs(self, task: str) -> Path:
        """HR and LR packs of a task."""
        return self.root / "data" / self.scale / "packs" / task

    def encoder(self, encoder: str) -> Path:
        """Weights, settings and curves of an encoder."""
        return self.root / "data" / self.scale / "encoders" / encoder

    def prior(self, prior: str) -> Path:
        """Maps of a prior, one folder per task."""
        return self.root / "data" / self.scale / "priors" / prior

    def gates(self, kind: str) -> Path:
        """What the gates of one kind (manifests, pairs, priors, rows) found."""
        return self.root / "data" / self._gated(kind) / "gates" / kind

    def explored(self) -> Path:
        """Facts and pictures of the datasets, for the report's data page."""
        return self.root / "data" / self.scale / "explored"

    def probes(self) -> Path:
        """What the probes of a report found, a table each."""
        return self.root / "data" / self.name / "probes"

    def probe_kept(self, fingerprint: str) -> Path:
        """What one probe found, kept for as long as nothing that it looked at changes; outside every DVC output."""
        return self.root / "scratch" / self.name / "probes" / fingerprint[:32]

    def result_kept(self, fingerprint: str) -> Path:
        """What one evaluation measured, kept for as long as nothing that it rests on changes; outside DVC's outputs."""
        return self.root / "scratch" / self.name / "results" / fingerprint[:32]

    def passed(self, kind: str) -> Path:
        """What a kind of gate vouches for; the next stages depend on it, and not on the results in ``gates``."""
        return self.root / "data" / self._gated(kind) / "passed" / kind

    def failed_gates(self, kind: str) -> Path:
        """The table that a failed gate leaves, outside every DVC output."""
        return self.root / "scratch" / self._gated(kind) / "gates" / f"{kind}.md"

    def data_docs(self, kind: str) -> Path:
        """Great Expectations' own pages; they load from the network, so they are no part of a report."""
        return self.root / "scratch" / self._gated(kind) / "data_docs" / kind

    def _gated(self, kind: str) -> str:
        return self.name if kind == "rows" else self.scale  # the grid has rows of its own, but the scale's data

    def run(self, row: str) -> Path:
        """Weights and curves of a row."""
        return self.root / "runs" / self._home(row) / row

    def result(self, name: str) -> Path:
        """Per-image rows of a row on its task, or of a transfer."""
        return self.root / "results" / self._home(name) / name

    def failure(self, row: str) -> Path:
        """Why a row has no result; stands where the report's stage watches, and only while there is none."""
        return self.root / "results" / self._home(row) / FAILED / f"{row}.json"

    def scratch(self, row: str, seed: int, fingerprint: str) -> Path:
        """Resume state of one seed, outside every DVC output."""
        return self.root / "scratch" / self._home(row) / row / f"seed{seed}" / fingerprint[:16]

    def watched(self, dataset: str) -> Path:
        """The state of the files outside the project that a dataset was read from."""
        return self.root / "scratch" / self.scale / "watched" / f"{dataset}.json"

    def machine(self) -> Path:
        """Seconds and memory as they were measured on this machine."""
        return self.root / "scratch" / self.scale / "machine"

    def report(self) -> Path:
        """The committed report."""
        return self.root / "reports" / self.name

    def private(self) -> Path:
        """Galleries of restricted pictures, never committed."""
        return self.root / "private" / self.name


@contextlib.contextmanager
def fresh_folder(final: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``final`` only when the block ends well."""
    part = final.parent / f".{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if final.exists():
        shutil.rmtree(final)
    part.replace(final)
    fsync_folder(final.parent)


def write_inactive(final: Path, why: str) -> None:
    """Leave word that this stage has nothing to do at this scale."""
    with fresh_folder(final) as folder:
        write_json(folder / INACTIVE, {"why": why})


def is_inactive(folder: Path) -> bool:
    """Whether a stage left word that it had nothing to do."""
    return (folder / INACTIVE).exists()


def cache_folder(kind: str) -> Path:
    """Where ``weights``, ``downloads`` or ``datasets`` are kept: below ``$SRLEDGER_CACHE`` or the user's cache."""
    named = os.environ.get("SRLEDGER_CACHE")
    if named:
        return Path(named) / kind
    import pooch

    return Path(pooch.os_cache("srledger")) / kind
