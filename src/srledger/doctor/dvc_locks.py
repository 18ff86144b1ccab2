"""DVC's own locks: a rwlock that can't be read, entries in it of processes that are gone, hardlink locks left behind.

`.dvc/tmp/lock` is a kernel lock unless `core.hardlink_lock` is set: the file stays, and means nothing once its holder
has ended.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from srledger.doctor.findings import Finding, Patient
from srledger.errors import SrledgerError
from srledger.io import write_bytes

CLOCK_SLACK_S = 1.0  # the kernel's birth times and a file's times are told by clocks that may differ by so much


def find(patient: Patient) -> Iterator[Finding]:
    """At most one finding for the rwlock, one per lock file of the hardlink kind."""
    yield from _rwlock(patient)
    if not patient.processes.dvc():
        for name in ("lock", "rwlock.lock"):
            path = _folder(patient.root) / name
            if path.exists() and path.stat().st_nlink > 1:
                yield Finding(
                    "a DVC lock is left behind that no process of this machine holds (core.hardlink_lock)",
                    patient.place(path),
                    f"nothing: if no DVC works in this folder on another machine either, rm {patient.place(path)}",
                    path.stat().st_mtime,
                )


def holders(root: Path) -> dict[int, str]:
    """Pid to command of every living process that stands in the rwlock."""
    path = _folder(root) / "rwlock"
    try:
        written_s, lock = path.stat().st_mtime, read(path)
    except (OSError, ValueError):
        return {}
    return {pid: command for pid, command in _infos(lock) if _may_have_written(pid, written_s)}


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The rwlock: path to holder under ``write``, to holders under ``read``. Raises ValueError when it is broken."""
    lock = json.loads(path.read_text(encoding="utf-8"))
    try:
        return {
            "write": {name: {"pid": int(info["pid"]), "cmd": info["cmd"]} for name, info in lock["write"].items()}
            if "write" in lock
            else {},
            "read": {
                name: [{"pid": int(info["pid"]), "cmd": info["cmd"]} for info in infos]
                for name, infos in lock.get("read", {}).items()
            },
        }
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not what DVC writes: {error}") from error


def _rwlock(patient: Patient) -> Iterator[Finding]:
    path = _folder(patient.root) / "rwlock"
    try:
        written_s, lock = path.stat().st_mtime, read(path)
    except FileNotFoundError:
        return
    except ValueError:
        yield _broken(patient, path)
        return
    gone = {pid: command for pid, command in _infos(lock) if not _may_have_written(pid, written_s)}
    if gone:
        named = ", ".join(f"{command} (pid {pid})" for pid, command in gone.items())
        yield Finding(
            f"DVC's rwlock holds paths for processes that are gone: {named}",
            patient.place(path),
            "takes them out of it",
            written_s,
            lambda: _drop(patient.root, lambda pid: pid in gone and not _may_have_written(pid, written_s)),
        )


def _broken(patient: Patient, path: Path) -> Finding:
    busy = [each.shown for each in [*patient.processes.dvc(), *patient.processes.stages()]]
    size_bytes = path.stat().st_size
    if busy:
        remedy = f"nothing now, DVC works in this folder: {busy[0]}; --fix once it has ended"
    else:
        remedy = "removes it: nothing holds a path"
    return Finding(
        f"DVC's rwlock can't be read ({size_bytes} bytes, torn by a kill or a full disk): every `dvc` stops at it",
        patient.place(path),
        remedy,
        path.stat().st_mtime,
        None if busy else lambda: _remove_broken(patient.root),
    )


def _remove_broken(root: Path) -> None:
    with _guard(root):
        path = _folder(root) / "rwlock"
        with contextlib.suppress(FileNotFoundError):
            try:
                read(path)
            except ValueError:
                path.unlink()


def _drop(root: Path, is_gone: Callable[[int], bool]) -> None:
    with _guard(root):
        path = _folder(root) / "rwlock"
        lock = read(path)
        reading = {name: [info for info in infos if not is_gone(info["pid"])] for name, infos in lock["read"].items()}
        kept = {
            "write": {name: info for name, info in lock["write"].items() if not is_gone(info["pid"])},
            "read": {name: infos for name, infos in reading.items() if infos},
        }
        write_bytes(path, json.dumps(kept).encode("utf-8"))


@contextlib.contextmanager
def _guard(root: Path) -> Iterator[None]:
    """DVC's own guard of the rwlock, so that no DVC edits it meanwhile."""
    from dvc.config import Config
    from dvc.lock import LockError, make_lock

    hardlink = Config(str(root / ".dvc"))["core"].get("hardlink_lock", False)
    folder = _folder(root)
    guard = make_lock(str(folder / "rwlock.lock"), tmp_dir=str(folder), hardlink_lock=hardlink)
    try:
        guard.lock()
    except LockError:
        raise SrledgerError("a DVC edits its rwlock and does not end", where=folder / "rwlock.lock") from None
    try:
        yield
    finally:
        guard.unlock()


def _infos(lock: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
    for info in [*lock["write"].values(), *(info for infos in lock["read"].values() for info in infos)]:
        yield info["pid"], info["cmd"]


def _may_have_written(pid: int, written_s: float) -> bool:
    """Whether a pid's process lives and may be the DVC that wrote its entry, and not another that got the pid."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.create_time() > written_s + CLOCK_SLACK_S:
            return False
        program = Path(process.exe()).name
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return not program or program.startswith(("python", "dvc"))


def _folder(root: Path) -> Path:
    return root / ".dvc" / "tmp"
