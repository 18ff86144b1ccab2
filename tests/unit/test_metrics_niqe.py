"""NIQE's parts on known distributions, and its behaviour on photographs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_tools import untrained_encoder
from scipy import ndimage
from skimage import data

from srledger.encoders.scene_statistics import Config, SceneStatistics, gaussian_window, luma_of
from srledger.errors import SrledgerError
from srledger.metrics import Metric, MetricName, MetricUnavailable
from srledger.metrics._images import luma_ycbcr
from srledger.metrics._scene_statistics import block_maps, distance_to_model, fit_asymmetric_gaussian, halve_bicubic
from srledger.pipeline_encoders import load_encoder
from srledger.priors import PriorInput
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


def as_inputs(*images: np.ndarray) -> list[PriorInput]:
    return [PriorInput(str(k), "train", image, image, None) for k, image in enumerate(images)]


def photograph(top: int, left: int, side_px: int = 128) -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[top : top + side_px, left : left + side_px])


def test_the_window_and_the_luma_of_the_fitted_model_are_niqes(niqe: Metric) -> None:
    assert np.allclose(gaussian_window(), niqe.window, atol=1e-6)  # type: ignore[attr-defined]
    image = photograph(40, 100)
    luma = luma_ycbcr(torch.from_numpy(image).permute(2, 0, 1)[None])[0, 0].round().numpy()
    assert np.array_equal(luma_of(image), luma)
    ours = block_maps(luma_of(np.tile(image, (2, 2, 1))), 96, gaussian_window()).reshape(-1, 36)
    distance = distance_to_model(ours, niqe.mean, niqe.covariance, 2)  # type: ignore[attr-defined]
    assert distance == pytest.approx(score(niqe, np.tile(image, (2, 2, 1))), rel=1e-4), "with NIQE's model it is NIQE"


def test_the_model_is_the_mean_and_covariance_of_sharp_blocks() -> None:
    images = [photograph(top, left) for top in (0, 100, 200) for left in (0, 120, 240)]
    model = SceneStatistics(Config(block_px=32, sharpness=0.0), {})
    model.fit(as_inputs(*images))
    features = np.concatenate([model.features(luma_of(image)).reshape(-1, 36) for image in images])
    features = features[~np.isnan(features).any(axis=1)]
    assert int(model.blocks) == len(features) and np.allclose(model.mean.numpy(), features.mean(axis=0))
    assert np.allclose(model.covariance.numpy(), np.cov(features, rowvar=False))
    sharp = SceneStatistics(Config(block_px=32), {})
    sharp.fit(as_inputs(*images))
    assert 2 <= int(sharp.blocks) < len(features), "at the default, blurred blocks are left out"


def test_without_a_block_there_is_nothing_to_fit() -> None:
    model = SceneStatistics(Config(block_px=32), {})
    for images in ([], [photograph(0, 0, 16)], [np.full((64, 64, 3), 9, np.uint8)]):
        with pytest.raises(SrledgerError, match=r"no blocks to fit[\s\S]*lower block_px"):
            model.fit(as_inputs(*images))


def test_blur_and_noise_are_far_from_the_images_that_the_model_was_fitted_to() -> None:
    folder = untrained_encoder("scene_statistics")
    metric = MetricName("niqe_fitted").build({"scene_statistics": folder})
    model = load_encoder(folder)
    assert isinstance(model, SceneStatistics) and int(model.blocks) > 16 and model.config.block_px == 16
    from detector_tools import drawn_faces

    faces = [face.pixels for face in drawn_faces()[:4]]
    rng = numpy_generator("niqe_fitted")
    blurred = [ndimage.gaussian_filter(face, (1.5, 1.5, 0)) for face in faces]
    noisy = [(face + rng.normal(0, 25, face.shape)).clip(0, 255).astype(np.uint8) for face in faces]
    clean, soft, rough = (np.mean([score(metric, one) for one in images]) for images in (faces, blurred, noisy))
    assert clean < soft and clean < rough


def test_an_image_of_one_block_has_no_covariance() -> None:
    metric = MetricName("niqe_fitted").build({"scene_statistics": untrained_encoder("scene_statistics")})
    with pytest.raises(MetricUnavailable, match=r"hold 1 whole block\(s\) of 16 px"):
        score(metric, photograph(0, 0, 24))
    with pytest.raises(MetricUnavailable, match="there is no encoder 'scene_statistics'"):
        MetricName("niqe_fitted").build({})
