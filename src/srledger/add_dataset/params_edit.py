"""Entries put into params.yaml as text: comments, order, anchors and formatting of everything else keep their bytes.

A YAML library that loads and dumps a file writes it in its own style. Here the parser only says where things stand: new
text is put there, and what comes out is read again. It must hold what was there before and the changes, nothing else.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.io import write_bytes
from srledger.yamlmap import KeyPath, YamlFile

LINE_WIDTH = 120
PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
NOT_PLAIN = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


class Insert(NamedTuple):
    """A new last entry ``name: value`` of the mapping at ``keys``."""

    keys: KeyPath
    name: str
    value: Any


class Append(NamedTuple):
    """A new last item of the list at ``keys``."""

    keys: KeyPath
    value: Any


class Replace(NamedTuple):
    """Another value in the place of the scalar at ``keys``."""

    keys: KeyPath
    value: Any


Change = Insert | Append | Replace


def edit(text: str, changes: Iterable[Change], name: str = "params.yaml") -> str:
    """``text`` with ``changes`` made, in turn; a change that is already there changes nothing.

    Raises:
        SrledgerError: the place is not there, or the change would touch another entry (one that shares an anchor).
    """
    expected, result = _values(text, name), text
    for change in changes:
        _apply(expected, change, name)
        if not _is_done(_values(result, name), change):  # by an alias of what was changed before
            result = _edit_text(result, change, name)
    if _values(result, name) != expected:
        raise SrledgerError(
            "the change would touch other entries too",
            where=name,
            found="an anchor or alias on the way to it",
            mend="write the entries of that scale out, or make the change by hand",
        )
    return result


def read_text(path: Path) -> tuple[bytes, str]:
    """A YAML file's bytes, and its text with the line ends as they are. Raises SrledgerError when it is no UTF-8."""
    if not path.is_file():
        raise SrledgerError("a file is missing", where=path, mend="run the command in the project's top folder")
    data = path.read_bytes()
    try:
        return data, data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SrledgerError("a file is not UTF-8", where=path, found=error, mend="save it as UTF-8") from None


def check_params(text: str, scales: Iterable[str]) -> None:
    """Read ``text`` as params.yaml at each of ``scales``, every plug-in's settings too. Raises SrledgerError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        write_bytes(path, text.encode("utf-8"))
        file = YamlFile.read(path)
    for scale in scales:
        params = Params(file, scale)
        for part in (params.datasets, params.tasks, params.encoders, params.priors, params.evaluations):
            for name in part:
                part[name]


def replace_params(path: Path, before: bytes, text: str) -> None:
    """Put ``text`` in the place of params.yaml, unless it is no longer the file that was read.

    Raises:
        SrledgerError: someone has saved the file since.
    """
    path = path.resolve()  # a link stays a link
    if path.read_bytes() != before:
        raise SrledgerError("params.yaml was changed meanwhile", where=path, mend="run the command again")
    write_bytes(path, text.encode("utf-8"))


def flow(value: Any) -> str:
    """A value as YAML on one line, in the style of params.yaml."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in NOT_PLAIN:
        return value
    return json.dumps(value, ensure_ascii=not str(value).isprintable())


def block(name: str, value: Any, column: int = 0) -> list[str]:
    """``name: value`` as lines that start at ``column``: one line where it fits, else one line an item."""
    return _block(f"{flow(name)}:", value, column)


def _block(head: str, value: Any, column: int) -> list[str]:
    line = " " * column + f"{head} {flow(value)}"
    if len(line) <= LINE_WIDTH or not value or not isinstance(value, dict | list | tuple):
        return [line]
    items = [(f"{flow(key)}:", item) for key, item in value.items()] if isinstance(value, dict) else None
    items = items or [("-", item) for item in value]
    return [" " * column + head, *(line for key, item in items for line in _block(key, item, column + 2))]


def _values(text: str, name: str) -> Any:
    """What ``text`` holds, with aliases written out."""
    try:
        loaded = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise SrledgerError("not valid YAML", where=name, found=error) from error
    return json.loads(json.dumps(loaded, default=str))


def _apply(values: Any, change: Change, name: str) -> None:
    *parents, last = change.keys if isinstance(change, Replace) else (*change.keys, None)
    node = values
    for key in parents:
        if not isinstance(node, dict) or key not in node:
            raise _no_place(change, name)
        if node[key] is None:  # an empty section
            node[key] = {} if isinstance(change, Insert) else []
        node = node[key]
    if isinstance(change, Append) and isinstance(node, list):
        node.extend([] if change.value in node else [copy.deepcopy(change.value)])
    elif isinstance(change, Insert) and isinstance(node, dict) and node.get(change.name, change.value) == change.value:
        node[change.name] = copy.deepcopy(change.value)
    elif isinstance(change, Replace) and isinstance(node, dict) and last in node:
        node[last] = change.value
    else:
        raise _no_place(change, name)


