"""The processes of this machine, seen from one project's folder: who works in it, who belongs to whom."""

from __future__ import annotations

import dataclasses
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

SEEN = ["pid", "ppid", "cmdline", "cwd", "environ", "create_time", "status"]


@dataclasses.dataclass(frozen=True)
class Process:
    """A living process.

    Attributes:
        command: its arguments.
        folder: where it works; None when that can't be read.
        env: the environment that it began with; empty when that can't be read.
        born_s: when it began, in seconds of POSIX time: exact or up to a second early.
    """

    pid: int
    parent: int
    command: tuple[str, ...]
    folder: Path | None
    env: Mapping[str, str]
    born_s: float

    def runs(self, program: str) -> bool:
        """Whether it is ``program``, also as a script of Python or by ``python -m``."""
        return any(Path(word).name == program for word in self.command[:3])

    @property
    def is_python(self) -> bool:
        """Whether Python runs it."""
        return bool(self.command) and Path(self.command[0]).name.startswith("python")

    @property
    def is_service(self) -> bool:
        """Whether it is a server or worker, which write nothing into the folders of stages themselves."""
        served = self.runs("prefect") and {"server", "worker"} & set(self.command)
        return bool(served) or self.runs("mlflow") or any(word.startswith("mlflow.server") for word in self.command)

    @property
    def stage(self) -> str:
        """The DVC stage that it was started for, such as ``train@rrdb``; else empty."""
        return self.env.get("DVC_STAGE", "")

    @property
    def shown(self) -> str:
        """``python stages/train.py rrdb (pid 4711)``."""
        words = [Path(word).name if k == 0 else word for k, word in enumerate(self.command)]
        return f"{' '.join(words)[:120]} (pid {self.pid})"


class Processes(Mapping[int, Process]):
    """Living processes by pid, as they were at one moment."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[int, Process] = {}
        for found in psutil.process_iter(SEEN, ad_value=None):
            info = found.info
            if info["status"] == psutil.STATUS_ZOMBIE or info["create_time"] is None:
                continue
            folder = Path(info["cwd"]) if info["cwd"] else None
            command = tuple(word for word in info["cmdline"] or () if word)
            seen = Process(info["pid"], info["ppid"] or 0, command, folder, info["environ"] or {}, info["create_time"])
            self._seen[seen.pid] = seen

    def __getitem__(self, pid: int) -> Process:
        return self._seen[pid]

    def __iter__(self) -> Iterator[int]:
        return iter(self._seen)

    def __len__(self) -> int:
        return len(self._seen)

    def line(self, pid: int) -> Iterator[Process]:
        """A process, its parent, and so on."""
        walked: set[int] = set()
        while pid in self._seen and pid not in walked:
            walked.add(pid)
            yield self._seen[pid]
            pid = self._seen[pid].parent

    def dvc(self) -> list[Process]:
        """DVC commands in this folder."""
        return [each for each in self.values() if each.runs("dvc") and self._is_here(each)]

    def stages(self) -> list[Process]:
        """Processes that DVC started for a stage of this folder, and theirs."""
        return [each for each in self.values() if each.stage and each.env.get("DVC_ROOT") == str(self._root)]

    def runners(self) -> list[Process]:
        """Whoever runs stages in this folder now: DVC, `srledger`, flows of Prefect; not this process."""
        own = {each.pid for each in self.line(os.getpid())}
        programs = ("dvc", "srledger", "prefect.engine")
        here = [each for each in self.values() if any(map(each.runs, programs)) and self._is_here(each)]
        return [each for each in here if each.pid not in own]

    def at_work(self) -> list[Process]:
        """Whoever may write into this folder now: Python in it (not services, not this process), and stages."""
        own = {each.pid for each in self.line(os.getpid())}
        working = {each.pid: each for each in self.stages()}
        working |= {
            each.pid: each for each in self.values() if each.is_python and self._is_here(each) and not each.is_service
        }
        return [each for pid, each in sorted(working.items()) if pid not in own]

    def _is_here(self, process: Process) -> bool:
        return process.folder is not None and process.folder.is_relative_to(self._root)


def is_locked(path: Path) -> bool:
    """Whether a process holds the kernel's lock on a file. Nothing is written; the look takes the lock for a moment."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def have_open(path: Path) -> list[int]:
    """Pids of the processes that have a file open, as far as they may be looked at."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if any(Path(link).readlink() == path for link in (folder / "fd").iterdir()):
                found.append(int(folder.name))
        except OSError:
            continue  # it ended while we looked, or belongs to somebody else
    return sorted(found)
