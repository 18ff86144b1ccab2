"""How stages are run side by side: the ``orchestration`` block of params.yaml. No number depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from srledger.plugins import PluginConfig

if TYPE_CHECKING:
    from srledger.config import Params


class OrchestrationConfig(PluginConfig):
    """Leases and retries of the flows. Threads and precision are not here: they decide bits, and belong to a row."""

    cpu_leases: int = Field(default=2, ge=1, description="stages side by side that ask for no GPU")
    stages_per_gpu: int = Field(default=1, ge=1, description="stages side by side on one GPU")
    retries: int = Field(default=1, ge=0, description="of a stage that failed otherwise than by a user's mistake")
    retry_delay_s: float = Field(default=5.0, ge=0)
    busy_wait_s: float = Field(default=600.0, ge=0, description="how long to wait for another DVC in this folder")
    remote: str | None = Field(
        default=None,
        min_length=1,
        description="DVC remote that shares results with other machines; null: this one alone",
    )


def asks_for_gpu(params: Params, group: str, item: str) -> bool:
    """Whether a stage (``train``, ``rrdb``) runs on a GPU at this scale; no plug-in is loaded for the answer.

    Training and distilling follow ``training.device`` of the row or encoder, evaluating ``evaluation.device``; nothing
    else asks.
    """
    if group.startswith("evaluate"):
        return params.holding(item).evaluation.device == "cuda"
    if group not in ("train", "train_encoder", "distill"):
        return False
    entries, at = params.entries, params.scale
    layers: list[Mapping[str, Any]] = [entries.training, params.block.training]
    grid_row = params.ablations.grid.rows.get(item)
    variant = grid_row.base if grid_row else item
    entry = entries.variants.get(variant) or entries.students.get(variant) or entries.encoders.get(variant)
    if entry is not None:
        layers += [entry.training, entry.at[at].training if at in entry.at else {}]
    if grid_row is not None:
        table = entries.ablations[grid_row.table]
        layers += [params.block.ablations.training, table.training, table.at[at].training if at in table.at else {}]
        layers += [change.of("training") for change in grid_row.changes]
    return {key: value for layer in layers for key, value in layer.items()}.get("device", "cpu") == "cuda"
