"""What every metric owes: the same value in any batch and on any day, finite, symmetric, worse under more noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from encoder_tools import untrained_encoder
from metric_tools import measure_batch
from skimage import data

from srledger.metrics import Metric, MetricName, MetricUnavailable
from srledger.plugins import plugin_class, plugin_names
from srledger.seeds import numpy_generator
from srledger.weights import catalogue, resolve_all


def side_px(name: str) -> int:
    """Four blocks of NIQE, and less where a transformer looks: its attention grows with the fourth power."""
    return 192 if plugin_class("metrics", name).pipeline_encoder is None else 64


def build(name: str) -> Metric:
    """The metric with what weights there are, or a skip that says which are missing."""
    metric = plugin_class("metrics", name)
    weights = resolve_all(metric.weights)
    if missing := sorted(set(metric.weights) - set(weights)):
        pytest.skip(f"weights not at hand: {', '.join(missing)} (set SRLEDGER_WEIGHTS or SRLEDGER_MIRROR)")
    if metric.pipeline_encoder is not None:
        weights[metric.pipeline_encoder] = untrained_encoder(metric.pipeline_encoder)
    return MetricName.parse(name).build(weights)


def photographs(count: int, name: str) -> torch.Tensor:
    """``count`` squares of one photograph for the metric, uint8 ``count x 3 x side x side``."""
    image, side = data.astronaut(), side_px(name)
    squares = [image[40 * k : 40 * k + side, 60 + 30 * k : 60 + 30 * k + side] for k in range(count)]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()


def with_noise(images: torch.Tensor, deviation: float) -> torch.Tensor:
    noise = torch.from_numpy(numpy_generator("rules", 0).normal(0, deviation, tuple(images.shape)))
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


def measure(name: str, *batches: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """The values of all images, or the one of the set, of a metric fed with these batches."""
    metric = build(name)
    values = [measure_batch(metric, sr, hr) for sr, hr in batches]
    if metric.of == "set":
        return torch.tensor([metric.compute().value], dtype=torch.float64)
    return torch.cat([value for value in values if value is not None])


@pytest.mark.parametrize("name", plugin_names("metrics"))
def test_values_do_not_depend_on_the_batch_and_are_repeatable(name: str) -> None:
    hr = photographs(4, name)
    sr = with_noise(hr, 10.0)
    together = measure(name, (sr, hr))
    one_by_one = measure(name, *[(sr[k : k + 1], hr[k : k + 1]) for k in range(4)])
    assert together.dtype == torch.float64
    assert len(together) == (1 if plugin_class("metrics", name).of == "set" else 4)
    assert torch.equal(together, one_by_one)
    assert torch.equal(together, measure(name, (sr[:3], hr[:3]), (sr[3:], hr[3:])))


@pytest.mark.parametrize("name", plugin_names("metrics"))
def test_values_are_finite_on_random_images(name: str) -> None:
    pixels = numpy_generator("random images", 0).integers(
        0, 256, (2, 2, 3, side_px(name), side_px(name)), dtype=np.uint8
    )
    sr, hr = torch.from_numpy(pixels)
    assert torch.isfinite(measure(name, (sr, hr))).all()


@pytest.mark.parametrize("name", [name for name in plugin_names("metrics") if plugin_class("metrics", name).paired])
def test_paired_metrics_are_symmetric_and_best_for_equal_images(name: str) -> None:
    hr = photographs(3, name)
    sr = with_noise(hr, 10.0)
    forth, back, equal = measure(name, (sr, hr)), measure(name, (hr, sr)), measure(name, (hr, hr))
    torch.testing.assert_close(forth, back, rtol=1e-5, atol=1e-6)
    best = (
        {"dB": 100.0}.get(plugin_class("metrics", name).unit, 1.0)
        if plugin_class("metrics", name).higher_is_better
        else 0.0
    )
    torch.testing.assert_close(equal, torch.full_like(equal, best), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", plugin_names("metrics"))
def test_more_noise_is_worse(name: str) -> None:
    hr = photographs(3, name)
    values = torch.stack([measure(name, (with_noise(hr, deviation), hr)) for deviation in (3.0, 12.0, 40.0)])
    steps = values.diff(dim=0) * (-1 if plugin_class("metrics", name).higher_is_better else 1)
    assert (steps >= 0).all() if plugin_class("metrics", name).counts else (steps > 0).all()


@pytest.mark.parametrize("name", plugin_names("metrics"))
def test_a_metric_without_its_weights_says_so_and_names_no_machine(name: str) -> None:
    metric = plugin_class("metrics", name)
    if not metric.weights and metric.pipeline_encoder is None:
        assert isinstance(MetricName.parse(name).build({}), Metric)
        return
    with pytest.raises(MetricUnavailable) as caught:
        MetricName.parse(name).build({})
    if metric.pipeline_encoder is not None:
        assert str(caught.value) == f"there is no encoder '{metric.pipeline_encoder}'"
    else:
        assert str(caught.value) == f"weights '{metric.weights[0]}' are not at hand (make weights)"


@pytest.mark.parametrize("name", plugin_names("metrics"))
def test_no_metric_touches_the_global_generator(name: str) -> None:
    state = torch.random.get_rng_state()
    build(name)
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_weights_of_a_metric_stand_in_the_catalogue() -> None:
    for name in plugin_names("metrics"):
        for needed in plugin_class("metrics", name).weights:
            assert needed in catalogue()
