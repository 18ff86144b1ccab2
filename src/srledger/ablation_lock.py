"""The lock file of the ablation grid. DVC's ``foreach`` takes dictionaries, not factors: this writes them.

It holds the rows of one scale. A stage costs DVC seconds even where there is nothing to do, and of a grid most scales
run a part.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from srledger.ablation_params import AblationParams
from srledger.ablations import GridRow
from srledger.entries import SCALES, ParamsFile
from srledger.errors import SrledgerError
from srledger.io import write_text

LOCK = Path("ablations/grid.lock.yaml")
HEADER = "# Made by `srledger ablations --write` from params.yaml; ablations/dvc.yaml runs these rows, of scale "
WRITE = "srledger ablations --write"


def lock_text(params: AblationParams) -> str:
    """The lock file: one line per row that the scale asks for, sorted, with everything of the grid that decides it.

    Rows that are trained stand under ``grid``, those that take another's weights under ``sampled``.
    """
    lines = [HEADER + params.scale]
    asked_for = params.asked_for()
    for group, sampled in (("grid", False), ("sampled", True)):
        items = [
            f"  {name}: {json.dumps(_item(row, params.entries), sort_keys=True, ensure_ascii=False, allow_nan=False)}"
            for name, row in sorted(params.grid.rows.items())
            if (row.weights_of is not None) == sampled and name in asked_for
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


def write_lock(params: AblationParams, root: Path) -> bool:
    """Bring the lock file up to date; returns whether it had to change."""
    text = lock_text(params)
    changed = not (root / LOCK).exists() or (root / LOCK).read_text(encoding="utf-8") != text
    if changed:
        write_text(root / LOCK, text)
    return changed


def scale_of_lock(root: Path) -> str | None:
    """The scale whose rows the lock file holds; None where there is no such file."""
    if not (root / LOCK).exists():
        return None
    with (root / LOCK).open(encoding="utf-8") as file:
        return file.readline().rpartition(" ")[2].strip()


def check_lock(params: AblationParams, root: Path) -> None:
    """Raises SrledgerError when the lock file is not what params.yaml gives: DVC would run another grid."""
    scale = scale_of_lock(root)
    if scale is None:
        raise SrledgerError("the ablation grid has no lock file", where=LOCK, mend=WRITE)
    if scale != params.scale:
        raise SrledgerError(
            "the lock file of the ablation grid is of another scale", where=LOCK, found=scale, expected=params.scale,
            mend=WRITE,
        )  # fmt: skip
    wanted, found = (set(text.splitlines()) for text in (lock_text(params), (root / LOCK).read_text("utf-8")))
    if wanted != found:
        rows = sorted({line.strip().partition(":")[0] for line in wanted ^ found if not line.startswith("#")})
        raise SrledgerError(
            "the lock file of the ablation grid is not what params.yaml gives", where=LOCK,
            found="other rows: " + ", ".join(rows) if rows else "another first line", mend=WRITE,
        )  # fmt: skip
