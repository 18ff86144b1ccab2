"""DISTS' formula on the pipeline's own encoder, and so not DISTS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from srledger.metrics import Metric
from srledger.metrics._images import measure_each
from srledger.metrics._pipeline_encoder import ABOUT, ENCODER, as_seen, check_size, load
from srledger.plugins import PluginConfig

C1 = C2 = 1e-6


class Config(PluginConfig):
    """No settings: the protocol is the name."""


class EncDists(Metric):
    """One minus the mean likeness of the channels' means and variations over space, image and blocks together."""

    higher_is_better = False
    bounds = (0, 2)
    pipeline_encoder = ENCODER
    protocol = (
        f"DISTS' formula (Ding et al. 2020) on the image and the patch tokens of {ABOUT}, uniform weights in place of "
        "the learned alpha and beta, C1 = C2 = 1e-6: not DISTS and not on its scale; of one scale only, since each "
        "trains its own"
    )

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        self.network = load(weights)

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        check_size(sr)
        return measure_each(self._distance, sr, hr)

    def _distance(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        images = [as_seen(self.network, one) for one in (sr, hr)]
        return dists_of_maps(*([image, *self.network(image)] for image in images))[0]


def dists_of_maps(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> torch.Tensor:
    """``B`` distances of the maps ``B x C x h x w`` of two images, layer by layer (Ding et al. 2020, eq. 6 to 8).

    ``alpha`` and ``beta`` are uniform: each is 1 over twice the number of channels of all layers. Differentiable.
    """
    likeness = []
    for a, b in zip(first, second, strict=True):
        mean_a, mean_b = a.mean(dim=(2, 3)), b.mean(dim=(2, 3))
        off_a, off_b = a - mean_a[..., None, None], b - mean_b[..., None, None]
        structure = 2 * (off_a * off_b).mean(dim=(2, 3)) + C2
        structure = structure / (off_a.square().mean(dim=(2, 3)) + off_b.square().mean(dim=(2, 3)) + C2)
        texture = (2 * mean_a * mean_b + C1) / (mean_a.square() + mean_b.square() + C1)
        likeness += [texture, structure]
    return 1 - torch.cat(likeness, dim=1).mean(dim=1)
