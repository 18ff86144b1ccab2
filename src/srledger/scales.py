"""Running another scale than the one in params.yaml, which stays as it is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from srledger.config import Params
from srledger.errors import unknown_name
from srledger.io import write_bytes


def targets_of(params: Params, rows: Iterable[str]) -> list[str]:
    """The stages of dvc.yaml that measure ``rows`` (variants, students or transfers)."""
    targets = []
    for name in rows:
        if name not in params.evaluations:
            raise unknown_name("row", name, params.evaluations, where="--only")
        if name in params.entries.transfers:
            group = "evaluate_transfers"
        else:
            group = "evaluate_students" if params.rows[name].kind == "student" else "evaluate"
        targets.append(f"{group}@{name}")
    return targets


def repro_at(scale: str, targets: list[str], root: Path | None = None) -> int:
    """Run ``dvc repro`` with ``scale`` in params.yaml; returns its exit status.

    params.yaml and dvc.lock are put back afterwards: the lock that is committed belongs to the default scale, and
    DVC's run cache remembers what this scale has made.
    """
    root = root or Path()
    files = [root / "params.yaml", root / "dvc.lock"]
    before = {path: path.read_bytes() for path in files if path.exists()}
    text = before[files[0]].decode("utf-8")
    write_bytes(files[0], re.sub(r"(?m)^scale:\s*\w+", f"scale: {scale}", text).encode("utf-8"))
    try:
        return subprocess.run(["dvc", "repro", *targets], cwd=root, check=False).returncode
    except KeyboardInterrupt:
        return 130
    finally:
        for path in files:
            if path in before:
                write_bytes(path, before[path])
            else:
                path.unlink(missing_ok=True)
