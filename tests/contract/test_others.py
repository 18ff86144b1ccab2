"""Every prior, degradation and source that is found obeys its contract."""

from __future__ import annotations

import numpy as np
import pytest

from srledger.config import Params
from srledger.degradations import Degradation
from srledger.plugins import plugin_class, plugin_config, plugin_names
from srledger.priors import PriorInput
from srledger.seeds import numpy_generator


def face(side_px: int = 32) -> PriorInput:
    rng = np.random.default_rng(0)
    landmarks = np.array([[0.375, 0.4375], [0.625, 0.4375], [0.5, 0.593], [0.3875, 0.697], [0.611, 0.697]]) * side_px
    hr = rng.integers(0, 256, (side_px, side_px, 3), np.uint8)
    return PriorInput("face", "train", hr, hr[::4, ::4], landmarks)


@pytest.mark.parametrize("name", plugin_names("priors"))
def test_a_prior_map_is_finite_in_0_1_and_repeats(name: str) -> None:
    prior = plugin_class("priors", name)(plugin_config("priors", name)())
    first, second = prior.map_of(face()), prior.map_of(face())
    assert first.shape in {(32, 32), (1, 1)} and np.array_equal(first, second)
    assert np.isfinite(first).all() and first.min() >= 0 and first.max() <= 1
    assert name == "uniform" or first.max() > first.min()


@pytest.mark.parametrize("name", plugin_names("degradations"))
def test_a_degradation_reduces_by_its_factor_and_repeats(name: str) -> None:
    degradation: Degradation = plugin_class("degradations", name)(plugin_config("degradations", name)(), 4)
    hr = face().hr
    given = hr[::4, ::4].copy()
    first, drawn = degradation.degrade(hr, numpy_generator("test"), given)
    second, drawn_again = degradation.degrade(hr, numpy_generator("test"), given)
    assert first.shape == (8, 8, 3) and first.dtype == np.uint8
    assert np.array_equal(first, second) and drawn == drawn_again


@pytest.mark.parametrize("dataset", ["faces", "photos"])
def test_a_source_of_the_default_scale_repeats_and_keeps_splits_apart(dataset: str) -> None:
    spec = Params.load(scale="quick").datasets[dataset]
    source = plugin_class("data", spec.source)(spec.config)
    first = [(image.id, image.split, image.identity) for image, _ in zip(source.images(), range(60), strict=False)]
    second = [(image.id, image.split, image.identity) for image, _ in zip(source.images(), range(60), strict=False)]
    assert first == second and len({name for name, _, _ in first}) == len(first)
    assert source.redistributable and source.licence
