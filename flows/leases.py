"""A device per stage: file locks that the kernel frees when their holder dies, be it by kill -9.

A slot is a file in the leases folder; who holds the lock on it holds the device. The open file is handed on to the
processes of the stage, so the device stays taken as long as one of them lives, even when the flow has died.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from srledger.errors import SrledgerError

Kind = Literal["cpu", "gpu"]
LIST_GPUS = (
    "import json, torch; print(json.dumps([str(torch.cuda.get_device_properties(k).uuid)"
    " for k in range(torch.cuda.device_count())]))"
)


@dataclasses.dataclass(frozen=True)
class Slot:
    """Room for one stage: the ``place``-th (from 0) on a device. ``device`` is empty for the CPU."""

    kind: Kind
    place: int
    device: str = ""

    @property
    def file_name(self) -> str:
        """The lock's file: the same device has the same name, whatever index an outer program gave it."""
        device = re.sub(r"[^\w.-]", "_", self.device)
        return f"{self.kind}{'-' + device if device else ''}-{self.place}.json"


class Lease:
    """A slot that is held. ``close`` lets go of it, once no process that inherited ``handle`` lives."""

    def __init__(self, slot: Slot, handle: int) -> None:
        self.slot, self.handle = slot, handle

    @property
    def env(self) -> dict[str, str]:
        """What a process on this device needs in its environment."""
        return {"CUDA_VISIBLE_DEVICES": self.slot.device} if self.slot.kind == "gpu" else {}

    def close(self) -> None:
        """Give the slot back. Not an unlock: that would take it from a process that still lives."""
        os.close(self.handle)


class Leases:
    """All slots of one machine (or of what an outer ``CUDA_VISIBLE_DEVICES`` leaves of it)."""

    def __init__(self, folder: Path, slots: Iterable[Slot]) -> None:
        self.folder = folder
        self.slots = tuple(slots)
        folder.mkdir(parents=True, exist_ok=True)

    def count(self, kind: Kind) -> int:
        """How many slots of a kind there are."""
        return sum(slot.kind == kind for slot in self.slots)

    def acquire(self, kind: Kind, holder: str) -> Lease | None:
        """The first free slot of a kind, or None. ``holder`` (a stage's name) is what others are told."""
        for slot in self.slots:
            if slot.kind == kind and (handle := _try_lock(self.folder / slot.file_name)) is not None:
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps({"holder": holder, "pid": os.getpid()}).encode("utf-8"), 0)
                return Lease(slot, handle)
        return None

    def held(self, kind: Kind) -> list[str]:
        """Who holds slots of a kind, such as ``train@rrdb (pid 4711)``."""
        return [
            f"{record['holder']} (pid {record['pid']})"
            for name, record in held_in(self.folder).items()
            if name in {slot.file_name for slot in self.slots if slot.kind == kind}
        ]

    def waiting_for(self, kind: Kind) -> str:
        """``waits for a cpu lease: 2 of 2 held by train@a (pid 1), train@b (pid 2)``."""
        held = self.held(kind)
        return f"waits for a {kind} lease: {len(held)} of {self.count(kind)} held by {', '.join(held) or 'no one now'}"


def held_in(folder: Path) -> dict[str, Mapping[str, object]]:
    """Every lease of a folder that a living process holds: file name to ``holder`` and ``pid``."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        handle = _try_lock(path)
        if handle is not None:
            os.close(handle)
            continue
        record: Mapping[str, object] = {"holder": "a stage", "pid": "?"}
        with contextlib.suppress(OSError, ValueError):  # its holder may be writing its name this moment
            record = json.loads(path.read_text(encoding="utf-8"))
        found[path.name] = record
    return found


def _try_lock(path: Path) -> int | None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def machine_leases(root: Path, cpu_leases: int, stages_per_gpu: int, *, needs_gpu: bool) -> Leases:
    """The slots of this machine; GPUs are only looked for when a stage needs one, which takes seconds.

    Raises:
        SrledgerError: a GPU is needed, and none is visible.
    """
    gpus = visible_gpus() if needs_gpu else []
    if needs_gpu and not gpus:
        raise SrledgerError(
            "stages ask for a GPU and none is visible", where="params.yaml: device: cuda",
            found=f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r}"
            if "CUDA_VISIBLE_DEVICES" in os.environ else "no CUDA device",
            expected="at least one CUDA device", mend="device: cpu for these rows, or a machine with a GPU",
        )  # fmt: skip
    folder = Path(os.environ.get("SRLEDGER_LEASES") or root / "scratch" / "leases")
    return Leases(folder, all_slots(cpu_leases, gpus, stages_per_gpu))


def all_slots(cpu_leases: int, gpus: Sequence[str], stages_per_gpu: int) -> Iterator[Slot]:
    """CPU slots, then GPU slots: the first stage of every device before the second of any."""
    yield from (Slot("cpu", place) for place in range(cpu_leases))
    yield from (Slot("gpu", place, device) for place in range(stages_per_gpu) for device in gpus)


def visible_gpus() -> list[str]:
    """UUIDs of the GPUs that CUDA shows here, in its order; an outer ``CUDA_VISIBLE_DEVICES`` is obeyed.

    Asked of CUDA itself in a process that ends: nvidia-smi counts in another order than CUDA may, and ignores the
    variable. Parts of a GPU (MIG) are named by their own UUIDs, which CUDA shows one at a time, so they are taken as
    they were given.
    """
    given = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    if all(name.startswith("MIG-") for name in given):
        return given
    asked = subprocess.run([sys.executable, "-c", LIST_GPUS], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        return []
    return [uuid if uuid.startswith("GPU-") else f"GPU-{uuid}" for uuid in json.loads(asked.stdout.splitlines()[-1])]
