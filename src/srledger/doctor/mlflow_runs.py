"""MLflow's runs that still say RUNNING though the process that fills them is gone.

Runs name their machine and process in tags. One without these comes from `srledger mlflow-sync` or the stage that does
the same; in a database of this folder it is judged by who works here.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from srledger.doctor.findings import Finding, Patient
from srledger.errors import SrledgerError
from srledger.services import is_alive

HOST_TAG, PID_TAG, BORN_TAG = "srledger.host", "srledger.pid", "srledger.born"
OURS = "srledger/"  # how the names of our experiments begin
ANSWERS_WITHIN_S = 5.0
ENDED = "KILLED"


def find(patient: Patient) -> Iterator[Finding]:
    """One finding per run; nothing where MLflow holds nothing yet."""
    database = patient.root / "mlflow.db"
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return
    if uri.startswith("http") and not _answers(uri):
        patient.note(f"MLflow does not answer at {uri}: its runs were not looked at")
        return
    client = _client(uri)
    try:
        running = _running(client)
    except Exception as error:  # a locked or foreign database: MLflow is a mirror, so nothing is lost
        patient.note(f"MLflow can't be asked at {uri}: {str(error).splitlines()[0][:200]}")
        return
    for run in running:
        if _is_gone(run, patient, is_local=uri.startswith("sqlite")):
            pid = run.data.tags.get(PID_TAG)
            yield Finding(
                f"MLflow run '{run.info.run_name}' is RUNNING, and its process{f' (pid {pid})' if pid else ''} is gone",
                f"{uri}, id {run.info.run_id}",
                f"ends it as {ENDED}; `srledger mlflow-sync` makes it whole again from what lies on disk",
                run.info.start_time / 1000,
                lambda run=run: _end(client, run.info.run_id, uri),  # type: ignore[misc]
            )


def _client(uri: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow import MlflowClient

    return MlflowClient(uri)


def _running(client: Any) -> list[Any]:
    ids = [each.experiment_id for each in client.search_experiments() if each.name.startswith(OURS)]
    found, token = [], None
    while ids:
        page = client.search_runs(ids, "attributes.status = 'RUNNING'", page_token=token)
        found += page
        if not (token := page.token):
            break
    return found


def _end(client: Any, run_id: str, uri: str) -> None:
    try:
        client.set_terminated(run_id, ENDED)
    except Exception as error:  # as above
        raise SrledgerError("MLflow does not take it", where=uri, found=str(error).splitlines()[0][:200]) from error


def _is_gone(run: Any, patient: Patient, *, is_local: bool) -> bool:
    tags = run.data.tags
    if PID_TAG in tags and BORN_TAG in tags:
        return tags.get(HOST_TAG) == socket.gethostname() and not is_alive(
            {"pid": int(tags[PID_TAG]), "born": int(tags[BORN_TAG])}
        )
    began_s = run.info.start_time / 1000
    return is_local and not any(each.born_s <= began_s for each in patient.processes.at_work())


def _answers(uri: str) -> bool:
    try:
        return requests.get(f"{uri}/health", timeout=ANSWERS_WITHIN_S).ok
    except requests.RequestException:
        return False
