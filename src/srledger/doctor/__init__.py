"""`srledger doctor`: what kills, full disks and lost processes leave behind, found, named and mended.

One file per ailment, each with a ``find``. They are looked for in this order, because ending an orphan frees what it
holds. Without ``--fix`` nothing is written; with it, nothing that a living process holds is touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from srledger.doctor import (
    cache_objects,
    checkpoints,
    cut_short,
    dead_services,
    dvc_locks,
    flow_runs,
    leases,
    mlflow_runs,
    orphans,
    parts,
)
from srledger.doctor.findings import Find, Finding, Patient
from srledger.errors import SrledgerError

AILMENTS: tuple[Find, ...] = (
    orphans.find,
    dead_services.find,
    leases.find,
    dvc_locks.find,
    flow_runs.find,
    mlflow_runs.find,
    checkpoints.find,
    cut_short.find,
    parts.find,
    cache_objects.find,
)


def examine(root: Path, say: Callable[[str], None], *, fix: bool = False) -> int:
    """Look for every ailment in the project's folder ``root``, and mend what can be with ``fix``.

    Returns:
        How many findings are left: 0 when the folder is well, or has been made so.

    Raises:
        SrledgerError: ``root`` is not a project's folder.
    """
    if not (root / "params.yaml").exists():
        raise SrledgerError("params.yaml is not here", where=root, mend="run the command in the project's top folder")
    patient = Patient(root)
    count, left = 0, 0
    for find in AILMENTS:
        found = list(find(patient))
        for finding in found:
            say(describe(finding))
        count += len(found)
        left += len(_mend(patient, find, found, say)) if fix else len(found)
    for note in patient.notes:
        say(f"note: {note}")
    if not count:
        say("well: nothing was found")
    elif fix:
        say(f"{count} found, {count - left} mended, {left} left for you")
    else:
        say(f"{count} found; `srledger doctor --fix` does what is said above")
    return left


def describe(finding: Finding) -> str:
    """A finding as it is printed."""
    lines = [finding.what, f"  where:  {finding.where}"]
    if finding.since_s is not None:
        lines.append(f"  since:  {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(finding.since_s))}")
    return "\n".join([*lines, f"  --fix:  {finding.remedy}"])


def _mend(patient: Patient, find: Find, found: list[Finding], say: Callable[[str], None]) -> list[Finding]:
    """Mend what can be, and look again: only what is found no more is mended."""
    mendable = [finding for finding in found if finding.mend is not None]
    for finding in mendable:
        assert finding.mend is not None
        try:
            finding.mend()
        except (SrledgerError, OSError) as error:
            say(f"not mended: {finding.what}: {error}")
    if not mendable:
        return found
    patient.look_again()
    left = list(find(patient))
    still = {(finding.what, finding.where) for finding in left}
    for finding in mendable:
        if (finding.what, finding.where) not in still:
            say(f"mended: {finding.where}")
    return left
