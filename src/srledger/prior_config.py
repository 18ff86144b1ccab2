"""Encoders and priors of params.yaml at one scale: what they are made from, and whether they are made at all.

``scales`` of an entry says where it is made; ``encoder`` and ``of`` in a prior's config name what it is made from.
Whether they are there is read from the entries alone, so that a stage with nothing to do imports no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from srledger.entries import SCALES, EncoderEntry, PriorEntry, TaskEntry, TransferEntry, VariantEntry
from srledger.errors import SrledgerError
from srledger.plugins import plugin_class, plugin_config, plugin_names
from srledger.references import demand_reference
from srledger.settings import EncoderSpec, PriorSpec
from srledger.token_priors import check_base
from srledger.training.config import TrainingConfig
from srledger.weights import catalogue, resolve
from srledger.yamlmap import Layer, parse

if TYPE_CHECKING:
    from srledger.config import Params
    from srledger.priors import Prior


def is_made(entry: TaskEntry | EncoderEntry | PriorEntry | VariantEntry | TransferEntry, scale: str) -> bool:
    """Whether a scale makes a task, an encoder or a prior, or a row or transfer where all rows run."""
    return entry.scales == "all" or scale in entry.scales


def priors_of_graphs(params: Params) -> tuple[str, ...]:
    """The priors that have a stage at this scale: those of the main graph, and those that the grid's makes there."""
    entries = params.entries
    return (*entries.priors, *(name for name, one in entries.ablation_priors.items() if is_made(one, params.scale)))


def why_no_encoder(params: Params, name: str) -> str | None:
    """Why an encoder, or one of a pair, is not made, or can't be had, at this scale; None when all is there.

    Loads no plug-in.
    """
    if name in params.entries.encoder_pairs:
        return next((why for one in params.entries.encoders_of(name) if (why := why_no_encoder(params, one))), None)
    entry = params.entries.encoders.get(name)
    if entry is None or not is_made(entry, params.scale):
        return f"scale {params.scale} has no encoder '{name}'"
    if entry.weights in ("none", "rule"):
        return None
    if entry.weights != "published":
        return None if params.tasks[entry.task].active else f"task {entry.task} is not part of scale {params.scale}"
    return why_no_weights(params, entry.encoder)


def why_no_weights(params: Params, name: str) -> str | None:
    """Why an entry of the weights catalogue may not, or can't, be used at this scale; None when it is there."""
    entry = catalogue().get(name)
    for needed in (name, *(entry.needs if entry else ())):
        if needed not in params.block.weights:
            return f"weights '{needed}' are not among scales.{params.scale}.weights (make weights)"
        found = resolve(needed)
        if found.path is None:
            return found.reason
    return None


def why_no_weights_of(params: Params, settings: Mapping[str, Any]) -> str | None:
    """Why the published weights that a row's settings name can't be had; None when they can, or none are named.

    A setting names them where its value is a name of the weights catalogue: no plug-in is loaded for the answer.
    """
    named = [value for value in settings.values() if isinstance(value, str) and value in catalogue()]
    return next((why for value in named if (why := why_no_weights(params, value))), None)


def why_no_prior(params: Params, name: str) -> str | None:
    """Why a prior is not made at this scale; None when it is. Loads no plug-in."""
    entry = params.entries.all_priors[name]
    if not is_made(entry, params.scale):
        return f"prior {name} is not made at scale {params.scale}"
    for step in _chain(params, name):
        encoder = params.entries.all_priors[step].config.get("encoder")
        if encoder is not None and (why := why_no_encoder(params, str(encoder))):
            return why
    return None


def place_of_prior(params: Params, name: str) -> tuple[str, str]:
    """Where a prior's entry stands in params.yaml."""
    return ("priors" if name in params.entries.priors else "ablation_priors", name)


def check_prior_of_graph(params: Params, name: str, *keys: str | int) -> None:
    """Raise SrledgerError where a row or transfer of the graph takes maps that the ablation grid's graph makes."""
    if name not in params.entries.priors:
        raise SrledgerError(
            f"prior '{name}' is for rows of the ablation grid alone", where=params.file.place((*keys, "prior")),
            found=name, expected="one of " + ", ".join(params.entries.priors),
            mend=f"move ablation_priors.{name} to priors",
        )  # fmt: skip


