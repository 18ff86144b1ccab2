"""What params.yaml may ask of priors of tokens: who reads them, what is made of them, and how they are cropped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig, plugin_class, plugin_names
from srledger.settings import EncoderSpec, PriorSpec, Task
from srledger.training.config import TrainingConfig

if TYPE_CHECKING:
    from srledger.config import Params
    from srledger.priors import Prior


def check_base(params: Params, plugin: str, base: PriorSpec, keys: tuple[str, ...]) -> None:
    """Raise SrledgerError where a prior is made from tokens and makes sense of maps alone."""
    prior: type[Prior] = plugin_class("priors", plugin)
    if base.has_tokens and not prior.takes_tokens:
        able = [name for name in plugin_names("priors") if plugin_class("priors", name).takes_tokens]
        raise SrledgerError(
            f"the prior '{plugin}' makes no sense of tokens", where=params.file.place(keys),
            found=f"'{base.name}' gives tokens ({base.plugin})", expected="a prior of maps",
            mend=f"for a control of tokens take {', '.join(able)}, or tokens of an encoder with random weights",
        )  # fmt: skip


def check_is_map(params: Params, name: str, keys: tuple[str, ...]) -> None:
    """Raise SrledgerError where something that looks at maps is given a prior of tokens."""
    if params.priors[name].has_tokens:
        raise SrledgerError(
            f"the prior '{name}' gives tokens, and a map is looked at here", where=params.file.place(keys), found=name,
            expected=_others(params, tokens=False),
        )  # fmt: skip


def check_reader(
    params: Params, method: str, config: PluginConfig, prior: PriorSpec, keys: tuple[str | int, ...]
) -> None:
    """Raise SrledgerError where a method can't read a prior: tokens and not a map, or a map and not tokens.

    A constant map is read by all: for a method that reads tokens it is none.
    """
    plugin, place = plugin_class("methods", method), params.file.place(keys)
    if prior.has_tokens and not plugin.reads_tokens:
        raise SrledgerError(
            f"the method '{method}' reads no tokens", where=place, found=f"{prior.name}, which gives tokens",
            expected=f"a prior of maps: {_others(params, tokens=False)}",
        )  # fmt: skip
    if plugin.reads_tokens and not prior.has_tokens and not plugin_class("priors", prior.plugin).constant:
        raise SrledgerError(
            f"the method '{method}' reads tokens and no map", where=place, found=f"{prior.name}, which gives maps",
            expected=f"a prior of tokens, or uniform for none: {_others(params, tokens=True)}",
        )  # fmt: skip
    encoder, width = prior.token_encoder, prior.token_width
    if encoder is not None and width is not None:
        try:
            plugin.check_tokens(config, width)
        except ValueError as error:
            raise SrledgerError(
                f"a row's settings do not go with the tokens of '{prior.name}'", where=place, found=error,
                expected=f"settings for tokens of {width} channels, as the encoder '{encoder.name}' gives them",
            ) from error  # fmt: skip


def check_crop(params: Params, training: TrainingConfig, prior: PriorSpec, task: Task, keys: tuple[str, ...]) -> None:
    """Raise SrledgerError where crops of a row can't be whole cells of its tokens; prompts are of the whole image.

    Of a task whose images keep their own sizes nothing can be said here: training says it of the first that is wrong.
    """
    encoder, crop_px, side_px = prior.token_encoder, training.crop_px, task.hr_size_px
    if prior.has_prompts and crop_px is not None:
        raise SrledgerError(
            "prompts are of the whole image, and a crop is not", where=params.file.place(keys),
            found=f"crop_px {crop_px}; the prompts of '{prior.name}'", mend="set training.crop_px: null",
        )  # fmt: skip
    if encoder is None or crop_px is None or side_px is None:
        return
    cells = cells_a_side(encoder, side_px)
    cell_px = side_px // cells
    if side_px % cells or crop_px % math.lcm(cell_px, task.scale_factor):
        raise SrledgerError(
            "a crop can't be whole cells of the tokens", where=params.file.place(keys),
            found=f"crop_px {crop_px}; {cells} cells of '{encoder.name}' on {side_px} px",
            expected=f"a multiple of {math.lcm(cell_px, task.scale_factor)}" if side_px % cells == 0
            else "cells that are whole pixels wide",
            mend=f"set training.crop_px: null, or another size_px of encoders.{encoder.name}",
        )  # fmt: skip


def cells_a_side(encoder: EncoderSpec, side_px: int) -> int:
    """How many tokens an encoder gives along a side of a square image of ``side_px``."""
    patch_px: int = plugin_class("encoders", encoder.plugin).token_px(encoder.config)
    return max(1, round((getattr(encoder.config, "size_px", None) or side_px) / patch_px))


def _others(params: Params, tokens: bool) -> str:
    """The priors that give tokens, or those that give maps; without those of the grid alone."""
    found = [name for name in params.entries.priors if params.priors[name].has_tokens == tokens]
    return "one of " + ", ".join(found) if found else "there is none in params.yaml"
