"""Prefect's flow runs that still say Running or Pending though their process is gone.

A run is judged by the machine that its worker is on: `srledger services up` names each worker after it. The process of
a living run has the run's id in its environment.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from srledger.doctor.findings import Finding, Patient
from srledger.services import HOST, Services, host_of

UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]
STARTS_WITHIN_S = 120.0  # a worker starts the process of a pending run within seconds
ANSWERS_WITHIN_S = 5.0
PAGE = 200  # what Prefect gives at once


def find(patient: Patient) -> Iterator[Finding]:
    """One finding per run; nothing where this folder never had services and no other server is named."""
    services = Services(patient.root)
    api = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not api and not services.folder.exists():
        return
    server = _Server(api or f"{services.prefect_url}/api")
    if not server.answers():
        patient.note(f"Prefect's server does not answer at {server.api}: its flow runs were not looked at")
        return
    try:
        unfinished = server.unfinished()
    except requests.RequestException as error:
        patient.note(f"Prefect's server can't tell its flow runs: {error}")
        return
    living = _living(patient)
    for run in unfinished:
        if run["id"] in living or not _is_of_this_machine(run, server.api):
            continue
        state = run["state"]
        began_s = dt.datetime.fromisoformat(state["timestamp"]).timestamp()
        if state["type"] == "PENDING" and time.time() - began_s < STARTS_WITHIN_S and _worker_lives(patient, began_s):
            continue
        ended = "Cancelled" if state["type"] == "CANCELLING" else "Crashed"
        yield Finding(
            f"flow run {run['name']} is {state['name']}, and its process is gone",
            f"{server.api}, id {run['id']}",
            f"sets it, and its tasks that have not ended, to {ended}",
            began_s,
            lambda run=run, ended=ended: server.end(run["id"], ended),  # type: ignore[misc]
        )


def _living(patient: Patient) -> set[str]:
    """Ids of the flow runs whose own process lives, anywhere on this machine."""
    engines = [each for each in patient.processes.values() if each.runs("prefect.engine")]
    return {each.env["PREFECT__FLOW_RUN_ID"] for each in engines if "PREFECT__FLOW_RUN_ID" in each.env}


def _is_of_this_machine(run: dict[str, Any], api: str) -> bool:
    """By its worker's name; a run that no worker has named yet is ours when the server is."""
    worker = run["labels"].get("prefect.worker.name", "")
    if worker:
        return host_of(worker) == socket.gethostname()
    return run["state"]["type"] == "PENDING" and urlsplit(api).hostname in (HOST, "localhost")


def _worker_lives(patient: Patient, began_s: float) -> bool:
    """Whether a worker of this machine was there when a run became Pending and still is."""
    workers = [each for each in patient.processes.values() if each.runs("prefect") and "worker" in each.command]
    return any(each.born_s <= began_s for each in workers)


class _Server:
    """Prefect's server, asked by its documented REST API: importing Prefect takes seconds."""

    def __init__(self, api: str) -> None:
        self.api = api

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.api}/health", timeout=ANSWERS_WITHIN_S).ok
        except requests.RequestException:
            return False

    def unfinished(self) -> list[dict[str, Any]]:
        """Flow runs that have begun and not ended, as the server tells them."""
        return self._all("flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": UNFINISHED}}}})

    def end(self, flow_run: str, state: str) -> None:
        """Give a flow run and its tasks that have not ended their last state."""
        wanted = {"flow_runs": {"id": {"any_": [flow_run]}}, "task_runs": {"state": {"type": {"any_": UNFINISHED}}}}
        for task in self._all("task_runs/filter", wanted):
            self._set("task_runs", task["id"], state)
        self._set("flow_runs", flow_run, state)

    def _set(self, kind: str, run: str, name: str) -> None:
        state = {"type": name.upper(), "name": name, "message": "its process is gone (srledger doctor)"}
        self._post(f"{kind}/{run}/set_state", {"state": state, "force": True})

    def _all(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while len(page := self._post(path, {**body, "limit": PAGE, "offset": len(found)})) == PAGE:
            found += page
        return found + page

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = requests.post(f"{self.api}/{path}", json=body, timeout=ANSWERS_WITHIN_S)
        answer.raise_for_status()
        return answer.json()