def tasks_of(params: Params, name: str) -> tuple[str, ...]:
    """The tasks that a prior is for. Loads no plug-in."""
    tasks = params.entries.all_priors[name].tasks
    return tuple(params.tasks) if tasks == "all" else tasks


def encoder_spec(params: Params, name: str) -> EncoderSpec:
    """Resolve an entry of ``encoders``. Raises SrledgerError for what can't be."""
    entry, keys = params.entries.encoders[name], ("encoders", name)
    params._must_be("encoder", entry.encoder, plugin_names("encoders"), *keys, "encoder")
    params._must_be("task", entry.task, params.tasks, *keys, "task")
    plugin = plugin_class("encoders", entry.encoder)
    possible = ["trained", "random"] if plugin.learns else ["trained"] if plugin.fits else []
    possible += ["published"] if plugin.weights else []
    possible = possible or ["none" if entry.encoder == "none" else "rule"]
    if entry.weights not in possible:
        raise SrledgerError(
            f"the encoder '{entry.encoder}' can't be {entry.weights}", where=params.file.place((*keys, "weights")),
            found=entry.weights, expected=" or ".join(possible),
        )  # fmt: skip
    task = params.tasks[entry.task]
    if entry.weights == "trained":
        demand_reference(params, task, "an encoder that is trained", *keys, "task")
    if plugin.learns_pairs and task.scale_factor != 1:
        raise SrledgerError(
            f"the encoder '{entry.encoder}' learns from LR and HR of one size",
            where=params.file.place((*keys, "task")), found=f"{entry.task}, of scale factor {task.scale_factor}",
            expected="a task of scale factor 1",
        )  # fmt: skip
    at = (*keys, "at", params.scale)
    config = params._layered(plugin_config("encoders", entry.encoder), (*keys, "config"), (*at, "config"))
    # One network that others use, and that is its own average already (the teacher of its self-distillation).
    own = Layer((*keys, "training"), {"seeds": [0], "ema_decay": 0.0})
    layers = [*params._layers(("training",), ("scales", params.scale, "training")), own]
    training = parse(
        params.file, TrainingConfig, [*layers, *params._layers((*keys, "training"), (*at, "training"))]
    )  # fmt: skip
    if len(training.seeds) != 1:
        raise SrledgerError(
            "an encoder has one seed", where=params.file.place((*keys, "training")), found=list(training.seeds),
            mend="give each seed an entry of its own",
        )  # fmt: skip
    return EncoderSpec(name, entry.encoder, entry.weights, config, training, task)


def prior_spec(params: Params, name: str) -> PriorSpec:
    """Resolve an entry of ``priors``. Raises SrledgerError for what can't be."""
    entry, keys = params.entries.all_priors[name], place_of_prior(params, name)
    plugin = entry.prior or name
    params._must_be("prior", plugin, plugin_names("priors"), *keys)
    tasks = tasks_of(params, name)
    for task in tasks:
        params._must_be("task", task, params.tasks, *keys, "tasks")
    _chain(params, name)  # refuses a cycle before it is walked
    config = params._layered(plugin_config("priors", plugin), (*keys, "config"))
    encoder = of = None
    if (named := getattr(config, "encoder", None)) is not None:
        params._must_be("encoder", named, params.encoders, *keys, "config", "encoder")
        encoder = params.encoders[named]
        _check_encoder_of_prior(params, plugin_class("priors", plugin), encoder, (*keys, "config", "encoder"))
    if (named := getattr(config, "of", None)) is not None:
        of = params.priors[named]
        if plugin_class("priors", plugin).needs_boxes and not plugin_class("priors", of.plugin).has_boxes:
            raise SrledgerError(
                f"the prior '{named}' has no boxes", where=params.file.place((*keys, "config", "of")),
                found=of.plugin, expected="a prior that is made of boxes, as yolo_world_landmarks",
            )  # fmt: skip
        check_base(params, plugin, of, (*keys, "config", "of"))
    return PriorSpec(name, plugin, config, tasks, encoder, of)