def _is_done(values: Any, change: Change) -> bool:
    node = values
    for key in change.keys:
        node = node[key] if isinstance(node, dict) and key in node else None
    if isinstance(change, Insert):
        return isinstance(node, dict) and change.name in node  # with this value, or _apply would have refused
    return change.value in (node or []) if isinstance(change, Append) else node == change.value


def _no_place(change: Change, name: str) -> SrledgerError:
    keys = (*change.keys, change.name) if isinstance(change, Insert) else change.keys
    return SrledgerError(
        "there is no place for an entry", where=f"{name}: {'.'.join(map(str, keys))}", found=flow(change.value),
        expected="a free name in a section that is there",
    )  # fmt: skip


@dataclasses.dataclass
class _Node:
    """A value of the file and where its text stands: characters ``start`` to ``end``."""

    start: int
    end: int
    inside: int = 0  # behind the bracket that opens it
    is_flow: bool = False
    entries: dict[str, _Node] = dataclasses.field(default_factory=dict)  # of a mapping
    items: list[_Node] = dataclasses.field(default_factory=list)  # of a list; the values of a mapping
    first: int = 0  # where its first key or item stands
    target: _Node | None = None  # what an alias stands for


def _edit_text(text: str, change: Change, name: str) -> str:
    events = YAML(typ="rt").parse(text)
    next(events), next(events)  # the start of the stream and of the document
    node = _node(next(events), events, text, {})
    for key in change.keys:
        if key not in node.entries:
            raise _no_place(change, name)
        node = node.entries[str(key)]
        node = node.target or node
    if isinstance(change, Replace):
        return text[: node.start] + flow(change.value) + text[node.end :]
    one_line = flow(change.value) if isinstance(change, Append) else f"{flow(change.name)}: {flow(change.value)}"
    if node.is_flow and node.items:
        return _put(text, node.items[-1].end, f", {one_line}")
    if node.is_flow:
        return _put(text, node.inside, one_line if isinstance(change, Append) else f" {one_line} ")
    if not node.items:  # a section with nothing in it
        space = "" if text[: node.start].endswith((" ", "\n")) else " "
        value = f"[{one_line}]" if isinstance(change, Append) else f"{{ {one_line} }}"
        return text[: node.start] + space + value + text[node.end :]
    newline = "\r\n" if "\r\n" in text else "\n"
    line_start = text.rfind("\n", 0, node.first) + 1
    lead = text[line_start : node.first]
    if isinstance(change, Append):
        lines = _block("-", change.value, len(lead) - len(lead.lstrip()))
    else:
        lines = block(change.name, change.value, len(lead))
    return _put(text, _line_end(text, node.end), "".join(newline + line for line in lines))


def _put(text: str, position: int, new: str) -> str:
    return text[:position] + new + text[position:]


def _line_end(text: str, position: int) -> int:
    """Where the line of ``position`` ends, after its comment and before its line break."""
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    return end - 1 if text[:end].endswith("\r") else end


def _node(event: Any, events: Iterator[Any], text: str, anchors: dict[str, _Node]) -> _Node:
    """The value that ``event`` begins, and all that stands in it."""
    node = _Node(event.start_mark.index, event.end_mark.index)
    if isinstance(event, AliasEvent):
        node.target = anchors[event.anchor]
        return node
    if event.anchor:
        anchors[event.anchor] = node
    if isinstance(event, ScalarEvent):
        node.end = node.start + len(text[node.start : node.end].rstrip())  # a block scalar's mark stands too far
        return node
    node.inside, node.is_flow = node.end, bool(event.flow_style)
    for child in events:
        if isinstance(child, MappingEndEvent | SequenceEndEvent):
            # The end of a block is marked where the next thing begins; comments stand between.
            node.end = child.end_mark.index if node.is_flow else node.items[-1].end
            return node
        item = _node(child, events, text, anchors)
        node.first = node.first if node.items else item.start
        if isinstance(event, MappingStartEvent):
            key_end = item.end
            item = _node(next(events), events, text, anchors)
            if item.start == item.end:  # nothing stands there; the parser marks where the next thing begins
                item.start = item.end = text.index(":", key_end) + 1
            if isinstance(child, ScalarEvent):
                node.entries[child.value] = item
        node.items.append(item)
    raise AssertionError("the parser ends what it begins")
