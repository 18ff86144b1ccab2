"""What rows leave behind that DVC does not notice: it knows the stages of params.yaml as it is now."""

from __future__ import annotations

import shutil

from srledger.ablations import clear_failures
from srledger.config import Params
from srledger.layout import FAILED, Layout


def clear_leftovers(params: Params, layout: Layout) -> list[str]:
    """Delete runs and results of rows that have none any more, and failures that are over.

    Before anything looks at all results: what looks later must find the same. Returns the folders that are gone.
    """
    dropped = []
    for folder, known in ((layout.run(""), params.runs()), (layout.result(""), params.evaluations)):
        for path in sorted(folder.glob("*")):
            if path.is_dir() and path.name not in known and path.name != FAILED:
                shutil.rmtree(path)
                dropped.append(path.as_posix())
    if layout.ablations:
        clear_failures(layout, params.rows)
    return dropped
