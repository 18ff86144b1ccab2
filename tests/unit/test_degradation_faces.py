"""The classical face degradations: their ranges against the table, their pixels against cv2."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from scipy import ndimage, stats

from srledger.degradations import face_dual, face_single
from srledger.degradations._face_chain import Drawn, DrawnStage, FaceChain, Preset, apply
from srledger.degradations._operators.blur import taps_of

# Specification III.2: sigma, reduction, noise, quality, kernel sizes.
TABLE: dict[Preset, tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[int, int], set[int]]] = {
    "vqfr": ((1, 15), (1, 30), (0, 20), (30, 90), {41}),
    "codeformer": ((1, 15), (4, 30), (0, 20), (30, 80), {41}),
    "osediff": ((1, 15), (1, 30), (0, 20), (30, 100), {41}),
    "daefr_codebook": ((0.1, 10), (0.8, 8), (0, 20), (60, 100), {39, 41}),
    "daefr": ((0.1, 15), (0.8, 30), (0, 20), (30, 100), {39, 41}),
    "diffbir": ((0.1, 12), (1, 12), (0, 15), (30, 100), {41}),
    "waveface": ((0.1, 10), (0.8, 16), (0, 15), (40, 95), {41}),
}


def face(side_px: int) -> np.ndarray:
    noise = np.random.default_rng(7).normal(128, 25 * side_px**0.5, (side_px, side_px, 3))
    return ndimage.gaussian_filter(noise, (side_px / 40, side_px / 40, 0)).clip(0, 255).astype(np.uint8)


def stages(chain: FaceChain, side_px: int, n: int) -> list[DrawnStage]:
    rng = np.random.default_rng(11)
    return [stage for _ in range(n) for stage in chain.draw(side_px, rng).stages]


def assert_uniform(values: list[float], low: float, high: float) -> None:
    assert low <= min(values) and max(values) <= high
    assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 1e-3


@pytest.mark.parametrize("preset", TABLE)
def test_a_preset_draws_the_ranges_of_its_system(preset: Preset) -> None:
    sigma, reduction, noise, quality, sizes = TABLE[preset]
    drawn = stages(face_single.FaceSingle(face_single.Config(preset=preset), 1), 512, 2000)
    kernels = [stage.kernel_512 for stage in drawn if stage.kernel_512 is not None]
    assert len(kernels) == len(drawn) and {kernel.size_px for kernel in kernels} == sizes
    assert_uniform([kernel.sigma_px[0] for kernel in kernels if kernel.sigma_px], *sigma)
    assert_uniform([stage.reduction_512 for stage in drawn], *reduction)
    assert_uniform([stage.noise.sigma_255 or 0.0 for stage in drawn], *noise)
    assert {stage.jpeg_quality for stage in drawn} == set(range(quality[0], quality[1] + 1))
    isotropic = sum(kernel.family == "iso" for kernel in kernels) / len(kernels)
    assert isotropic == pytest.approx(0.5, abs=4 * 0.5 / 2000**0.5)
    for stage in drawn:  # at 512 px the used values are the drawn ones
        assert stage.kernel == stage.kernel_512 and stage.reduction == stage.reduction_512


@pytest.mark.parametrize(("side_px", "kernel_px"), [(256, 21), (128, 11), (64, 7), (32, 3)])
def test_blur_and_reduction_shrink_with_the_face_and_the_rest_does_not(side_px: int, kernel_px: int) -> None:
    chain = face_single.FaceSingle(face_single.Config(preset="waveface"), 1)
    full, small = stages(chain, 512, 500), stages(chain, side_px, 500)
    for large, stage in zip(full, small, strict=True):
        assert stage.kernel_512 == large.kernel_512 and stage.reduction_512 == large.reduction_512
        assert (stage.noise, stage.jpeg_quality) == (large.noise, large.jpeg_quality)
        assert stage.kernel and stage.kernel_512 and stage.kernel.sigma_px and stage.kernel_512.sigma_px
        assert stage.kernel.size_px == kernel_px and stage.kernel.angle_rad == stage.kernel_512.angle_rad
        np.testing.assert_allclose(
            stage.kernel.sigma_px, np.array(stage.kernel_512.sigma_px) * side_px / 512, atol=1e-6
        )
        scaled = stage.reduction_512 * side_px / 512
        expected = scaled if scaled >= 1 else min(1.0, stage.reduction_512)
        assert stage.reduction == pytest.approx(expected, abs=1e-6)
    assert any(stage.reduction == 1 for stage in small)


def test_face_dual_degrades_twice_with_parameters_drawn_anew() -> None:
    chain = face_dual.FaceDual(face_dual.Config(), 1)
    lr, record = chain.degrade(face(128), np.random.default_rng(0), None)
    first, second = Drawn.model_validate(record).stages
    assert first != second and first.noise.seed != second.noise.seed and lr.shape == (128, 128, 3)
    halfway = apply(face(128), Drawn(side_px=128, stages=[first]))
    assert not np.array_equal(halfway, lr)
    thrice = face_dual.FaceDual(face_dual.Config(n_stages=3), 1).draw(128, np.random.default_rng(0))
    assert [stage.noise for stage in thrice.stages[:2]] == [first.noise, second.noise]


def test_later_passes_may_do_without_blur() -> None:
    chain = face_dual.FaceDual(face_dual.Config(later_blur_probability=0.0), 1)
    first, second = chain.draw(128, np.random.default_rng(0)).stages
    assert first.kernel is not None and second.kernel is None and second.kernel_512 is None


def test_without_noise_a_face_of_512_px_is_what_cv2_makes_of_it() -> None:
    config = face_single.Config(preset="codeformer", noise_sigma_255=(0.0, 0.0))
    chain = face_single.FaceSingle(config, 1)
    for k in range(4):
        drawn = chain.draw(512, np.random.default_rng(k))
        stage = drawn.stages[0]
        assert stage.kernel is not None
        image = cv2.filter2D(face(512).astype(np.float32) / 255, -1, taps_of(stage.kernel))
        small = int(512 // stage.reduction)
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_LINEAR)
        quality = [cv2.IMWRITE_JPEG_QUALITY, stage.jpeg_quality]
        _, file = cv2.imencode(".jpg", np.round(image[..., ::-1] * 255).astype(np.uint8), quality)
        decoded = cv2.imdecode(file, cv2.IMREAD_COLOR)
        assert decoded is not None
        image = cv2.resize(decoded[..., ::-1].astype(np.float32) / 255, (512, 512), interpolation=cv2.INTER_LINEAR)
        difference = np.abs(np.round(image * 255) - apply(face(512), drawn))
        assert difference.mean() < 0.05 and np.quantile(difference, 0.999) <= 2


def test_the_lr_image_is_a_function_of_its_record() -> None:
    chain = face_dual.FaceDual(face_dual.Config(), 1)
    for k in range(8):
        lr, record = chain.degrade(face(64), np.random.default_rng(k), None)
        np.testing.assert_array_equal(apply(face(64), Drawn.model_validate(json.loads(json.dumps(record)))), lr)


def test_with_a_scale_factor_the_degraded_face_is_reduced() -> None:
    lr, _ = face_dual.FaceDual(face_dual.Config(), 4).degrade(face(64), np.random.default_rng(0), None)
    assert lr.shape == (16, 16, 3)


def test_a_range_of_the_preset_can_be_changed() -> None:
    config = face_single.Config(preset="vqfr", sigma_512_px=(2.0, 2.0), jpeg_quality=(50, 50))
    for stage in stages(face_single.FaceSingle(config, 1), 512, 20):
        assert stage.kernel and stage.kernel.sigma_px and stage.kernel.sigma_px[0] == 2.0
        assert stage.jpeg_quality == 50 and 1 <= stage.reduction <= 30
