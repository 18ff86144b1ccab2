"""Transfers of params.yaml: rows measured elsewhere than where they were trained, or restored with other settings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from srledger.errors import SrledgerError, nearest_name
from srledger.plugins import plugin_class, plugin_names
from srledger.prior_config import check_prior_of_graph
from srledger.settings import Evaluation, Row
from srledger.token_priors import check_reader
from srledger.yamlmap import parse

if TYPE_CHECKING:
    from srledger.config import Params


def transfer_of(params: Params, name: str) -> Evaluation:
    """The transfer ``name`` at the scale of ``params``.

    Raises:
        SrledgerError: a row, task or prior that there is not; another scale factor than the row can restore; a setting
            that its training has read, or settings that change nothing.
    """
    entry = params.entries.transfers[name]
    keys = ("transfers", name)
    params._must_be("row", entry.row, params.rows, *keys, "row")
    params._must_be("task", entry.task, params.tasks, *keys, "task")
    params._check_prior(entry.prior, entry.task, *keys)
    check_prior_of_graph(params, entry.prior, *keys)
    row, task = params.rows[entry.row], params.tasks[entry.task]
    if row.task.scale_factor != task.scale_factor and not plugin_class("methods", row.method).any_scale_factor:
        able = [name for name in plugin_names("methods") if plugin_class("methods", name).any_scale_factor]
        raise SrledgerError(
            f"a row of the method '{row.method}' can't be measured at another scale factor",
            where=params.file.place(keys), found=f"x{task.scale_factor}",
            expected=f"x{row.task.scale_factor}, as {row.name} was trained",
            mend=f"take a task of x{row.task.scale_factor}, or a row of {', '.join(able)}",
        )  # fmt: skip
    if entry.config:
        row = _restoring_otherwise(params, name, row)
    check_reader(params, row.method, row.config, params.priors[entry.prior], (*keys, "prior"))
    active, unavailable = params.is_active(name), params.why_unavailable(name)
    return Evaluation(name, row, task, params.priors[entry.prior], active, unavailable)


def _restoring_otherwise(params: Params, name: str, row: Row) -> Row:
    """A row of the transfer's own name: the weights of ``row``, its settings, and over them those of the transfer."""
    config, keys = params.entries.transfers[name].config, ("transfers", name, "config")
    free: frozenset[str] = getattr(row.config, "sampling_settings", frozenset())
    for setting in config:
        if setting not in free:
            raise SrledgerError(
                f"a transfer can't change what the training of '{row.name}' has read",
                where=params.file.place((*keys, setting)), found=setting,
                expected=", ".join(sorted(free)) or f"nothing: restoring with {row.method} has no settings of its own",
                nearest=nearest_name(setting, free), mend="give it an entry under variants, which is trained",
            )  # fmt: skip
    group = "students" if row.kind == "student" else "variants"
    here = (group, row.name)
    layers = params._layers((*here, "config"), (*here, "at", params.scale, "config"), keys)
    changed = parse(params.file, type(row.config), layers)
    if changed == row.config and row.active:
        raise SrledgerError(
            f"a transfer's settings are those of '{row.name}' at scale {params.scale}", where=params.file.place(keys),
            found=dict(config), expected="settings that differ", mend="leave config out, or change its scales",
        )  # fmt: skip
    return dataclasses.replace(row, name=name, config=changed, weights_of=row)
