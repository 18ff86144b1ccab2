"""The operators of the blind degradations: each against another implementation of it or against its definition."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import ndimage
from torch.nn import functional as F

from srledger.degradations._operators.blur import Kernel, blur, draw_kernel, taps_of
from srledger.degradations._operators.draws import Record, choose, integer, uniform
from srledger.degradations._operators.eight_bit import pixels_of, planes_of, through_jpeg
from srledger.degradations._operators.noise import Noise, add_noise
from srledger.degradations._operators.resize import Mode, resize
from srledger.degradations.real_esrgan import Round
from srledger.plugins import PACKAGE, plugin_file, plugin_names
from srledger.yamlmap import YamlFile


def picture(height_px: int = 24, width_px: int = 37, smooth_px: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(3).random((3, height_px, width_px))
    return ndimage.gaussian_filter(noise, (0, smooth_px, smooth_px)) if smooth_px else noise


def moments(kernel: Kernel) -> tuple[np.ndarray, np.ndarray]:
    """The centre (x, y) and the covariance of a kernel."""
    taps, offsets = taps_of(kernel), np.arange(kernel.size_px) - kernel.size_px // 2
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    points = np.stack([x.ravel(), y.ravel()]).astype(float)
    centre = points @ taps.ravel()
    return centre, (points * taps.ravel()) @ points.T - np.outer(centre, centre)


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("size_px", [(9, 31), (24, 37), (48, 40), (3, 5), (1, 1), (61, 12)])
def test_a_resize_is_torchs(mode: Mode, size_px: tuple[int, int]) -> None:
    planes = picture()
    corners = {} if mode == "area" else {"align_corners": False}
    expected = F.interpolate(torch.from_numpy(planes)[None], size=size_px, mode=mode, **corners)[0].numpy()
    np.testing.assert_allclose(resize(planes, *size_px, mode), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size_px", [3, 7, 21])
def test_a_blur_is_a_correlation_mirrored_at_the_border(size_px: int) -> None:
    kernel = Kernel(family="generalized_aniso", size_px=size_px, sigma_px=(2.5, 0.8), angle_rad=0.7, beta=0.6)
    expected = [ndimage.correlate(plane, taps_of(kernel), mode="mirror") for plane in picture()]
    np.testing.assert_allclose(blur(picture(), kernel), expected, rtol=0, atol=1e-12)


def test_a_kernel_may_be_larger_than_its_image() -> None:
    kernel = Kernel(family="iso", size_px=21, sigma_px=(3.0, 3.0))
    small = blur(picture(4, 3), kernel)
    assert small.shape == (3, 4, 3) and np.ptp(small) < np.ptp(picture(4, 3))


def test_a_gaussian_has_its_sigmas_along_its_axes() -> None:
    centre, covariance = moments(Kernel(family="aniso", size_px=31, sigma_px=(3.0, 1.0), angle_rad=math.pi / 6))
    np.testing.assert_allclose(centre, 0, atol=1e-12)
    axis = np.array([math.cos(math.pi / 6), math.sin(math.pi / 6)])
    assert axis @ covariance @ axis == pytest.approx(9.0, rel=1e-3)
    assert axis[::-1] * [-1, 1] @ covariance @ (axis[::-1] * [-1, 1]) == pytest.approx(1.0, rel=1e-3)


def test_the_families_are_what_their_names_say() -> None:
    def middle(family: str, beta: float | None) -> np.ndarray:
        return taps_of(Kernel(family=family, size_px=21, sigma_px=(3.0, 3.0), beta=beta))[10, 10:]  # type: ignore[arg-type]

    gaussian = middle("iso", None)
    np.testing.assert_allclose(middle("generalized_iso", 1.0), gaussian)
    np.testing.assert_allclose(gaussian / gaussian[0], np.exp(-0.5 * (np.arange(11) / 3) ** 2))
    flat = middle("generalized_iso", 4.0)
    assert flat[2] / flat[0] > 0.9 and flat[5] / flat[0] < 1e-6  # nearly a disc
    plateau = middle("plateau_iso", 2.0)
    np.testing.assert_allclose(plateau / plateau[0], 1 / (1 + (np.arange(11) / 3) ** 4))


@pytest.mark.parametrize("cutoff_rad", [math.pi / 3, math.pi / 2])
def test_a_sinc_passes_what_lies_below_its_cutoff(cutoff_rad: float) -> None:
    taps = taps_of(Kernel(family="sinc", size_px=21, cutoff_rad=cutoff_rad))
    assert taps.sum() == pytest.approx(1) and taps.min() < 0  # it rings
    response = np.abs(np.fft.rfft2(taps, (256, 256)))[0]
    frequency_rad = np.linspace(0, math.pi, response.size)
    assert response[frequency_rad < 0.7 * cutoff_rad].min() > 0.75
    assert response[frequency_rad > 1.4 * cutoff_rad].max() < 0.15


def test_every_kernel_that_can_be_drawn_sums_to_one() -> None:
    rng, table = np.random.default_rng(0), Round()
    kernels = [
        draw_kernel(rng, 21, 0.1, table.sigma_px, table.beta_generalized, table.beta_plateau) for _ in range(300)
    ]
    assert len({kernel.family for kernel in kernels}) == 7
    for kernel in kernels:
        assert taps_of(kernel).shape == (kernel.size_px, kernel.size_px)
        assert taps_of(kernel).sum() == pytest.approx(1) and np.isfinite(taps_of(kernel)).all()


def test_gaussian_noise_has_its_sigma_and_grey_noise_no_colour() -> None:
    grey = np.full((3, 300, 300), 0.5)
    field = (add_noise(grey, Noise(kind="gaussian", sigma_255=20, seed=1)) - grey) * 255
    assert field.std() == pytest.approx(20, rel=0.02)
    assert abs(np.corrcoef(field[0].ravel(), field[1].ravel())[0, 1]) < 4 / 300  # four standard deviations
    field = (add_noise(grey, Noise(kind="gaussian", sigma_255=20, grey=True, seed=1)) - grey) * 255
    assert field.std() == pytest.approx(20, rel=0.02)
    np.testing.assert_allclose(field[0], field[2])


def test_poisson_noise_grows_with_the_light_and_its_scale() -> None:
    ramp = np.tile(np.linspace(0.2, 0.6, 64), (3, 400, 1))  # 64 levels: 64 photons for a pixel of 1
    field = add_noise(ramp, Noise(kind="poisson", poisson_scale=0.5, seed=2)) - ramp
    np.testing.assert_allclose(field.var(axis=(0, 1)), 0.25 * ramp[0, 0] / 64, rtol=0.25)
    assert abs(field.mean()) < 1e-3
    twice = add_noise(ramp, Noise(kind="poisson", poisson_scale=1.0, seed=2)) - ramp
    np.testing.assert_allclose(twice, 2 * field, atol=1e-12)
    alike = add_noise(ramp, Noise(kind="poisson", poisson_scale=0.5, grey=True, seed=2)) - ramp
    np.testing.assert_allclose(alike[0], alike[1], atol=1e-12)


def test_noise_is_its_seeds_alone_and_stays_in_range() -> None:
    for noise in (Noise(kind="gaussian", sigma_255=30, seed=5), Noise(kind="poisson", poisson_scale=3, seed=5)):
        noisy = add_noise(picture(), noise)
        assert noisy.min() >= 0 and noisy.max() <= 1
        np.testing.assert_array_equal(noisy, add_noise(picture(), noise))
        assert not np.array_equal(noisy, add_noise(picture(), noise.model_copy(update={"seed": 6})))


def test_jpeg_loses_more_at_a_lower_quality_and_keeps_the_size() -> None:
    planes = planes_of(pixels_of(picture(33, 50, smooth_px=2)))
    losses = [np.abs(through_jpeg(planes, quality) - planes).mean() for quality in (95, 60, 30)]
    assert through_jpeg(planes, 30).shape == planes.shape
    assert losses == sorted(losses) and losses[0] > 0


def test_draws_keep_to_their_range_and_to_six_decimals() -> None:
    rng = np.random.default_rng(0)
    values = [uniform(rng, (0.2, 3.0)) for _ in range(500)]
    assert min(values) >= 0.2 and max(values) <= 3.0 and all(round(value, 6) == value for value in values)
    assert {integer(rng, (3, 5)) for _ in range(100)} == {3, 4, 5}
    assert {choose(rng, {"a": 0.0, "b": 1.0}) for _ in range(20)} == {"b"}


def test_records_and_ranges_are_closed() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Noise.model_validate({"kind": "gaussian", "seed": 1, "sigma": 3})
    with pytest.raises(ValidationError, match="lower one"):
        Round(sigma_px=(3.0, 0.2))
    with pytest.raises(ValidationError, match="sum to 1"):
        Round(resize_probabilities=(0.2, 0.7, 0.2))
    assert issubclass(Noise, Record)


def imported(file: Path) -> set[Path]:
    """The files of the package that a file imports, and those that they import."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    modules = [node.module.split(".")[1:] for node in nodes if (node.module or "").startswith("srledger.")]
    files = {PACKAGE.joinpath(*module).with_suffix(".py") for module in modules}
    found = {file for file in files if file.exists() and file.is_relative_to(PACKAGE / "degradations")}
    return found.union(*(imported(each) for each in found))


@pytest.mark.parametrize("name", plugin_names("degradations"))
def test_the_degrade_stage_depends_on_what_a_degradation_imports(name: str) -> None:
    root = PACKAGE.parents[1]
    deps = YamlFile.read(root / "dvc.yaml").values["stages"]["degrade"]["do"]["deps"]
    for file in imported(plugin_file("degradations", name)):
        path = file.relative_to(root).as_posix()
        assert any(path == dep or path.startswith(f"{dep}/") for dep in deps), path
