"""Shared by the tests of the flows: a copy of the tree in which Prefect runs, on ports that nobody uses."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from typing import Any

from conftest import ROOT, Workspace


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(true: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """What ``true`` returns once that is true."""
    give_up_s = time.monotonic() + timeout_s
    while not (value := true()):
        assert time.monotonic() < give_up_s, f"{timeout_s} s have passed without {what}"
        time.sleep(0.1)
    return value


def with_flows(copy: Workspace) -> Workspace:
    """A workspace whose commands meet no server and no home folder but their own."""
    for name in ("flows", "ablations"):
        shutil.copytree(
            ROOT / name,
            copy.folder / name,
            ignore=shutil.ignore_patterns("__pycache__", "dvc.lock"),
            dirs_exist_ok=True,
        )
    shutil.copyfile(ROOT / "prefect.yaml", copy.folder / "prefect.yaml")
    copy.env = {name: value for name, value in copy.env.items() if not name.startswith("PREFECT_")}
    copy.env["HOME"] = str(copy.folder / "home")
    (copy.folder / "home").mkdir(exist_ok=True)
    return copy
