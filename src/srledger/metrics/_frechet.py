"""Frechet distance between two sets of features, with a standard error; and the base of the metrics made of it."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path

import torch

from srledger.metrics import Metric, MetricUnavailable, SetValue
from srledger.plugins import PluginConfig

JACKKNIFE_GROUPS = 10


class FrechetMetric(Metric):
    """Gathers one feature vector per image and compares the two sets: ``sr`` with the ``hr`` of the same images."""

    of = "set"
    higher_is_better = False
    bounds = (0, None)

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        self._sr: list[torch.Tensor] = []
        self._hr: list[torch.Tensor] = []

    @abc.abstractmethod
    def features(self, image: torch.Tensor) -> torch.Tensor:
        """The feature vector ``d`` of one uint8 image ``1 x 3 x H x W``."""

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> None:
        with torch.no_grad():
            for gathered, images in ((self._sr, sr), (self._hr, hr)):
                gathered += [self.features(image[None]).to("cpu", torch.float64) for image in images]

    def compute(self) -> SetValue:
        """The distance over all images so far. Raises MetricUnavailable below 2 images."""
        if len(self._sr) < 2:
            raise MetricUnavailable(f"a Frechet distance needs at least 2 images, this set has {len(self._sr)}")
        sr, hr = torch.stack(self._sr), torch.stack(self._hr)
        return SetValue(frechet_distance(sr, hr), jackknife_error(sr, hr), len(sr))


def frechet_distance(features_a: torch.Tensor, features_b: torch.Tensor) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of two float64 sets ``n x d``, n >= 2 (Heusel et al. 2017).

    With S = R^T R the trace of the root is the sum of the singular values of R_a R_b^T, that is of the roots of the
    eigenvalues of a symmetric product no larger than min(n, d): good to 1e-7 for n < d too, where S itself is singular.
    """
    mean_a, root_a = _mean_and_root(features_a)
    mean_b, root_b = _mean_and_root(features_b)
    product = root_a @ root_b.T
    gram = product @ product.T if product.shape[0] <= product.shape[1] else product.T @ product
    trace_of_root = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * trace_of_root
    return max(0.0, float(distance))  # rounding can take a distance of nothing below 0


def _mean_and_root(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and a matrix R, ``min(n, d) x d``, with R^T R the sample covariance."""
    n, dimensions = features.shape
    mean = features.mean(dim=0)
    centred = (features - mean) / (n - 1) ** 0.5
    return mean, centred if n <= dimensions else torch.linalg.qr(centred, mode="r")[1]


def jackknife_error(features_a: torch.Tensor, features_b: torch.Tensor) -> float | None:
    """Standard error of the distance by leaving out each of 10 groups of images, from both sets at once.

    Row k is in group k mod 10. None below 20 rows, where groups of one or two are too uneven to say anything.
    The delete-a-group jackknife: (g - 1) / g times the sum of squared deviations of the g distances (Kott 2001).
    """
    n = len(features_a)
    if n < 2 * JACKKNIFE_GROUPS:
        return None
    group = torch.arange(n) % JACKKNIFE_GROUPS
    without = [frechet_distance(features_a[group != k], features_b[group != k]) for k in range(JACKKNIFE_GROUPS)]
    distances = torch.tensor(without, dtype=torch.float64)
    variance = (JACKKNIFE_GROUPS - 1) / JACKKNIFE_GROUPS * (distances - distances.mean()).square().sum()
    return float(variance.sqrt())
