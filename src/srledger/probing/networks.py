"""The networks behind prior maps: entries of ``encoders``, and plug-ins with published weights that none names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from srledger.config import Params
from srledger.io import canonical_json
from srledger.plugins import plugin_class, plugin_config
from srledger.prior_config import why_no_encoder, why_no_weights
from srledger.settings import EncoderSpec
from srledger.weights import catalogue, resolve_all

if TYPE_CHECKING:
    from srledger.encoders import Encoder


def network_facts(params: Params, name: str) -> dict[str, Any]:
    """Plug-in, config, what it learned from, and why it can't be had (or ""): JSON values."""
    if name not in params.entries.encoders:
        facts = {
            "plugin": name,
            "weights": "published",
            "config": plugin_config("encoders", name)().model_dump(mode="json"),
        }
        return facts | {"learned": _published(name), "why": why_no_weights(params, name) or ""}
    spec = params.encoders[name]
    if spec.weights == "published":
        learned = _published(spec.plugin)
    elif spec.weights == "trained":
        learned = f"{spec.task.name}, train images: {_lesson(spec)}"
    elif spec.weights == "rule":
        learned = "nothing: a rule"
    else:
        learned = "nothing: weights as they were drawn"
    facts = {"plugin": spec.plugin, "weights": spec.weights, "config": spec.config.model_dump(mode="json")}
    return facts | {"learned": learned, "why": why_no_encoder(params, name) or ""}


def build_network(facts: dict[str, Any]) -> Encoder | None:
    """The network without its training, for what its architecture alone decides; None where its files can't be had."""
    import torch

    plugin = plugin_class("encoders", facts["plugin"])
    if facts["weights"] == "published" and facts["why"]:
        return None
    config = plugin_config("encoders", facts["plugin"]).model_validate_json(canonical_json(facts["config"]))
    with torch.random.fork_rng(devices=[]):  # its layers start at random
        network: Encoder = plugin(config, resolve_all(plugin.weights)).eval()
    return network


def _lesson(spec: EncoderSpec) -> str:
    plugin = plugin_class("encoders", spec.plugin)
    if plugin.fits:
        return "in closed form"
    how = "an autoencoder" if plugin.codes else "self-distillation"
    how += ", then noise" if plugin.denoises else ""
    how = "boxes around landmarks" if plugin.learns_landmarks else how
    return f"{'who is who' if plugin.learns_identities else how}, {spec.training.steps} steps"


def _published(plugin: str) -> str:
    kind = plugin_class("encoders", plugin)
    learned = "" if kind.codes or kind.recognises else "ImageNet: "  # of these the note says all
    return f"{learned}published weights, {catalogue()[plugin].note.partition(',')[0]}"
