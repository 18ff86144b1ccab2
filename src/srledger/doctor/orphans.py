"""Orphans: processes of a stage whose DVC is gone, so that nobody waits for what they make.

Under a flow the supervisor ends them (``flows/supervisor.py``); plain `dvc repro` that is killed leaves its trainer.
"""

from __future__ import annotations

import contextlib
import signal
from collections import defaultdict
from collections.abc import Iterator, Sequence

import psutil

from srledger.doctor.dvc_locks import holders
from srledger.doctor.findings import Finding, Patient
from srledger.doctor.processes import Process
from srledger.errors import SrledgerError

GRACE_S = 15.0  # a training saves its checkpoint within a step


def find(patient: Patient) -> Iterator[Finding]:
    """One finding per stage that has orphans."""
    by_stage: dict[str, list[Process]] = defaultdict(list)
    for process in orphans(patient):
        by_stage[process.stage].append(process)
    for stage, found in sorted(by_stage.items()):
        pids = [process.pid for process in found]
        yield Finding(
            f"orphan of stage {stage}: {found[0].shown} runs, and the DVC that started it is gone",
            f"pid {', '.join(map(str, pids))}",
            f"ends it: SIGINT (a training saves a checkpoint), SIGKILL after {GRACE_S:g} s",
            found[0].born_s,
            lambda pids=pids: end(pids),  # type: ignore[misc]
        )


def orphans(patient: Patient) -> list[Process]:
    """Stage processes of this folder without a living DVC or supervisor above them; oldest first."""
    processes, known = patient.processes, holders(patient.root)

    def cares(process: Process) -> bool:
        supervises = any(word.endswith("flows/supervisor.py") for word in process.command)
        return process.runs("dvc") or supervises or process.pid in known

    lost = [each for each in processes.stages() if not any(map(cares, processes.line(each.pid)))]
    return sorted(lost, key=lambda each: (each.born_s, each.pid))


def end(pids: Sequence[int], grace_s: float = GRACE_S) -> None:
    """SIGINT, then SIGKILL for what is left after the grace."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    for number in (signal.SIGINT, signal.SIGKILL):
        for process in found:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                raise SrledgerError("it belongs to another user", where=f"pid {process.pid}") from None
        _, found = psutil.wait_procs(found, timeout=grace_s)
