"""Outputs of finished stages whose objects are missing in DVC's cache: another clone, or the next checkout, needs them.

A clone in which nothing was made yet has none of them, and is well: `dvc repro` or `dvc pull` fills it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srledger.doctor.findings import Finding, Patient

NAMED_AT_MOST = 4


@dataclasses.dataclass(frozen=True)
class Missing:
    """An output in a lock file without its cache objects; ``state`` is that of the copy in the workspace."""

    stage: str
    path: str
    state: str  # "" as in the lock file, "deleted", "modified"


def find(patient: Patient) -> Iterator[Finding]:
    """One finding per way in which they are had again."""
    if not (patient.root / ".dvc").is_dir():
        return
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(patient.root)) as repo:
            remote = repo.config["core"].get("remote")
            outs = [out for out in repo.index.outs if out.use_cache and out.hash_info]
            missing = [_missing(out, patient.root) for out in outs if not _is_cached(out)]
    except DvcException as error:
        patient.note(f"DVC can't read its graph, so its cache was not looked at: {str(error).splitlines()[0]}")
        return
    if missing and len(missing) == len(outs) and all(each.state == "deleted" for each in missing):
        pull = f"dvc pull (remote {remote}) or " if remote else ""
        patient.note(f"nothing of dvc.lock was made here yet: {pull}dvc repro")
        return
    whole = [each for each in missing if not each.state]
    if whole:
        yield _finding(whole, "the workspace has them as they were made", "dvc commit --force", "puts them back")
    gone = [each for each in missing if each.state]
    if gone and remote:
        yield _finding(gone, "nor the workspace as they were made", "dvc pull", f"fetches them from remote {remote}")
    elif gone:
        yield _finding(gone, "nor the workspace as they were made", "dvc repro", "makes them again (no remote is set)")


def _finding(missing: list[Missing], state: str, command: str, effect: str) -> Finding:
    stages = list(dict.fromkeys(each.stage for each in missing))
    paths = [each.path for each in missing]
    more = ", ..." if len(paths) > NAMED_AT_MOST else ""
    return Finding(
        f"DVC's cache lacks the outputs of {len(stages)} stage{'s' * (len(stages) != 1)}; {state}",
        ", ".join(paths[:NAMED_AT_MOST]) + more,
        f"nothing: `{command} {' '.join(stages)}` {effect}",
    )


def _missing(out: Any, root: Path) -> Missing:
    state = next(iter(out.workspace_status().values()), "")
    file = Path(out.stage.path).relative_to(root).as_posix()  # DVC's own address of a stage hangs on where one stands
    return Missing(out.stage.name if file == "dvc.yaml" else f"{file}:{out.stage.name}", str(out), state)


def _is_cached(out: Any) -> bool:
    """Whether the object of an output, and of every file in a folder, is there; their bytes are not read."""
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.errors import ObjectFormatError

    if not out.cache.exists(out.hash_info.value):
        return False
    if not out.hash_info.isdir:
        return True
    try:
        tree = Tree.load(out.cache, out.hash_info)
    except (OSError, ObjectFormatError):
        return False
    return all(out.cache.exists(found.value) for _, _, found in tree)
