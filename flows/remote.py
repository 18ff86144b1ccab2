"""The DVC remote through which several machines share what they have run: stages are fetched from it and sent to it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from srledger.errors import SrledgerError, unknown_name

ANSWER_S = 60.0
SETTING = "params.yaml: orchestration.remote"
DVC = str(Path(sys.executable).parent / "dvc")


def check_remote(root: Path, name: str) -> None:
    """Ask a remote for an answer before anything starts.

    Raises:
        SrledgerError: DVC has no such remote (with the nearest), has another as its default, or gets no answer.
    """
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "flows.ask_remote", name],
            cwd=root, capture_output=True, text=True, check=False, timeout=ANSWER_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _unreachable(name, "", f"no answer in {ANSWER_S:g} s") from None
    if asked.returncode != 0:
        said = asked.stderr.strip().splitlines()[-1:] or [f"status {asked.returncode}"]
        raise SrledgerError(
            "DVC can't read its remotes", where=root / ".dvc/config", found=said[0], mend="dvc remote list"
        )
    answer = json.loads(asked.stdout.splitlines()[-1])
    if name not in answer["addresses"]:
        mend = f"dvc remote add --default {name} ssh://HOST/FOLDER"
        raise unknown_name("DVC remote", name, answer["addresses"], where=SETTING, mend=mend)
    if answer["default"] != name:  # `dvc repro --pull` knows no other
        raise SrledgerError(
            "the remote of params.yaml is not DVC's default one", where=SETTING, found=name,
            expected=answer["default"] or "a default remote", mend=f"dvc remote default {name}",
        )  # fmt: skip
    if answer["problem"]:
        raise _unreachable(name, answer["addresses"][name], answer["problem"])


def push_command(name: str, stages: Sequence[str]) -> list[str]:
    """What sends the outputs of stages, and the notes of what was run, to a remote."""
    return [DVC, "--wait-for-lock", "push", "--run-cache", "--remote", name, *stages]


def push_finished(root: Path, name: str, stages: Sequence[str]) -> None:
    """Send what needed no run here: its push may have been cut short, or it was made before there was a remote.

    Raises:
        SrledgerError: what DVC says.
    """
    if not stages:
        return
    command = push_command(name, stages)
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("ERROR")]
        raise SrledgerError(
            "what stands here can't be sent to the remote", where=f"DVC remote {name}",
            found=said[-1].removeprefix("ERROR: ") if said else f"status {done.returncode}",
            mend=shlex.join(["dvc", *command[1:5], "--remote", name]) + " --verbose",
        )  # fmt: skip


def how_to_test(address: str) -> str:
    """A command that asks the same machine the same, without DVC."""
    parts = urlsplit(address)
    if parts.scheme == "ssh":
        port = f"-p {parts.port} " if parts.port else ""
        user = f"{parts.username}@" if parts.username else ""
        return f"ssh {port}{user}{parts.hostname} ls {shlex.quote(parts.path)}"
    return f"aws s3 ls {shlex.quote(address)}/" if parts.scheme == "s3" else f"ls {shlex.quote(address)}"


def _unreachable(name: str, address: str, found: str) -> SrledgerError:
    test = f"test it by `{how_to_test(address)}`; " if address else ""
    return SrledgerError(
        "the DVC remote can't be reached", where=f"{name}{f' at {address}' if address else ''}", found=found,
        expected="a listing of its folder",
        mend=f"{test}to work on this machine alone: orchestration.remote: null",
    )  # fmt: skip
