"""A process beside a flow that shows in MLflow what runs: no stage waits for it, and it ends with the flow."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

END_S = 30.0  # how long a flow waits for the last look; `srledger mlflow-sync` makes up for one that was cut short


@contextlib.contextmanager
def following(root: Path, scale: str) -> Iterator[None]:
    """Show what runs of a scale while the block runs. What the follower has to say is in ``scratch/flows/mlflow.log``.

    It watches its standard input, which closes when this process ends, be it by kill -9.
    """
    log = root / "scratch" / "flows" / "mlflow.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "srledger.tracking.follow", scale], cwd=root,
            stdin=subprocess.PIPE, stdout=file, stderr=file,
        )  # fmt: skip
    assert process.stdin is not None
    try:
        yield
    finally:
        process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
