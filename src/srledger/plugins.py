"""Finds one-file plug-ins: a file in a plug-in folder IS the entry in that folder's catalogue.

A plug-in file ``methods/sr3.py`` holds a ``Config`` (a frozen pydantic model) and exactly one class derived from the
folder's base class. Its file name is its name in params.yaml. Files whose names start with ``_`` are helpers.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from srledger.errors import SrledgerError, unknown_name

KINDS = {
    "data": "Source",
    "degradations": "Degradation",
    "encoders": "Encoder",
    "priors": "Prior",
    "methods": "Method",
    "metrics": "Metric",
    "probes": "Probe",
}
PACKAGE = Path(__file__).parent


class PluginConfig(BaseModel):
    """Base of every settings model: frozen, closed to unknown keys, no silent change of type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def plugin_file(kind: str, name: str) -> Path:
    """Where plug-in ``name`` of ``kind`` stands (whether or not it exists)."""
    return PACKAGE / kind / f"{name}.py"


def plugin_names(kind: str) -> list[str]:
    """The names of all plug-ins of a kind, sorted; no module is imported for it."""
    return sorted(path.stem for path in (PACKAGE / kind).glob("*.py") if not path.stem.startswith("_"))


@functools.cache
def _load(kind: str, name: str) -> tuple[type[Any], type[PluginConfig]]:
    if name not in plugin_names(kind):
        raise unknown_name(kind.rstrip("s"), name, plugin_names(kind), where=f"src/srledger/{kind}/")
    module = importlib.import_module(f"srledger.{kind}.{name}")
    base = getattr(importlib.import_module(f"srledger.{kind}"), KINDS[kind])
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    config = getattr(module, "Config", None)
    if len(found) != 1 or not (inspect.isclass(config) and issubclass(config, PluginConfig)):
        raise SrledgerError(
            "a plug-in file is not whole", where=plugin_file(kind, name),
            found=f"{len(found)} classes derived from {base.__name__}, Config: {config}",
            expected=f"a Config derived from PluginConfig and one class derived from {base.__name__}",
        )  # fmt: skip
    return found[0], config


def plugin_class(kind: str, name: str) -> type[Any]:
    """The class of plug-in ``name``. Raises SrledgerError with the nearest name when there is none."""
    return _load(kind, name)[0]


def plugin_config(kind: str, name: str) -> type[PluginConfig]:
    """The ``Config`` class of plug-in ``name``."""
    return _load(kind, name)[1]