def _check_encoder_of_prior(params: Params, prior: type[Prior], encoder: EncoderSpec, keys: tuple[str, ...]) -> None:
    """Raise SrledgerError for an encoder that maps of a prior can't be made with."""
    place, plugin = params.file.place(keys), plugin_class("encoders", encoder.plugin)
    if prior.needs_detector and not plugin.detects:
        able = [name for name, one in params.entries.encoders.items() if _can(one.encoder, ("detects",))]
        raise SrledgerError(
            f"the encoder '{encoder.name}' detects nothing", where=place, found=encoder.plugin,
            expected="a detector" + (f": {', '.join(able)}" if able else ""),
        )  # fmt: skip
    if encoder.weights == "none":
        raise SrledgerError(
            f"the encoder '{encoder.name}' is no network", where=place, expected="one that maps can be made with",
        )  # fmt: skip
    if prior.needs_attention and not plugin.attends:
        raise SrledgerError(
            f"the encoder '{encoder.name}' has no attention", where=place, found=encoder.plugin,
            expected="a transformer", mend="take a prior for convolutional networks",
        )  # fmt: skip
    for needed, ability, what in (
        (prior.needs_tokens, "tokenises", "tokens"),
        (prior.needs_prompts, "prompts", "prompts"),
    ):
        if needed and not _can(encoder.plugin, (ability,)):
            able = [name for name, one in params.entries.encoders.items() if _can(one.encoder, (ability,))]
            raise SrledgerError(
                f"the encoder '{encoder.name}' has no {what}", where=place, found=encoder.plugin,
                expected=f"one that gives {what}" + (f": {', '.join(able)}" if able else ""),
            )  # fmt: skip


def _can(plugin: str, abilities: tuple[str, ...]) -> bool:
    encoder = plugin_class("encoders", plugin)
    return all(getattr(encoder, ability) for ability in abilities)


def check_scales(params: Params) -> None:
    """Raise SrledgerError for an unknown scale, and for a listed row whose task, prior or encoder is not made."""
    for kind in ("tasks", "encoders", "priors", "ablation_priors", "variants", "students", "transfers"):
        group = getattr(params.entries, kind)
        for name, entry in group.items():
            for scale in (*(() if entry.scales == "all" else entry.scales), *getattr(entry, "at", ())):
                params._must_be("scale", scale, list(SCALES), kind, name, "scales")
    entries = params.entries
    for scale, block in entries.scales.items():
        for row in block.rows if block.rows != "all" else ():
            named = entries.variants.get(row) or entries.students.get(row) or entries.transfers[row]
            if not is_made(named, scale):
                raise SrledgerError(
                    f"row '{row}' runs at other scales", where=params.file.place(("scales", scale, "rows")), found=row,
                    mend=f"add {scale} to its scales, or leave the row out",
                )  # fmt: skip
            for kind in ("task", "prior", "encoder"):
                needed = getattr(named, kind, None)  # a transfer names no encoder
                parts = entries.encoders_of(needed) if kind == "encoder" and needed is not None else (needed,)
                found = [one for part in parts if (one := getattr(entries, f"{kind}s").get(part)) is not None]
                if not all(is_made(one, scale) for one in found):
                    raise SrledgerError(
                        f"row '{row}' runs at scale {scale}, its {kind} '{needed}' is not made there",
                        where=params.file.place(("scales", scale, "rows")), found=row,
                        mend=f"add {scale} to {kind}s.{needed}.scales, or leave the row out",
                    )  # fmt: skip


def _chain(params: Params, name: str) -> list[str]:
    """A prior and those that it is made of, in turn. Raises SrledgerError for an unknown name and for a cycle."""
    chain = [name]
    while (of := params.entries.all_priors[chain[-1]].config.get("of")) is not None:
        place = (*place_of_prior(params, chain[-1]), "config", "of")
        params._must_be("prior", of, params.entries.all_priors, *place)
        if of in chain:
            raise SrledgerError(
                "priors are made of each other", where=params.file.place(place), found=" -> ".join([*chain, of])
            )
        chain.append(of)
    return chain
