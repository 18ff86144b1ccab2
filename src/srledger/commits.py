"""Which commit a clone stands at: work that goes to another machine is the work of a commit, and of nothing else."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from srledger.errors import SrledgerError
from srledger.scales import LOCKS

MADE = ("reports", *LOCKS)  # what runs make themselves; it never counts as an edit
SHOWN = 6
SHORTEST = 7  # digits of a commit that git itself prints


def head_of(root: Path) -> str:
    """The commit that is checked out, 40 digits.

    Raises:
        SrledgerError: there is no commit.
    """
    return _ask(root, "rev-parse", "--verify", "HEAD").strip()


def edits(root: Path) -> list[str]:
    """Paths that differ from the commit or are not in it; ignored files, reports and lock files never count."""
    listed = _ask(
        root, "status", "--porcelain", "-z", "--no-renames", "--", ".", *(f":(exclude){name}" for name in MADE)
    )
    return [entry[3:] for entry in listed.split("\0") if entry]


def check_clean(root: Path) -> None:
    """Raises SrledgerError, with the command that cleans it, when the clone holds more than its commit does."""
    found = edits(root)
    if not found:
        return
    shown = ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
    raise SrledgerError(
        "the tree is dirty: other machines would not run what stands here", where=root.resolve(), found=shown,
        expected="nothing but what the commit holds (reports/ and lock files never count)",
        mend=f"git commit what shall run, or: git stash push --include-untracked -- {shlex.join(found)}",
    )  # fmt: skip


def check_at(root: Path, commit: str) -> None:
    """Raises SrledgerError, naming both, when the clone stands at another commit than ``commit``."""
    head = head_of(root)
    if len(commit) < SHORTEST or not head.startswith(commit):
        raise SrledgerError(
            "this worker's clone stands at another commit than the flow run", where=root.resolve(), found=head,
            expected=commit, mend=f"git fetch && git checkout --force --detach {commit}, and run the flow again",
        )  # fmt: skip


def _ask(root: Path, *arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise SrledgerError(
            "git can't tell what stands here", where=root.resolve(),
            found=answer.stderr.strip().splitlines()[0] if answer.stderr.strip() else f"status {answer.returncode}",
            expected="a clone with a commit",
        )  # fmt: skip
    return answer.stdout
