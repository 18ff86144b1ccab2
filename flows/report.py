"""The report of a scale as a flow: rendered again from its committed rows, or compared with what is committed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed, State

from flows.prefect_board import show_results


@flow(name="report")
def report(scale: str | None = None, check: bool = False) -> State[Any]:
    """`srledger report`: needs no data and no weights, and runs no stage.

    Args:
        scale: a scale of params.yaml; none: the one it names.
        check: compare with what is committed, change nothing.
    """
    command = [str(Path(sys.executable).parent / "srledger"), "report"]
    command += (["--scale", scale] if scale else []) + (["--check"] if check else [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip()
    get_run_logger().info("%s", said)
    if done.returncode != 0:
        return Failed(message=said)
    from srledger.config import Params
    from srledger.yamlmap import YamlFile

    show_results(Path.cwd(), Params(YamlFile.read(Path("params.yaml")), scale).scale)
    return Completed(message=said.splitlines()[-1])
