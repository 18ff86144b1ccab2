"""Which files of the package a file needs, read from its import statements."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path


def imported_files(files: Iterable[Path], package: Path) -> set[Path]:
    """Files below ``package`` (``src/srledger``) that ``files`` import, and that these import in turn."""
    found: set[Path] = set()
    names: set[str] = set()
    waiting = list(files)
    while waiting:
        reading = waiting.pop()
        new = set(_imported_names(reading, reading.stat().st_mtime_ns, package.name)) - names
        names |= new
        for name in new:
            for path in _files_of(name, package):
                if path not in found:
                    found.add(path)
                    waiting.append(path)
    return found


@functools.lru_cache(maxsize=1024)
def _imported_names(file: Path, _changed_ns: int, top: str) -> tuple[str, ...]:
    """Dotted names that ``file`` imports from ``top``; of ``from a import b`` both ``a`` and ``a.b``.

    A file is parsed once, for many rows ask for it, and again when it has changed.
    """
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found += [name for name in names if name.split(".")[0] == top]
    return tuple(found)


def _files_of(name: str, package: Path) -> Iterator[Path]:
    """The module's file, and the ``__init__.py`` of every package on the way to it; nothing for a name in a module."""
    path = package
    for part in name.split(".")[1:]:
        if (path / "__init__.py").exists():
            yield path / "__init__.py"
        path = path / part
    if (path / "__init__.py").exists():
        yield path / "__init__.py"
    elif path.with_suffix(".py").exists():
        yield path.with_suffix(".py")
