"""One stage as processes: `dvc repro --single-item` under a supervisor, its lines passed on as they come."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from flows import supervisor
from flows.graph import BUSY
from flows.remote import DVC, push_command

GRACE_S = 15.0  # a training saves its checkpoint within a step; whatever is left then is killed
BUSY_AGAIN_S = 2.0
KEPT_LINES = 200
STOPPED = "stopped"
# DVC's advice after every stage, which is for a person who types `dvc repro`
ADVICE = re.compile(
    r"\s*$|To track the changes with git, run:|\tgit add |To enable auto staging, run:|\tdvc config core\.autostage"
    r"|Use `dvc push`|Having any troubles\?"
)
RESTORED = ("is cached - skipping run", "Pulling data for stage")  # from the run cache; by the lock file's hashes

# A stage says `python` and means this one; its lines come as they are printed.
STAGE_ENV = {"PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}", "PYTHONUNBUFFERED": "1"}

Outcome = Literal["ran", "restored", "skipped", "failed", "blocked"]


@dataclasses.dataclass(frozen=True)
class Result:
    """How a stage ended.

    Attributes:
        outcome: ``ran``; ``restored`` from DVC's run cache; ``skipped``, being up to date; ``failed``; ``blocked`` by
            a failed stage before it.
        why: one line for ``failed`` and ``blocked``, else empty.
        seconds: wall time.
        again: whether the same command may succeed: false for a user's mistake, which a retry can't mend.
    """

    outcome: Outcome
    why: str = ""
    seconds: float = 0.0
    again: bool = False

    @property
    def good(self) -> bool:
        """Whether what comes after it may run."""
        return self.outcome in ("ran", "restored", "skipped")


class StagePool:
    """Starts stages in one folder and can end all of them: none outlives ``stop``, or the pool's own process."""

    def __init__(
        self,
        root: Path,
        *,
        force: bool = False,
        busy_wait_s: float = 600.0,
        grace_s: float = GRACE_S,
        remote: str | None = None,
        dvc: str = DVC,
    ) -> None:
        self._root, self._force, self._busy_wait_s, self._grace_s, self._dvc = root, force, busy_wait_s, grace_s, dvc
        self._remote = remote
        self._running: dict[int, subprocess.Popen[str]] = {}
        self._lock = threading.Lock()
        self.stopped = False

    def run(self, stage: str, *, keep: Sequence[int], env: Mapping[str, str], say: Callable[[str], None]) -> Result:
        """Bring one stage up to date; upstream stages must be.

        With a remote, another machine's outputs are fetched in place of a run, and what was made here is sent there
        before the stage counts as done. What was restored is the caller's to send: most of it came from there.

        Args:
            stage: DVC's address.
            keep: file descriptors that must stay open as long as a process of the stage lives: its lease.
            env: added to the environment.
            say: gets every line of standard output and error as it comes.
        """
        how = ["--force"] if self._force else ["--pull"] if self._remote else []
        started_s = time.monotonic()
        result = self._try([self._dvc, "--wait-for-lock", "repro", "--single-item", *how, stage], keep, env, say)
        if result.outcome in ("ran", "skipped") and self._remote:  # skipped: a second try, after a push that failed
            sent = self._try(push_command(self._remote, [stage]), keep, env, say)
            if not sent.good:
                why = f"made, but not sent to the remote {self._remote}: {sent.why}"
                result = Result("failed", why, again=sent.why != STOPPED)
        return dataclasses.replace(result, seconds=time.monotonic() - started_s)

    def _try(
        self, command: list[str], keep: Sequence[int], env: Mapping[str, str], say: Callable[[str], None]
    ) -> Result:
        """Run one command of DVC, again while another DVC has the folder in hand."""
        give_up_s = time.monotonic() + self._busy_wait_s
        while True:
            status, lines = self._supervised(command, keep, env, say)
            if status == 0:
                return Result(outcome_of(lines))
            if self.stopped:
                return Result("failed", STOPPED)
            if not any(sign in line for sign in BUSY for line in lines) or time.monotonic() >= give_up_s:
                return Result("failed", why(lines, status), again=not is_mistake(lines))
            time.sleep(BUSY_AGAIN_S)

    def stop(self) -> None:
        """End every stage: SIGINT, then SIGKILL after the grace; returns when no process of theirs is left."""
        self.stopped = True
        with self._lock:
            running = list(self._running.values())
        for process in running:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
        for process in running:
            try:
                process.wait(self._grace_s + 5.0)
            except subprocess.TimeoutExpired:
                kill_session(process)

    def _supervised(
        self, command: list[str], keep: Sequence[int], env: Mapping[str, str], say: Callable[[str], None]
    ) -> tuple[int, list[str]]:
        with self._lock:  # a stop must see this process, or this process the stop
            if self.stopped:
                return 130, []
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, str(self._grace_s), *command],
                cwd=self._root, env={**os.environ, **STAGE_ENV, **env}, text=True, errors="replace",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=tuple(keep),
            )  # fmt: skip
            self._running[process.pid] = process
        lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        # Its lines end when the last process that can write has ended. If the supervisor itself is killed, what it kept
        # in hand must be ended from here.
        watch = threading.Thread(target=_clear_after, args=(process,), daemon=True)
        watch.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if not ADVICE.match(line):
                    lines.append(line.rstrip())
                    say(lines[-1])
            return process.wait(), list(lines)
        finally:
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # this end is what the supervisor watches
                    pipe.close() if pipe is not None else None
            with self._lock:
                del self._running[process.pid]


def _clear_after(process: subprocess.Popen[str]) -> None:
    process.wait()
    while supervisor.signal_all(process.pid, signal.SIGKILL):
        time.sleep(supervisor.LOOK_EVERY_S)


def kill_session(process: subprocess.Popen[str]) -> None:
    """Kill whatever is left of a supervisor's session, and the supervisor."""
    supervisor.signal_all(process.pid, signal.SIGKILL)
    if process.poll() is None:
        process.kill()
        process.wait()


def outcome_of(lines: Sequence[str]) -> Outcome:
    """What DVC did, from its own words."""
    if any("didn't change, skipping" in line for line in lines):
        return "skipped"
    if any(line.startswith("Running stage '") for line in lines):
        return "ran"
    return "restored" if any(sign in line for sign in RESTORED for line in lines) else "ran"


def is_mistake(lines: Sequence[str]) -> bool:
    """Whether the stage itself said what is wrong: params, data or weights, that a second try would find the same."""
    return any(line.startswith(("srledger: ", "usage: ")) for line in lines)


def why(lines: Sequence[str], status: int) -> str:
    """The one line that says most about a failure."""
    said = [line.strip() for line in lines if line.strip()]
    for line in said:
        if line.startswith("srledger: "):
            return line.removeprefix("srledger: ")
    own = [line for line in said if not line.startswith(("ERROR: failed to reproduce", "Running stage", "> "))]
    for line in reversed(own):
        if re.match(r"(\w+\.)*\w*(Error|Exception|Interrupt)\b", line):
            return line
    ended = next((line for line in reversed(said) if line.startswith("ERROR: failed to reproduce")), "")
    found = re.search(r"exited with (-?\d+)", ended)
    if found and int(found[1]) < 0:
        return f"killed by {signal.Signals(-int(found[1])).name}"
    if own:
        return own[-1].removeprefix("ERROR: ").removeprefix("unexpected error - ")
    return ended or f"ended with status {status}"
