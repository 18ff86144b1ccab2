"""Shows in MLflow what runs in this folder, while it runs: ``python -m srledger.tracking.follow SCALE``.

A flow starts it, and closes its standard input when the flow ends (or dies); by hand it is `srledger mlflow-sync
--follow`. It is a process of its own, of low priority: no training and no schedule waits for MLflow.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from srledger.errors import SrledgerError
from srledger.tracking.live import Live
from srledger.tracking.sweeps import sweeps
from srledger.tracking.trainings import trainings

LOOK_EVERY_S = 10.0  # a training that ends sooner is filled in afterwards
GRACE_S = 20.0  # the trainers of a flow that was killed have saved by then, or were killed themselves
LAST_LOOK_S = 60  # no follower outlives its flow for longer


class Follower:
    """Looks again and again; says what is wrong once, and not at every look."""

    def __init__(self, root: Path, scale: str, say: Callable[[str], None]) -> None:
        self._root, self._scale, self._say = root, scale, say
        self._live, self._said = Live(root, scale), ""
        self._looked = False

    def look(self) -> None:
        """Show what runs, if something does."""
        with contextlib.suppress(FileNotFoundError):  # scratch/ may be deleted at any time
            if self._live.is_due():
                self._try(None)

    def end(self, gone: int | None) -> None:
        """The last look: runs of what has ended are ended, and hold their numbers where there are any."""
        mine = any(sweep.record["pid"] == gone for sweep in sweeps(self._root, self._scale))
        if (self._looked or mine) and self._try(gone):
            from srledger.config import Params
            from srledger.tracking.mirror import sync_all

            sync_all(Params.load(self._root, scale=self._scale), self._root)

    def _try(self, gone: int | None) -> bool:
        """One look; returns whether a run lacks numbers that are on disk."""
        from srledger.tracking.client import connect, experiment_of

        try:
            with connect(self._root) as client:
                self._looked = True
                self._live.look(client, experiment_of(client, self._scale, self._root), gone)
                self._said = ""
                return self._live.lacks_numbers(client)
        except SrledgerError as error:
            if str(error) != self._said:
                self._say(str(error))
            self._said = str(error)
            return False


def follow(root: Path, scale: str, say: Callable[[str], None]) -> None:
    """Look until Ctrl-C."""
    follower = Follower(root, scale, say)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            follower.look()
            time.sleep(LOOK_EVERY_S)
    follower.end(None)


def main() -> None:
    """Look until standard input closes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they go to the flow too, which ends its stages first
    os.nice(10)
    root, scale, flow = Path.cwd(), sys.argv[1], os.getppid()
    follower = Follower(root, scale, lambda line: print(line, file=sys.stderr, flush=True))
    while not select.select([sys.stdin], [], [], LOOK_EVERY_S)[0]:
        follower.look()
    give_up_s = time.monotonic() + GRACE_S
    while time.monotonic() < give_up_s and any(training.state == "RUNNING" for training in trainings(scale, root)):
        time.sleep(0.2)
    signal.alarm(LAST_LOOK_S)
    follower.end(flow)


if __name__ == "__main__":
    main()
