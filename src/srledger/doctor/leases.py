"""Leases that are held for a flow that is gone. A lease is a kernel lock: what ends its holders frees it.

The record in a lease's file says for whom it was taken last, and stays when it is given back: alone it means nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from srledger.doctor.findings import Finding, Patient
from srledger.doctor.processes import have_open, is_locked
from srledger.io import read_json


def find(patient: Patient) -> Iterator[Finding]:
    """One finding per lease whose flow has ended and whose supervisor is gone, too; else it is about to be free."""
    folder = Path(os.environ.get("SRLEDGER_LEASES") or patient.root / "scratch" / "leases")
    for path in sorted(folder.glob("*.json")):
        if not is_locked(path):
            continue
        record = {}
        with contextlib.suppress(OSError, ValueError):  # its holder may be writing its name this moment
            record = read_json(path)
        if not record or psutil.pid_exists(record["pid"]):
            continue
        holders = [patient.processes[pid] for pid in have_open(path) if pid in patient.processes]
        if not holders or any(word.endswith("supervisor.py") for each in holders for word in each.command):
            continue
        places = sorted({str(each.folder) for each in holders if each.folder not in (None, patient.root)})
        elsewhere = f"they work in {', '.join(places)}: " if places else ""
        yield Finding(
            f"a lease is held for {record['holder']}, whose flow (pid {record['pid']}) is gone, by "
            + ", ".join(each.shown for each in holders),
            patient.place(path),
            f"nothing: {elsewhere}`srledger doctor --fix` there, or end them",
            path.stat().st_mtime,
        )
