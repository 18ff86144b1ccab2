"""The frozen networks of a row: the one that its method builds on, or that its loss compares images with, or a pair.

Of a pair (``encoder_pairs`` of params.yaml) the method builds on the first, and its loss alone has the second, the
judge. A pair is a folder beside its encoders that names them and holds one hash of both their weights: what depends on
a row's encoder depends on its judge by that.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from srledger.entries import VariantEntry
from srledger.errors import SrledgerError
from srledger.io import read_json, sha256_json
from srledger.layout import Layout
from srledger.plugins import PluginConfig, plugin_class
from srledger.settings import EncoderSpec

if TYPE_CHECKING:
    from srledger.config import Params
    from srledger.encoders import Encoder
    from srledger.methods import Method

RECORD = "encoder.json"


def encoder_of_row(
    params: Params, entry: VariantEntry, config: PluginConfig, here: tuple[str, ...]
) -> EncoderSpec | None:
    """The encoder that a row at ``here`` builds on, or that its loss alone compares images with; None: it has none.

    Raises SrledgerError for one that its method can't build on, or that its settings don't ask for.
    """
    name, place = entry.encoder, params.file.place((*here, "encoder"))
    params._must_be("encoder", name, [*params.encoders, *params.entries.encoder_pairs], *here, "encoder")
    method = plugin_class("methods", entry.method)
    built_on, *judges = params.entries.encoders_of(name)
    is_none = params.entries.encoders[built_on].weights == "none"
    in_loss = not method.builds_on and hasattr(method, "judges_by_encoder")  # if at all, then in the loss alone
    if not (method.judges_by_encoder(config) if in_loss else method.builds_on):
        if is_none:
            return None
        raise SrledgerError(
            f"the method '{entry.method}' builds on no encoder" + (" with these settings" if in_loss else ""),
            where=place, found=name, expected=_nones(params),
        )  # fmt: skip
    if judges and not getattr(method, "takes_judge", False):
        raise SrledgerError(
            f"the loss of the method '{entry.method}' has no use for a judge", where=place, found=f"the pair '{name}'",
            expected=f"the encoder '{built_on}' by itself",
        )  # fmt: skip
    spec = params.encoders[built_on]
    if is_none or not can_build_on(method, plugin_class("encoders", spec.plugin)):
        able = [
            key
            for key, one in params.entries.encoders.items()
            if one.weights != "none" and can_build_on(method, plugin_class("encoders", one.encoder))
        ]
        raise SrledgerError(
            f"the method '{entry.method}' can't build on the encoder '{built_on}'", where=place, found=spec.plugin,
            expected="one that " + (" and ".join(method.builds_on) or "its loss can compare images with")
            + (f": {', '.join(able)}" if able else ""),
        )  # fmt: skip
    # What a method restores with must have learnt the row's own images. A loss only compares images: a network that has
    # learnt smaller faces, or photographs, will do, and the run's weights hold nothing of it.
    if spec.task.name != entry.task and not in_loss:
        raise SrledgerError(
            f"the encoder '{built_on}' has learnt another task's images", where=place, found=spec.task.name,
            expected=f"{entry.task}, as its row",
        )  # fmt: skip
    try:
        method.check_encoder(config, spec.config)
    except ValueError as error:
        raise SrledgerError(
            f"a row's settings do not go with those of its encoder '{built_on}'", where=place, found=error,
            mend=f"give {'.'.join(here)} and encoders.{built_on} the same settings",
        ) from error  # fmt: skip
    return dataclasses.replace(spec, name=name, judge=params.encoders[judges[0]]) if judges else spec


def can_build_on(method: type[Method], encoder: type[Encoder]) -> bool:
    """Whether an encoder has what a method builds on.

    A denoiser that takes a context is for methods that give one, and for no others.
    """
    gives: bool = getattr(method, "gives_context", False)
    fits = "denoises" not in method.builds_on or encoder.takes_context == gives
    return fits and all(getattr(encoder, ability, False) for ability in method.builds_on)


def check_pairs(params: Params) -> None:
    """Raise SrledgerError for a pair with the name of something else, or of what are no two networks."""
    entries = params.entries
    for name, pair in entries.encoder_pairs.items():
        keys = ("encoder_pairs", name)
        if name in entries.encoders or name in entries.variants or name in entries.students:
            raise SrledgerError("a pair of encoders has the name of an encoder or a row", where=params.file.place(keys))
        for part, one in (("encoder", pair.encoder), ("judge", pair.judge)):
            params._must_be("encoder", one, entries.encoders, *keys, part)
            if entries.encoders[one].weights in ("none", "rule"):
                raise SrledgerError(
                    f"'{one}' is no network", where=params.file.place((*keys, part)),
                    expected="an encoder that is trained, random or published",
                )  # fmt: skip


def pair_record(name: str, parts: dict[str, str], layout: Layout) -> dict[str, Any]:
    """What stands in a pair's ``encoder.json``: the names of its ``encoder`` and ``judge``, and a hash of both.

    Raises SrledgerError where one of them was not made.
    """
    hashes = {}
    for part, encoder in parts.items():
        record = layout.encoder(encoder) / RECORD
        if not record.exists():
            raise SrledgerError(
                "an encoder was not made", where=record.parent, mend=f"dvc repro train_encoder@{encoder}"
            )
        hashes[part] = read_json(record)["weights_sha256"]
    return {"name": name, "pair": parts, "weights_sha256": sha256_json(hashes)}


def _nones(params: Params) -> str:
    return ", ".join(name for name, entry in params.entries.encoders.items() if entry.weights == "none")
