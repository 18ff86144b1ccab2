"""NIQE's parts on known distributions, and its behaviour on photographs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from srledger.metrics import Metric, MetricName, MetricUnavailable
from srledger.metrics._scene_statistics import fit_asymmetric_gaussian, halve_bicubic
from srledger.seeds import numpy_generator


@pytest.fixture
def niqe() -> Metric:
    mirror = os.environ.get("SRLEDGER_MIRROR") or pytest.skip("SRLEDGER_MIRROR is not set: no NIQE parameters")
    file = Path(mirror) / "weights/niqe/niqe_pris_params.npz"
    return MetricName.parse("niqe").build({"niqe_pris_params": file})


def score(niqe: Metric, image: np.ndarray) -> float:
    images = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    value = niqe.measure(images, images)
    assert value is not None
    return float(value)


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.0])
def test_the_fit_finds_the_distribution_it_was_drawn_from(shape: float) -> None:
    rng = numpy_generator("aggd", int(10 * shape))
    lengths = rng.gamma(1 / shape, size=200_000) ** (1 / shape)  # of exp(-|x|^shape), both scales 1
    values = np.where(
        rng.random(200_000) < 2 / 3, 2.0 * lengths, -lengths
    )  # the right side twice as wide, and as likely
    found_shape, left, right = fit_asymmetric_gaussian(values)
    assert found_shape == pytest.approx(shape, rel=0.03)
    assert (left, right) == (pytest.approx(1.0, rel=0.05), pytest.approx(2.0, rel=0.05))


def test_halving_keeps_a_ramp_and_a_constant() -> None:
    ramp = np.add.outer(3.0 * np.arange(24.0), np.arange(32.0))
    halved = halve_bicubic(ramp)
    inside = np.add.outer(6.0 * np.arange(12.0) + 1.5, 2.0 * np.arange(16.0) + 0.5)  # pixel centres at 2k + 0.5
    assert halved.shape == (12, 16)
    np.testing.assert_allclose(halved[2:-2, 2:-2], inside[2:-2, 2:-2], atol=1e-9)
    np.testing.assert_allclose(halve_bicubic(np.full((8, 8), 7.0)), 7.0)


def test_noise_and_blur_are_less_natural_than_the_photograph(niqe: Metric) -> None:
    photograph = data.astronaut()[:288, 100:388]
    noise = numpy_generator("niqe", 0).normal(0, 20, photograph.shape)
    noisy = np.clip(np.round(photograph + noise), 0, 255).astype(np.uint8)
    blurred = ndimage.gaussian_filter(photograph, (2.0, 2.0, 0.0))
    natural = score(niqe, photograph)
    assert natural < score(niqe, noisy) and natural < score(niqe, blurred)


def test_only_whole_blocks_count_and_the_reference_is_ignored(niqe: Metric) -> None:
    photograph = data.astronaut()
    assert score(niqe, photograph[:250, :200]) == score(niqe, photograph[:192, :192])
    images = torch.from_numpy(photograph[:192, :192].copy()).permute(2, 0, 1)[None]
    assert torch.equal(niqe.measure(images, 255 - images), niqe.measure(images, images))  # type: ignore[arg-type]


def test_one_block_is_not_enough_and_the_reason_says_so(niqe: Metric) -> None:
    with pytest.raises(MetricUnavailable, match=r"128x128 px hold 1 whole block\(s\) of 96 px, NIQE needs 2"):
        score(niqe, data.astronaut()[:128, :128])
    assert score(niqe, data.astronaut()[:96, :192]) > 0


def test_an_image_without_contrast_has_no_value_and_spoils_no_other(niqe: Metric) -> None:
    flat = np.full((192, 192, 3), 90, dtype=np.uint8)
    both = torch.from_numpy(np.stack([flat, data.astronaut()[:192, :192]])).permute(0, 3, 1, 2)
    values = niqe.measure(both, both)
    assert values is not None and torch.isnan(values).tolist() == [True, False]
