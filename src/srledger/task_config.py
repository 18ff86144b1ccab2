"""Tasks of params.yaml at one scale: their sizes, their degradation, their metrics, and whether faces may move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srledger.errors import SrledgerError
from srledger.plugins import plugin_config, plugin_names
from srledger.prior_config import is_made
from srledger.settings import Task
from srledger.yamlmap import KeyPath

if TYPE_CHECKING:
    from srledger.config import Params


def task_of_entry(params: Params, name: str) -> Task:
    """The task ``name`` at the scale of ``params``.

    Raises:
        SrledgerError: a dataset, degradation, metric, size or scale factor that can't be, or jitter of what can't move.
    """
    entry = params.entries.tasks[name]
    params._must_be("dataset", entry.dataset, params.datasets, "tasks", name, "dataset")
    params._must_be("degradation", entry.degradation, plugin_names("degradations"), "tasks", name, "degradation")
    at_scale = params.block.tasks.get(name)
    metrics = entry.metrics
    at: KeyPath = ("tasks", name, "metrics")
    if at_scale is not None and at_scale.metrics is not None:
        metrics, at = at_scale.metrics, ("scales", params.scale, *at)
    for metric in metrics:
        params._check_metric(metric, at)
    size = at_scale.hr_size_px if at_scale else entry.hr_size_px
    if size is not None and size % entry.scale_factor:
        raise SrledgerError(
            "the scale factor does not divide the HR size",
            where=params.file.place(("scales", params.scale, "tasks", name) if at_scale else ("tasks", name)),
            found=f"hr_size_px {size}, scale_factor {entry.scale_factor}",
            expected=f"a multiple of {entry.scale_factor}",
        )
    config = params._layered(plugin_config("degradations", entry.degradation), ("tasks", name, "config"))
    dataset = params.datasets[entry.dataset]
    task = Task(
        name, dataset, entry.degradation, config, entry.scale_factor, size, metrics, entry.jitter,
        is_made(entry, params.scale),
    )  # fmt: skip
    if not task.has_reference and task.scale_factor != 1:
        raise SrledgerError(
            "images without a reference are restored at their own size",
            where=params.file.place(("tasks", name, "scale_factor")), found=entry.scale_factor, expected="1",
            mend="set scale_factor: 1, or take a degradation",
        )  # fmt: skip
    if task.jitter and task.active:
        _check_jitter(params, task)
    return task


def _check_jitter(params: Params, task: Task) -> None:
    here = ("tasks", task.name, "jitter")
    if task.hr_size_px is None:
        raise SrledgerError(
            "only images that are reduced to a square can be moved", where=params.file.place(here),
            found=f"no hr_size_px at scale {params.scale}", expected="hr_size_px",
            mend=f"give scales.{params.scale}.tasks.{task.name} a size, or leave jitter out",
        )  # fmt: skip
    if task.degradation == "given_lr":
        raise SrledgerError(
            "an LR image that the dataset brings can't move with its HR image", where=params.file.place(here),
            found=f"degradation {task.degradation}", mend="leave jitter out",
        )  # fmt: skip
