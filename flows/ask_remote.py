"""Prints, as JSON, which DVC remotes there are and whether one answers: ``python -m flows.ask_remote NAME``.

``remote`` runs it and reads it. It is a process of its own, as ``read_graph`` is, and so that a host that never
answers can be given up.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any


def describe(name: str) -> dict[str, Any]:
    """Every remote's address, DVC's default one, and what is wrong with ``name`` (empty when it answers)."""
    from dvc.repo import Repo

    with Repo() as repo:
        addresses = {key: remote["url"] for key, remote in repo.config["remote"].items()}
        found: dict[str, Any] = {"addresses": addresses, "default": repo.config["core"].get("remote"), "problem": ""}
        if name not in addresses:
            return found
        try:
            remote = repo.cloud.get_remote_odb(name)
            if remote.fs.protocol == "s3":
                remote.fs.ls(remote.path.partition("/")[0], detail=False)  # no push makes the bucket
            with contextlib.suppress(FileNotFoundError):  # the first push makes the folder
                remote.fs.ls(remote.path, detail=False)
        except Exception as error:  # every kind of remote has its own
            found["problem"] = (str(error).strip() or type(error).__name__).splitlines()[0]
        return found


if __name__ == "__main__":
    print(json.dumps(describe(sys.argv[1])))
