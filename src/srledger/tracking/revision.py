"""Which commit is checked out: a tag in MLflow, and never a part of what must be reproduced."""

from __future__ import annotations

import subprocess
from pathlib import Path


def revision(root: Path) -> str:
    """The commit that is checked out, with ``+dirty`` when tracked files differ from it; empty outside git."""

    def ask(*arguments: str) -> str:
        answer = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        return answer.stdout.strip()

    commit = ask("rev-parse", "--verify", "--quiet", "HEAD")
    return commit + ("+dirty" if ask("status", "--porcelain", "--untracked-files=no") else "")
