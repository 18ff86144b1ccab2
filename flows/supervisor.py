"""Runs one command and sees to it that nothing of it outlives its master: ``python supervisor.py GRACE_S COMMAND...``.

The master holds the other end of standard input. When that closes (the master asked, or died, be it by kill -9) the
command's processes get SIGINT, so that a training saves a checkpoint, and SIGKILL after GRACE_S. DVC alone would leave
its trainer running. It stands alone (standard library, no package import), so it starts in 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LOOK_EVERY_S = 0.05


def members(session: int) -> Iterator[int]:
    """Living processes of a session (``session`` is the supervisor's own pid), without the supervisor."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == session:
            continue
        try:
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[3]) == session and fields[0] not in (b"Z", b"X"):
            yield int(entry.name)


def signal_all(session: int, number: signal.Signals) -> int:
    """Send a signal to every process of a session but its supervisor; returns how many there were."""
    count = 0
    for pid in members(session):
        try:
            os.kill(pid, number)
            count += 1
        except ProcessLookupError:
            continue
    return count


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to send this process a signal when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)


def main() -> int:
    """Run the command; returns its status, 128 + N when signal N ended it."""
    grace_s, command = float(sys.argv[1]), sys.argv[2:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the master decides
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1)  # what DVC orphans becomes ours to reap

    def prepare() -> None:
        die_with_parent()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=prepare)
    watch = select.poll()
    ended = os.pidfd_open(child.pid)
    watch.register(ended, select.POLLIN)
    watch.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
    if all(handle != ended for handle, _ in watch.poll()):
        signal_all(os.getpid(), signal.SIGINT)
        give_up_s = time.monotonic() + grace_s
        while time.monotonic() < give_up_s and any(members(os.getpid())):
            child.poll()
            time.sleep(LOOK_EVERY_S)
    while signal_all(os.getpid(), signal.SIGKILL):  # until nothing is left that could fork another
        time.sleep(LOOK_EVERY_S)
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
