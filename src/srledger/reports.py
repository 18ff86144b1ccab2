"""Reports by name: a scale's (``quick``) and that of its ablation grid (``quick_ablations``)."""

from __future__ import annotations

from pathlib import Path

from srledger.config import Params
from srledger.layout import ABLATIONS, Layout


def open_report(name: str | None = None, *, ablations: bool = False, root: Path | None = None) -> tuple[Params, Layout]:
    """The parameters and the folders behind a report.

    Args:
        name: the report's name or its scale; null: the scale of params.yaml.
        ablations: the grid's report, whatever ``name`` says.

    Raises:
        SrledgerError: no such scale, or params.yaml is not whole.
    """
    ablations = ablations or (name or "").endswith(ABLATIONS)
    params = Params.load(root, scale=name.removesuffix(ABLATIONS) if name else None)
    return (params.ablations if ablations else params), Layout(params.scale, root, ablations=ablations)
