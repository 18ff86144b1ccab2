"""Files outside the project that a dataset was read from: DVC doesn't see them, so edits are noticed here.

``download`` notes size, time and sha256 of every file in ``scratch/<scale>/watched``; `srledger config`, with which
`make repro` begins, looks again, and hashes what has another time: a folder that was copied or mounted again is not
an edit. What was never read on this machine is not watched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from srledger.config import Params
from srledger.data import Source
from srledger.errors import SrledgerError
from srledger.io import read_json, sha256_file, write_json
from srledger.layout import Layout
from srledger.plugins import plugin_class
from srledger.settings import Dataset

NAMED_AT_MOST = 5


def note_files(dataset: Dataset, layout: Layout) -> None:
    """Remember the state of the files that a dataset has just been read from."""
    assert dataset.source is not None
    source: Source = plugin_class("data", dataset.source)(dataset.config)
    write_json(
        layout.watched(dataset.name),
        {str(path.absolute()): [*_state(path), sha256_file(path)] for path in source.watched_files()},
    )


def check_files(params: Params, layout: Layout) -> None:
    """Raise SrledgerError when files of a dataset were edited, removed or renamed since it was read."""
    for name in params.datasets:
        record = layout.watched(name)
        if params.block.datasets[name] is None or not record.exists():
            continue
        files = read_json(record)
        now = {path: _noted_now(Path(path), noted) for path, noted in files.items()}
        changed = [path for path, noted in now.items() if noted is None]
        if changed:
            shown = ", ".join(map(repr, changed[:NAMED_AT_MOST])) + (", ..." if len(changed) > NAMED_AT_MOST else "")
            raise SrledgerError(
                f"files of dataset '{name}' changed after it was read",
                where=params.file.place(("scales", params.scale, "datasets", name)),
                found=f"{len(changed)} of {len(files)}: {shown}",
                mend=f"dvc repro --force download@{name} reads them again; where files_sha256 pins them, first"
                " `srledger add-dataset FOLDER --update`",
            )
        if now != files:  # hashed once, not at every look
            write_json(record, now)


def _state(path: Path) -> list[int]:
    """[size in bytes, time of the last change in ns] of a file."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _noted_now(path: Path, noted: list[Any]) -> list[Any] | None:
    """What to note of a file that is what ``noted`` says, with its new time if it has one; None where it is not."""
    try:
        state = _state(path)
        if state == noted[:2]:
            return noted
        same = state[0] == noted[0] and [sha256_file(path)] == noted[2:]
    except OSError:
        return None
    return [*state, *noted[2:]] if same else None
