"""Whose run it is: the process that a run in MLflow stands for, so that a run whose process is gone can be told."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from srledger.services import birth, is_alive

TAGS = {"host": "srledger.host", "pid": "srledger.pid", "born": "srledger.born"}


def this_process() -> dict[str, Any]:
    """``host``, ``pid`` and ``born`` (clock ticks since the machine started: with the pid, it names one process)."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": birth(os.getpid())}


def is_gone(record: Mapping[str, Any]) -> bool:
    """Whether the process of a record has ended; one of another machine is never known to have."""
    return record["host"] == socket.gethostname() and not is_alive({key: int(record[key]) for key in ("pid", "born")})


def to_tags(record: Mapping[str, Any]) -> dict[str, str]:
    """A record as MLflow's tags."""
    return {tag: str(record[key]) for key, tag in TAGS.items()}


def of_tags(tags: Mapping[str, str]) -> dict[str, str] | None:
    """The record in a run's tags, or None for a run that has none."""
    return {key: tags[tag] for key, tag in TAGS.items()} if all(tag in tags for tag in TAGS.values()) else None
