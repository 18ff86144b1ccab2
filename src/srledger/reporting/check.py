"""Is a committed report what its rows give? Compared byte for byte, and told cell by cell."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from srledger.reporting.cells import HEADER
from srledger.reporting.explain import read_cells
from srledger.reporting.html import PAGES
from srledger.reporting.pictures import read_rgb

KEY = HEADER[:4]


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing that is not as committed: a file, or a cell (``table/row/task/metric: field``)."""

    what: str
    committed: str
    remade: str

    def __str__(self) -> str:
        return f"{self.what}: committed {self.committed}, re-made {self.remade}"


def compare_report(rendered: Path, committed: Path) -> list[Difference]:
    """What differs between two report folders; nothing when they are equal.

    Its pages, cells.csv, tables/ and figures/ are compared; what else stands in ``committed`` is not of the report.
    PNG grids with other bytes are equal when their pixels are: compressors differ between builds of zlib.
    """
    names = sorted(_names(rendered) | _names(committed))
    found = []
    for name in names:
        ours, theirs = rendered / name, committed / name
        if not theirs.exists():
            found.append(Difference(name, "nothing", "a file"))
        elif not ours.exists():
            found.append(Difference(name, "a file", "nothing"))
        elif ours.read_bytes() != theirs.read_bytes() and not _same_pixels(ours, theirs):
            found += _cell_differences(ours, theirs) if name == "cells.csv" else [_first_difference(name, ours, theirs)]
    return sorted(found, key=lambda difference: not difference.what.startswith("cell "))


def _names(folder: Path) -> set[str]:
    files = [
        *(folder / name for name in PAGES),
        folder / "cells.csv",
        *(folder / "tables").glob("**/*"),
        *(folder / "figures").glob("**/*"),
    ]
    return {path.relative_to(folder).as_posix() for path in files if path.is_file()}


def _same_pixels(ours: Path, theirs: Path) -> bool:
    if ours.suffix != ".png":
        return False
    try:
        a, b = read_rgb(ours), read_rgb(theirs)
    except (OSError, SyntaxError):  # a torn PNG
        return False
    return a.shape == b.shape and bool((a == b).all())


def _cell_differences(ours: Path, theirs: Path) -> list[Difference]:
    remade = {tuple(cell[field] for field in KEY): cell for cell in read_cells(ours)}
    committed = {tuple(cell[field] for field in KEY): cell for cell in read_cells(theirs)}
    found = []
    for key in dict.fromkeys([*committed, *remade]):
        name = "cell " + "/".join(key)
        if key not in remade or key not in committed:
            found.append(
                Difference(
                    name, "absent" if key not in committed else "there", "absent" if key not in remade else "there"
                )
            )
            continue
        for field in HEADER[4:]:
            if committed[key][field] != remade[key][field]:
                found.append(
                    Difference(f"{name}: {field}", committed[key][field] or "empty", remade[key][field] or "empty")
                )
    return found or [_first_difference("cells.csv", ours, theirs)]


def _first_difference(name: str, ours: Path, theirs: Path) -> Difference:
    if ours.suffix == ".png":
        return Difference(name, "a picture", "another picture")
    a, b = (path.read_text(encoding="utf-8", errors="replace").splitlines() for path in (ours, theirs))
    line = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    shown = [repr(lines[line][:80]) if line < len(lines) else "the end" for lines in (b, a)]
    return Difference(f"{name}, line {line + 1}", *shown)
