"""What rows and priors leave behind that DVC does not notice: it knows the stages of params.yaml as it is now."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from srledger.ablations import clear_failures
from srledger.config import Params
from srledger.layout import FAILED, Layout
from srledger.prior_config import priors_of_graphs


def clear_rows(params: Params, layout: Layout) -> list[str]:
    """Delete runs and results of rows that have none any more, and failures that are over.

    Before anything looks at all results: what looks later must find the same. Returns the folders that are gone.
    """
    dropped = _without({layout.run(""): params.runs(), layout.result(""): params.evaluations})
    if layout.ablations:
        clear_failures(layout, params.rows)
    return dropped


def clear_maps(params: Params, layout: Layout) -> list[str]:
    """Delete the maps of priors that no graph makes any more; before anything looks at all maps, as above."""
    return _without({layout.prior(""): priors_of_graphs(params)})


def _without(known_in: Mapping[Path, Collection[str]]) -> list[str]:
    dropped = []
    for folder, known in known_in.items():
        for path in sorted(folder.glob("*")):
            if path.is_dir() and path.name not in known and path.name != FAILED:
                shutil.rmtree(path)
                dropped.append(path.as_posix())
    return dropped
