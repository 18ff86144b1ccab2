"""Train or distill one row of params.yaml, from its settings to ``runs/``."""

from __future__ import annotations

from srledger.config import Params
from srledger.layout import Layout, fresh_folder, write_inactive


def train(params: Params, name: str) -> str:
    """Train every seed of row ``name``; returns the line that a person reads.

    Raises:
        SrledgerError: an unknown row, or published weights that are not at hand.
    """
    layout = Layout(params.scale)
    if not params.is_active(name):
        write_inactive(layout.run(name), f"{name} does not run at scale {params.scale}")
        return f"train {name}: not part of scale {params.scale}"
    # Imported late: a row that has nothing to do here must not wait for torch.
    from srledger.provenance import train_code_sha256
    from srledger.training.run import train_row

    with fresh_folder(layout.run(name)) as part:
        row = params.row(name)
        record = train_row(name, row.resolved(), layout, part, train_code_sha256(layout.root, row))
    return f"train {name}: {len(record['seeds'])} seeds, {record['parameters']:,} parameters"
