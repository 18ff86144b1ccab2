"""YAML mappings that remember where each value stood, so that an error can name its line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from srledger.errors import SrledgerError, nearest_name

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class YamlFile:
    """A parsed YAML file: plain values, and the line of every key."""

    path: Path
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]

    @classmethod
    def read(cls, path: Path) -> YamlFile:
        """Parse ``path`` with the safe rules of YAML 1.2. Raises SrledgerError when it is missing or no mapping."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError

        if not path.exists():
            raise SrledgerError("a file is missing", where=path, mend="run the command in the project's top folder")
        text = path.read_text(encoding="utf-8")
        try:  # twice through libyaml, for values and for places: a fifth of the time of ruamel's own reader
            values, tree = YAML(typ="safe").load(text), YAML(typ="safe").compose(text)
        except MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else "?"
            raise SrledgerError("not valid YAML", where=f"{path.name}:{line}", found=error.problem) from error
        if not isinstance(values, dict):
            raise SrledgerError("a mapping was expected", where=path.name, found=type(values).__name__)
        lines: dict[KeyPath, int] = {}
        _find_lines(tree, values, (), lines)
        return cls(path, _unshared(values), lines)

    def place(self, keys: KeyPath) -> str:
        """``params.yaml:12: variants.rrdb.task`` for a key path, or for the longest part of it that has a line."""
        known = keys
        while known and known not in self.lines:
            known = known[:-1]
        line = f":{self.lines[known]}" if known else ""
        return f"{self.path.name}{line}: {'.'.join(str(key) for key in keys)}"


def _find_lines(node: Any, value: Any, keys: KeyPath, lines: dict[KeyPath, int]) -> None:
    """Fill ``lines`` from a tree of nodes and the values it gave.

    What ``<<`` brought stands elsewhere: the key has the line of its mapping, what is inside has lines of its own.
    """
    if isinstance(value, dict):
        own, nodes = {key.value: key.start_mark.line + 1 for key, _ in node.value}, _children(node)
        for key, item in value.items():
            if str(key) in own:
                lines[(*keys, key)] = own[str(key)]
            if str(key) in nodes:  # `true` and `null` are keys too, written otherwise than str() writes them
                _find_lines(nodes[str(key)], item, (*keys, key), lines)
    elif isinstance(value, list):
        for k, (child, item) in enumerate(zip(node.value, value, strict=True)):
            _find_lines(child, item, (*keys, k), lines)


def _children(node: Any) -> dict[str, Any]:
    """Nodes of a mapping's values by key, what ``<<`` brings among them."""
    merged = [child for key, child in node.value if key.value == "<<"]
    merged = [each for child in merged for each in (child.value if child.id == "sequence" else [child])]
    found: dict[str, Any] = {}
    for each in reversed(merged):
        found.update(_children(each))
    return {**found, **{key.value: child for key, child in node.value if key.value != "<<"}}


def _unshared(value: Any) -> Any:
    """A copy in which what an alias names twice is two values."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True)
class Layer:
    """A mapping of the file that is laid over those before it."""

    keys: KeyPath
    values: Mapping[str, Any]


def overlay(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, KeyPath]]:
    """Merge layers, later ones winning key by key; returns the values and where each top key came from."""
    merged: dict[str, Any] = {}
    origins: dict[str, KeyPath] = {}
    for layer in layers:
        for key, value in layer.values.items():
            merged[key] = value
            origins[key] = (*layer.keys, key)
    return merged, origins


def parse(file: YamlFile, model: type[Model], layers: Iterable[Layer]) -> Model:
    """Validate merged layers as ``model``.

    Raises:
        SrledgerError: names file, line, key, what was found, what is allowed and the nearest name.
    """
    layers = list(layers)
    for layer in layers:
        if not isinstance(layer.values, Mapping):
            raise SrledgerError(
                "a mapping was expected",
                where=file.place(layer.keys),
                found=repr(layer.values),
                expected=_fields(model),
            )
    values, origins = overlay(layers)
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        loc = tuple(part for part in first["loc"] if part in values or isinstance(part, str | int))
        base: KeyPath = layers[-1].keys if layers else ()
        keys = (*origins.get(str(loc[0]), (*base, loc[0])), *loc[1:]) if loc else base
        raise _explain(file, model, keys, loc, dict(first), values) from None


def _explain(
    file: YamlFile, model: type[BaseModel], keys: KeyPath, loc: KeyPath, error: dict[str, Any], values: dict[str, Any]
) -> SrledgerError:
    where = file.place(keys)
    if error["type"] == "extra_forbidden":
        allowed = list(_model_at(model, loc[:-1]).model_fields)
        name = str(loc[-1])
        return SrledgerError(
            f"unknown key '{name}'", where=where, found=name, expected="one of " + ", ".join(sorted(allowed)),
            nearest=nearest_name(name, allowed),
        )  # fmt: skip
    if error["type"] == "missing":
        return SrledgerError(f"the key '{loc[-1]}' is missing", where=where, expected=f"a value for '{loc[-1]}'")
    message = error["msg"].removeprefix("Value error, ")
    found = error.get("input")
    nearest = None
    if error["type"] == "literal_error":
        nearest = nearest_name(
            str(found), [part.strip(" '") for part in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        )
    shown = repr(found) if not isinstance(found, dict) else None
    return SrledgerError(
        f"{'.'.join(map(str, loc)) or model.__name__}: {message}", where=where, found=shown, nearest=nearest
    )


def _model_at(model: type[BaseModel], loc: KeyPath) -> type[BaseModel]:
    """The nested model that stands at ``loc``."""
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is None:
            continue  # an index of a list or a key of a dict
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        nested = [value for value in candidates if isinstance(value, type) and issubclass(value, BaseModel)]
        if nested:
            model = nested[0]
    return model


def _fields(model: type[BaseModel]) -> str:
    return "keys " + ", ".join(model.model_fields)
