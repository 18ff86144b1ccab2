"""The way into MLflow: one writer of a clone at a time, and a server that is down is one error, soon."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from srledger.errors import SrledgerError

SQLITE = "sqlite:///"
HOLDS = 1000  # metrics that a request to MLflow may hold
LOCK_WAIT_S = 120.0

# Tags of a run: of a training that was followed; of weights that are there; of weights and every number of theirs.
TRAINING, TRAINED, KEY = "srledger.training", "srledger.trained", "srledger.key"
SWEEP, PARENT, REVISION = "srledger.sweep", "mlflow.parentRunId", "srledger.revision"
WEIGHTS_RUN = "srledger.weights_run"  # of a row that was not trained: the run whose weights it took

# By itself MLflow tries a server that is down for minutes.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}


def tracking_uri(root: Path) -> str:
    """``MLFLOW_TRACKING_URI``, or the database of this clone."""
    return os.environ.get("MLFLOW_TRACKING_URI", f"{SQLITE}{(root / 'mlflow.db').resolve()}")


@contextlib.contextmanager
def one_writer(uri: str, root: Path) -> Iterator[None]:
    """Hold the lock beside the database (of a server: that of this clone): processes that set a new database up at
    once break it, and two that fill one would add a run twice.

    Raises:
        TimeoutError: another holds it for very long.
        OSError: there is no such folder.
    """
    from filelock import FileLock

    database = Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else root / "scratch" / "mlflow"
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_name(f"{database.name}.lock"), timeout=LOCK_WAIT_S):
        yield


@contextlib.contextmanager
def connect(root: Path) -> Iterator[Any]:
    """A client of MLflow, which sets up a new database first.

    Raises:
        SrledgerError: the server or the database can't be used.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = tracking_uri(root)
    try:
        with one_writer(uri, root):
            yield MlflowClient(uri)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        said = (str(error).splitlines() or [repr(error)])[0][:200]
        raise SrledgerError("MLflow can't be reached", where=uri, found=said) from error


def experiment_of(client: Any, scale: str, root: Path) -> str:
    """The id of the experiment ``srledger/<scale>``, made when it is not there."""
    name = f"srledger/{scale}"
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    local = tracking_uri(root).startswith(SQLITE)
    return str(client.create_experiment(name, (root / "mlartifacts" / scale).resolve().as_uri() if local else None))


def log_metrics(client: Any, run_id: str, metrics: Iterable[tuple[str, float, int, int]]) -> None:
    """Log (name, value, step, unix time in ms); one that is there already is not doubled."""
    from mlflow.entities import Metric

    made = [Metric(name, value, unix_ms, step) for name, value, step, unix_ms in metrics]
    for k in range(0, len(made), HOLDS):
        client.log_batch(run_id, metrics=made[k : k + HOLDS])
