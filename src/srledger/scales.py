"""Running another scale than the one in params.yaml, which stays as it is."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from srledger.ablation_lock import LOCK as GRID_LOCK
from srledger.ablation_lock import scale_of_lock, write_lock
from srledger.config import Params
from srledger.errors import unknown_name
from srledger.io import write_bytes
from srledger.layout import is_ablation
from srledger.provenance import GRID
from srledger.yamlmap import YamlFile

SCALE_LINE = re.compile(r"(?m)^scale:[ \t]*\w+")
LOCKS = ("dvc.lock", "ablations/dvc.lock")
OF_A_SCALE = (*LOCKS, GRID_LOCK.as_posix())
KEPT = Path("scratch/repro_before")
DATA_TARGET = "explore"  # what a report says of the data; rows do without it


def targets_of(params: Params, rows: Iterable[str]) -> list[str]:
    """The DVC targets that measure ``rows`` (variants, students, transfers or rows of the ablation grid)."""
    targets = []
    for name in rows:
        known = params.holding(name).evaluations
        if name not in known:
            raise unknown_name("row", name, known, where="--only")
        if is_ablation(name):
            sampled = params.ablations.grid.rows[name].weights_of
            group = f"{GRID}:{'evaluate_sampled' if sampled else 'evaluate'}"
        elif name in params.entries.transfers:
            group = "evaluate_transfers"
        else:
            group = "evaluate_students" if name in params.entries.students else "evaluate"
        targets.append(f"{group}@{name}")
    return targets


def repro_at(scale: str, targets: list[str], root: Path | None = None) -> int:
    """Run ``dvc repro`` with ``scale`` in params.yaml; returns its exit status."""
    root = root or Path()
    dvc = Path(sys.executable).parent / "dvc"  # the one of this environment, activated or not
    with scale_in_params(scale, root):
        process = subprocess.Popen([str(dvc), "repro", *targets], cwd=root)
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # the terminal told DVC and the trainer too: wait until they have saved


@contextlib.contextmanager
def scale_in_params(scale: str, root: Path) -> Iterator[None]:
    """Put ``scale`` into params.yaml, and back what was there; the locks of the default scale are kept aside.

    What was there lies in ``scratch/repro_before`` until it is back, so that a run after a kill -9 puts it back first.
    """
    put_back(root)
    params, kept = root / "params.yaml", root / KEPT
    for name in OF_A_SCALE:
        if (root / name).exists():
            write_bytes(kept / name, (root / name).read_bytes())
    found = SCALE_LINE.search(params.read_text(encoding="utf-8"))
    assert found is not None, "params.yaml was read a moment ago"
    write_bytes(kept / "scale", found[0].encode("utf-8"))
    _write_scale(params, f"scale: {scale}")
    try:
        expand_grid(scale, root)
        yield
    finally:
        put_back(root)


def expand_grid(scale: str, root: Path) -> None:
    """Write the grid's lock file anew where it is of another scale; one that is missing or outdated is left."""
    if scale_of_lock(root) not in (None, scale):
        write_lock(Params(YamlFile.read(root / "params.yaml"), scale).ablations, root)


def put_back(root: Path) -> None:
    """Undo what a run at another scale changed; nothing happens when none was cut short."""
    kept = root / KEPT
    if not (kept / "scale").exists():
        return
    _write_scale(root / "params.yaml", (kept / "scale").read_text(encoding="utf-8"))
    for name in OF_A_SCALE:
        if (kept / name).exists():
            write_bytes(root / name, (kept / name).read_bytes())
        else:
            (root / name).unlink(missing_ok=True)
    (kept / "scale").unlink()
    shutil.rmtree(kept)


def _write_scale(params: Path, line: str) -> None:
    """Change the scale alone: whatever else a person edited meanwhile stays."""
    write_bytes(params, SCALE_LINE.sub(line, params.read_text(encoding="utf-8"), count=1).encode("utf-8"))
