"""What every stage script shares: its arguments, its errors, its exit status."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from srledger.errors import SrledgerError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # the machine's fault, and for a person to mend
TRAINERS = ("train", "distill")
QUIET_TOOLS = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MPLBACKEND": "Agg",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic matrix products on CUDA
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait do not spin: stages side by side share the cores
}


def run(main: Callable[..., str], usage: str = "") -> None:
    """Call ``main`` with the script's arguments and print the line it returns; ``[NAME]`` may be left out.

    A user's mistake ends with its message and status 1, Ctrl-C with status 130; neither shows a traceback.
    """
    for name, value in QUIET_TOOLS.items():
        os.environ.setdefault(name, value)
    arguments = sys.argv[1:]
    names = usage.split()
    required = [name for name in names if not name.startswith("[")]
    if not len(required) <= len(arguments) <= len(names):
        sys.exit(f"usage: python {sys.argv[0]} {usage}".rstrip())
    try:
        with _vitals():
            print(main(*arguments))
    except SrledgerError as error:
        sys.exit(f"srledger: {error}")
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        mend = "make room, or give leave to write there, then type the same command"
        sys.exit(f"srledger: {SrledgerError(str(error.strerror), where=error.filename, mend=mend)}")
    except KeyboardInterrupt as stop:
        print(stop or "stopped", file=sys.stderr)
        sys.exit(130)


def _vitals() -> contextlib.AbstractContextManager[object]:
    """Samples of CPU, memory and GPU while a stage trains; they lie in scratch/, outside all that counts."""
    if Path(sys.argv[0]).stem not in TRAINERS:
        return contextlib.nullcontext()
    from srledger.tracking.vitals import Vitals

    return Vitals()
