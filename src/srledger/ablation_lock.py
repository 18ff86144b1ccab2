"""The lock file of the ablation grid. DVC's ``foreach`` takes dictionaries, not factors: this writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from srledger.ablations import Grid, GridRow
from srledger.entries import SCALES, ParamsFile
from srledger.errors import SrledgerError
from srledger.io import write_text

LOCK = Path("ablations/grid.lock.yaml")
HEADER = "# Made by `srledger ablations --write` from params.yaml; ablations/dvc.yaml runs these rows."
WRITE = "srledger ablations --write"


def lock_text(grid: Grid, entries: ParamsFile) -> str:
    """The lock file: one line per row, sorted, with everything of the grid that decides it.

    Rows that are trained stand under ``grid``, those that take another's weights under ``sampled``.
    """
    lines = [HEADER]
    for group, sampled in (("grid", False), ("sampled", True)):
        items = [
            f"  {name}: {json.dumps(_item(row, entries), sort_keys=True, ensure_ascii=False, allow_nan=False)}"
            for name, row in sorted(grid.rows.items())
            if (row.weights_of is not None) == sampled
        ]
        lines += [f"{group}:" if items else f"{group}: {{}}", *items]
    return "\n".join(lines) + "\n"


def _item(row: GridRow, entries: ParamsFile) -> dict[str, Any]:
    base, table = entries.variants[row.base], entries.ablations[row.table]
    item: dict[str, Any] = {
        "base": row.base,
        "method": base.method,
        "task": base.task,
        "prior": row.settings.get("prior", base.prior),
        "encoder": base.encoder,
        "settings": row.settings,
        "training": table.training,
        "at": {scale: changes.model_dump(exclude_defaults=True) for scale, changes in table.at.items()},
    }
    if table.config:
        item["config"] = table.config
    if row.scales != SCALES:
        item["scales"] = row.scales
    if row.weights_of:
        item["weights_of"] = row.weights_of
    return item


def write_lock(grid: Grid, entries: ParamsFile, root: Path) -> bool:
    """Bring the lock file up to date; returns whether it had to change."""
    text = lock_text(grid, entries)
    changed = not (root / LOCK).exists() or (root / LOCK).read_text(encoding="utf-8") != text
    if changed:
        write_text(root / LOCK, text)
    return changed


def check_lock(grid: Grid, entries: ParamsFile, root: Path) -> None:
    """Raises SrledgerError when the lock file is not what params.yaml gives: DVC would run another grid."""
    if not (root / LOCK).exists():
        raise SrledgerError("the ablation grid has no lock file", where=LOCK, mend=WRITE)
    wanted, found = (set(text.splitlines()) for text in (lock_text(grid, entries), (root / LOCK).read_text("utf-8")))
    if wanted != found:
        rows = sorted({line.strip().partition(":")[0] for line in wanted ^ found if line != HEADER})
        raise SrledgerError(
            "the lock file of the ablation grid is not what params.yaml gives", where=LOCK,
            found="other rows: " + ", ".join(rows) if rows else "another first line", mend=WRITE,
        )  # fmt: skip
