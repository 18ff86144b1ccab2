"""A prior that is made of boxes, for probes that look at its boxes too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from srledger.plugins import plugin_class
from srledger.probing.source import Source

if TYPE_CHECKING:
    from srledger.priors import PriorInput
    from srledger.priors._boxes import OfBoxes


def has_boxes(source: Source, prior: str) -> bool:
    """Whether a prior is made of boxes."""
    return bool(plugin_class("priors", source.params.priors[prior].plugin).has_boxes)


@contextlib.contextmanager
def boxed_prior(source: Source, name: str) -> Iterator[tuple[OfBoxes, Mapping[str, PriorInput]]]:
    """The prior ``name`` with its detector, and what it may look at for each test image of the probe's task."""
    import torch

    from srledger.prior_maps import build_prior
    from srledger.priors._boxes import OfBoxes
    from srledger.split_inputs import inputs_of

    threads = torch.get_num_threads()
    try:
        made = build_prior(source.params.priors[name], source.layout)
        assert isinstance(made, OfBoxes), "has_boxes was asked before"
        yield made, inputs_of(source.layout.packs(source.task))["test"]
    finally:
        torch.set_num_threads(threads)  # the encoder's own are not those of the probes after this one
