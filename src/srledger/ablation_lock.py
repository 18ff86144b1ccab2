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
from srledger.entries import SCALES
from srledger.errors import SrledgerError
from srledger.io import write_text
from srledger.prior_config import is_made, place_of_prior

LOCK = Path("ablations/grid.lock.yaml")
HEADER = "# Made by `srledger ablations --write` from params.yaml; ablations/dvc.yaml runs these rows, of scale "
WRITE = "srledger ablations --write"


def lock_text(params: AblationParams) -> str:
    """The lock file: one line per row that the scale asks for, sorted, with everything of the grid that decides it.

    Rows that are trained stand under ``grid``, those that take another's weights under ``sampled``, priors that no
    other graph makes under ``maps``.
    """
    lines = [HEADER + params.scale]
    asked_for = params.asked_for()
    for group, sampled in (("grid", False), ("sampled", True)):
        items = [
            f"  {name}: {json.dumps(_item(row, params), sort_keys=True, ensure_ascii=False, allow_nan=False)}"
            for name, row in sorted(params.grid.rows.items())
            if (row.weights_of is not None) == sampled and name in asked_for
        ]
        lines += [f"{group}:" if items else f"{group}: {{}}", *items]
    maps = [name for name, entry in params.entries.ablation_priors.items() if is_made(entry, params.scale)]
    lines += ["maps:" if maps else "maps: {}", *(f"  {name}: {{}}" for name in sorted(maps))]
    return "\n".join(lines) + "\n"


def _item(row: GridRow, params: AblationParams) -> dict[str, Any]:
    base, table = params.entries.variants[row.base], params.entries.ablations[row.table]
    prior, encoder = (str(row.settings.get(key, getattr(base, key))) for key in ("prior", "encoder"))
    item: dict[str, Any] = {
        "base": row.base,
        "method": base.method,
        "task": table.task or base.task,
        "prior": prior,
        "prior_entry": ".".join(place_of_prior(params, prior)),
        "encoder": encoder,
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
