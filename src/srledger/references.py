"""What needs HR images, and is refused on tasks whose images are all that there is of a scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srledger.errors import SrledgerError
from srledger.settings import Task

if TYPE_CHECKING:
    from srledger.config import Params


def demand_reference(params: Params, task: Task, what: str, *keys: str | int) -> None:
    """Raise SrledgerError unless ``task`` has HR images; ``what`` needs them, and is named at ``keys``."""
    if not task.has_reference:
        raise SrledgerError(
            f"{what} needs HR images, and task '{task.name}' has none", where=params.file.place(keys),
            found=f"degradation {task.degradation}: the images are restored as they are",
            expected="a task of another degradation", mend="measure rows that were trained elsewhere by `transfers`",
        )  # fmt: skip
