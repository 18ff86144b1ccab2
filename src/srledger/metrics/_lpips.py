"""LPIPS through the ``lpips`` package, its trunk read from the weights catalogue and never from the network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import nn

from srledger.metrics import Metric
from srledger.metrics._images import measure_each, require_size, weight_file
from srledger.plugins import PluginConfig

LEAST_PX = 32


class LpipsMetric(Metric):
    """LPIPS v0.1 (Zhang et al. 2018) with the trunk that a subclass names."""

    trunk: ClassVar[Literal["alex", "vgg"]]
    higher_is_better = False
    bounds = (0, None)

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        trunk_file = weight_file(weights, self.weights[0])  # before the import: lpips costs seconds
        self.network = build_lpips(self.trunk, trunk_file)

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, LEAST_PX)
        network = self.network.to(sr.device)
        return measure_each(lambda a, b: network(to_signed(a), to_signed(b)), sr, hr)


def to_signed(images: torch.Tensor) -> torch.Tensor:
    """uint8 to float32 in [-1, 1]."""
    return images.to(torch.float32) / 127.5 - 1.0


def build_lpips(trunk: Literal["alex", "vgg"], trunk_file: Path) -> nn.Module:
    """The frozen LPIPS network: bundled linear heads on the torchvision trunk in ``trunk_file``."""
    import lpips

    # pnet_rand: lpips would download the trunk otherwise. Its random start must not touch the global generator.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torchvision's own deprecation notes about the call lpips makes
        network = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False)
    trunk_state = torch.load(trunk_file, map_location="cpu", weights_only=True)
    # lpips cuts torchvision's ``features.N`` into ``sliceK.N``.
    name_there = {key: "features." + key.split(".", 1)[1] for key in network.net.state_dict()}
    network.net.load_state_dict({key: trunk_state[name] for key, name in name_there.items()})
    return network.eval().requires_grad_(False)
