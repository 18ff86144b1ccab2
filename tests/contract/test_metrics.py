"""Every metric that can be had here obeys the same contract."""

from __future__ import annotations

import pytest
import torch
from encoder_tools import untrained_encoder
from metric_tools import measure_batch

from srledger.evaluation.measure import metric_info
from srledger.metrics import Metric, MetricName, MetricUnavailable
from srledger.plugins import plugin_class, plugin_names
from srledger.seeds import torch_generator
from srledger.weights import resolve_all

SIDE_PX = 96

metrics = pytest.mark.parametrize("name", plugin_names("metrics"))


def build(name: str) -> Metric:
    needed = plugin_class("metrics", name).weights
    files = resolve_all(needed)
    if (encoder := plugin_class("metrics", name).pipeline_encoder) is not None:
        files[encoder] = untrained_encoder(encoder)
    if set(needed) - set(files):
        pytest.skip(f"weights {sorted(set(needed) - set(files))} are not at hand: make weights, or set SRLEDGER_MIRROR")
    return MetricName(name).build(files)


def images(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch_generator("contract", count)
    hr = torch.randint(0, 256, (count, 3, SIDE_PX, SIDE_PX), generator=generator, dtype=torch.uint8)
    noise = torch.randint(-20, 21, hr.shape, generator=generator)
    return (hr.int() + noise).clamp(0, 255).to(torch.uint8), hr


def measure(metric: Metric, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    try:
        values = measure_batch(metric, sr, hr)
    except MetricUnavailable as why:
        pytest.skip(str(why))
    return torch.tensor([metric.compute().value], dtype=torch.float64) if values is None else values


@metrics
def test_facts_for_tables_are_there(name: str) -> None:
    info = metric_info(name)
    assert info["protocol"] and isinstance(info["higher_is_better"], bool) and info["of"] in {"image", "set"}
    assert metric_info(f"{name}_crop4")["protocol"].endswith("a border of 4 px is cut off")


@metrics
def test_values_are_finite_float64_and_repeat(name: str) -> None:
    sr, hr = images()
    first, second = measure(build(name), sr, hr), measure(build(name), sr, hr)
    assert first.dtype == torch.float64 and torch.isfinite(first).all() and torch.equal(first, second)


@metrics
def test_an_image_is_measured_alike_in_any_batch(name: str) -> None:
    metric = build(name)
    sr, hr = images()
    if metric.of == "set":
        whole, parts = build(name), build(name)
        whole.measure(sr, hr)
        for k in range(3):
            parts.measure(sr[k : k + 1], hr[k : k + 1])
        assert whole.compute().value == pytest.approx(parts.compute().value, rel=1e-6)
        return
    alone = torch.cat([measure(metric, sr[k : k + 1], hr[k : k + 1]) for k in range(3)])
    assert torch.allclose(measure(metric, sr, hr), alone, rtol=1e-9, atol=0)


@metrics
def test_a_copy_is_better_than_a_noisy_image(name: str) -> None:
    metric = build(name)
    if not metric.paired:
        pytest.skip(f"{name} sees no reference")
    sr, hr = images()
    noisy, equal = measure(build(name), sr, hr).mean(), measure(build(name), hr, hr).mean()
    assert (equal > noisy) == metric.higher_is_better
