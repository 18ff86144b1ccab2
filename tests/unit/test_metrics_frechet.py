"""The Frechet distance: closed forms, scipy's matrix root, torch-fidelity's figure, and its standard error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg

from srledger.metrics import MetricUnavailable
from srledger.metrics._frechet import FrechetMetric, frechet_distance, jackknife_error
from srledger.plugins import PluginConfig
from srledger.seeds import numpy_generator


def draw(n: int, dimensions: int, *axes: str | int) -> torch.Tensor:
    """Correlated features ``n x dimensions`` with a mean of their own."""
    rng = numpy_generator("features", *axes)
    mixing = rng.normal(size=(dimensions, dimensions)) / dimensions**0.5
    return torch.from_numpy(rng.normal(size=(n, dimensions)) @ mixing + rng.normal(size=dimensions))


def by_matrix_root(a: torch.Tensor, b: torch.Tensor) -> float:
    """The textbook formula, with scipy's matrix square root."""
    covariance_a, covariance_b = np.cov(a.numpy(), rowvar=False), np.cov(b.numpy(), rowvar=False)
    root = linalg.sqrtm(covariance_a @ covariance_b)
    difference = a.numpy().mean(0) - b.numpy().mean(0)
    return float(difference @ difference + np.trace(covariance_a + covariance_b - 2 * root.real))


class Means(FrechetMetric):
    """Channel means as features: enough to run the gathering."""

    protocol = "channel means"

    def features(self, image: torch.Tensor) -> torch.Tensor:
        return image.to(torch.float64).mean(dim=(0, 2, 3))


def test_distance_equals_the_matrix_root() -> None:
    a, b = draw(300, 24, "a"), draw(200, 24, "b")
    assert frechet_distance(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-9)


@pytest.mark.parametrize(("n_a", "n_b"), [(400, 300), (40, 30), (30, 200)])
def test_distance_equals_torch_fidelity_for_many_and_for_few_images(n_a: int, n_b: int) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = draw(n_a, 64, "a"), draw(n_b, 64, "b")
    statistics = [fid_features_to_statistics(features) for features in (a, b)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-5)


def test_closed_forms() -> None:
    a = draw(50, 8, "a")
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, a + 2.0) == pytest.approx(8 * 2.0**2, rel=1e-9)  # a shift: the squared distance of means
    spread = frechet_distance(a - a.mean(0), 3.0 * (a - a.mean(0)))
    assert spread == pytest.approx((3.0 - 1.0) ** 2 * float(a.var(dim=0).sum()), rel=1e-9)  # a scale: (s-1)^2 tr S


def test_few_images_in_many_dimensions_are_exact() -> None:
    a, b = draw(6, 6, "a"), draw(9, 6, "b")
    padded = [torch.cat([features, torch.zeros(len(features), 100)], dim=1) for features in (a, b)]
    assert frechet_distance(*padded) == pytest.approx(frechet_distance(a, b), rel=1e-7)


def test_jackknife_error_is_the_spread_of_repeated_draws() -> None:
    rng = numpy_generator("repeats", 0)

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(rng.normal(0, 1, (400, 2))), torch.from_numpy(rng.normal(1, 2, (400, 2)))

    pairs = [pair() for _ in range(150)]
    spread = float(np.std([frechet_distance(a, b) for a, b in pairs], ddof=1))
    errors = [jackknife_error(a, b) for a, b in pairs]
    assert np.mean([error for error in errors if error is not None]) == pytest.approx(spread, rel=0.2)


def test_a_set_says_how_many_images_it_has_and_needs_two() -> None:
    images = torch.from_numpy(numpy_generator("images", 0).integers(0, 256, (25, 3, 8, 8), dtype=np.uint8))
    metric = Means(PluginConfig(), {})
    with pytest.raises(MetricUnavailable, match="at least 2 images, this set has 0"):
        metric.compute()
    metric.measure(images[:19], images[:19].flip(0))
    few = metric.compute()
    assert (few.n, few.standard_error) == (19, None)
    metric.measure(images[19:], 255 - images[19:])
    many = metric.compute()
    assert many.n == 25 and many.standard_error is not None and many.standard_error > 0
