"""The folder that a flow works in: one flow at a time, at the scale that was asked for."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from srledger.commits import check_at, check_clean
from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.scales import expand_grid, put_back, scale_in_params
from srledger.yamlmap import YamlFile

LOOK_AGAIN_S = 0.5
SAY_WAITING_EVERY_S = 60.0


@contextlib.contextmanager
def one_flow(root: Path, name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder for one flow; another waits, and says for whom. A flow that was killed holds nothing.

    Stages of two flows in one folder would write the same outputs, and DVC can't tell what is out of date while
    a stage runs.
    """
    path = root / "scratch" / "flows" / "running.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        said_s = -SAY_WAITING_EVERY_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - said_s >= SAY_WAITING_EVERY_S:
                    said_s = time.monotonic()
                    say(
                        f"waits for the flow that works in this folder: {path.read_text(encoding='utf-8') or 'unknown'}"
                    )
                time.sleep(LOOK_AGAIN_S)
        file.truncate(0)
        file.write(json.dumps({"flow": name, "pid": os.getpid()}))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextlib.contextmanager
def at_scale(root: Path, scale: str | None, check: Callable[[Params], None] = lambda params: None) -> Iterator[Params]:
    """Params of ``scale`` (None: the one that params.yaml names), and params.yaml at that scale while the block runs.

    params.yaml is whole when the block begins: `srledger config` has checked it with every plug-in, in a process of
    its own, because plug-ins import torch. ``check`` sees the clone as its user left it.

    Raises:
        SrledgerError: what `srledger config` or ``check`` found wrong.
    """
    put_back(root)  # of a run at another scale that was killed
    params = Params(YamlFile.read(root / "params.yaml"), scale)
    command = [str(Path(sys.executable).parent / "srledger"), "config", "--scale", params.scale]
    checked = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        raise SrledgerError(checked.stderr.strip().removeprefix("srledger: ") or f"{' '.join(command)} failed")
    check(params)
    expand_grid(params.entries.scale, root)
    with scale_in_params(params.scale, root) if params.scale != params.entries.scale else contextlib.nullcontext():
        yield params


def check_sent(root: Path, commit: str | None, params: Params) -> None:
    """What must hold in the clone of a worker that shares results with other machines.

    ``commit`` is the flow run's; None, as when it was started on a page, is the clone's own.

    Raises:
        SrledgerError: the clone holds more than its commit, or stands at another.
    """
    if params.orchestration.remote is None:
        return
    check_clean(root)
    if commit is not None:
        check_at(root, commit)
