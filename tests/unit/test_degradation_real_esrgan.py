"""Real-ESRGAN's chain: its draws against the published table, its LR image against its record."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage, stats
from threadpoolctl import threadpool_limits

from srledger.data.synthetic_faces import Config as FacesConfig
from srledger.datasets import build_dataset, read_manifest
from srledger.degradations import real_esrgan
from srledger.degradations._operators.blur import Kernel
from srledger.degradations.real_esrgan import Config, Drawn, DrawnRound, apply, draw, sizes_px
from srledger.degrade import Degrader, degrade_task
from srledger.io import read_json
from srledger.packs import Pack
from srledger.plugins import plugin_class
from srledger.settings import Dataset, Task

N = 4000
FAMILIES = {
    "iso": 0.45, "aniso": 0.25, "generalized_iso": 0.12, "generalized_aniso": 0.03, "plateau_iso": 0.12,
    "plateau_aniso": 0.03,
}  # fmt: skip


@pytest.fixture(scope="module")
def draws() -> list[Drawn]:
    rng = np.random.default_rng(20)
    return [draw(Config(), rng) for _ in range(N)]


def photo(side_px: int = 64) -> np.ndarray:
    noise = np.random.default_rng(7).normal(128, 200, (side_px, side_px, 3))
    return ndimage.gaussian_filter(noise, (2, 2, 0)).clip(0, 255).astype(np.uint8)


def assert_frequencies(values: Iterable[object], probabilities: Mapping[object, float]) -> None:
    """Each value as often as its probability says, within four standard deviations; no other value."""
    values = list(values)
    counts = Counter(values)
    assert counts.keys() <= probabilities.keys()
    for value, p in probabilities.items():
        assert abs(counts[value] / len(values) - p) <= 4 * math.sqrt(p * (1 - p) / len(values)), value


def assert_uniform(values: Iterable[float | None], low: float, high: float) -> None:
    values = [value for value in values if value is not None]
    assert len(values) > 100 and low - 1e-6 <= min(values) and max(values) <= high + 1e-6
    assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 1e-3


def rounds(draws: list[Drawn], number: str) -> list[DrawnRound]:
    return [getattr(drawn, number) for drawn in draws]


def kernels(draws: list[Drawn], number: str) -> list[Kernel]:
    return [each.kernel for each in rounds(draws, number) if each.kernel is not None]


@pytest.mark.parametrize(("number", "probability"), [("first", 1.0), ("second", 0.8)])
def test_blur_happens_by_its_probability(draws: list[Drawn], number: str, probability: float) -> None:
    blurred = [each.kernel is not None for each in rounds(draws, number)]
    assert_frequencies(blurred, {True: probability, False: 1 - probability})


@pytest.mark.parametrize(("number", "sigma_px"), [("first", (0.2, 3.0)), ("second", (0.2, 1.5))])
def test_kernels_follow_the_table(draws: list[Drawn], number: str, sigma_px: tuple[float, float]) -> None:
    drawn = kernels(draws, number)
    families = {"sinc": 0.1} | {family: 0.9 * p for family, p in FAMILIES.items()}
    assert_frequencies([kernel.family for kernel in drawn], families)
    assert_frequencies([kernel.size_px for kernel in drawn], dict.fromkeys(range(7, 22, 2), 1 / 8))
    assert_uniform([kernel.sigma_px[0] for kernel in drawn if kernel.sigma_px], *sigma_px)
    anisotropic = [kernel for kernel in drawn if kernel.family.endswith("aniso")]
    assert_uniform([kernel.sigma_px[1] for kernel in anisotropic if kernel.sigma_px], *sigma_px)
    assert_uniform([kernel.angle_rad for kernel in anisotropic], -math.pi, math.pi)
    for kernel in drawn:
        if kernel.family.endswith("iso") and not kernel.family.endswith("aniso"):
            assert kernel.sigma_px and kernel.sigma_px[0] == kernel.sigma_px[1] and kernel.angle_rad is None


@pytest.mark.parametrize(("prefix", "high", "low"), [("generalized", 4.0, 0.5), ("plateau", 2.0, 1.0)])
def test_half_of_the_betas_lie_on_each_side_of_one(draws: list[Drawn], prefix: str, high: float, low: float) -> None:
    both = kernels(draws, "first") + kernels(draws, "second")
    betas = [kernel.beta for kernel in both if kernel.family.startswith(prefix)]
    above = [beta for beta in betas if beta is not None and beta > 1]
    assert_frequencies([beta is not None and beta > 1 for beta in betas], {True: 0.5, False: 0.5})
    assert_uniform(above, 1.0, high)
    if low < 1:
        assert_uniform([beta for beta in betas if beta is not None and beta <= 1], low, 1.0)


def test_a_small_sinc_cuts_no_low_frequencies(draws: list[Drawn]) -> None:
    sincs = [kernel for kernel in kernels(draws, "first") + kernels(draws, "second") if kernel.family == "sinc"]
    assert_uniform([kernel.cutoff_rad for kernel in sincs if kernel.size_px < 13], math.pi / 3, math.pi)
    assert_uniform([kernel.cutoff_rad for kernel in sincs if kernel.size_px >= 13], math.pi / 5, math.pi)


@pytest.mark.parametrize(
    ("number", "probabilities", "low", "high"),
    [("first", (0.2, 0.7, 0.1), 0.15, 1.5), ("second", (0.3, 0.4, 0.3), 0.3, 1.2)],
)
def test_resizing_follows_the_table(
    draws: list[Drawn], number: str, probabilities: tuple[float, ...], low: float, high: float
) -> None:
    drawn = [each.resize for each in rounds(draws, number)]
    assert_frequencies(
        [each.direction for each in drawn], dict(zip(("up", "down", "keep"), probabilities, strict=True))
    )
    assert_uniform([each.factor for each in drawn if each.direction == "up"], 1.0, high)
    assert_uniform([each.factor for each in drawn if each.direction == "down"], low, 1.0)
    assert {each.factor for each in drawn if each.direction == "keep"} == {1.0}
    assert_frequencies([each.mode for each in drawn], dict.fromkeys(("area", "bilinear", "bicubic"), 1 / 3))


@pytest.mark.parametrize(
    ("number", "sigma_255", "poisson_scale"), [("first", (1, 30), (0.05, 3)), ("second", (1, 25), (0.05, 2.5))]
)
def test_noise_and_jpeg_follow_the_table(
    draws: list[Drawn], number: str, sigma_255: tuple[float, float], poisson_scale: tuple[float, float]
) -> None:
    noises = [each.noise for each in rounds(draws, number)]
    assert_frequencies([noise.kind for noise in noises], {"gaussian": 0.5, "poisson": 0.5})
    for kind in ("gaussian", "poisson"):
        assert_frequencies([noise.grey for noise in noises if noise.kind == kind], {True: 0.4, False: 0.6})
    assert_uniform([noise.sigma_255 for noise in noises], *sigma_255)
    assert_uniform([noise.poisson_scale for noise in noises], *poisson_scale)
    assert len({noise.seed for noise in noises}) == N
    assert_frequencies([each.jpeg_quality for each in rounds(draws, number)], dict.fromkeys(range(30, 96), 1 / 66))


def test_the_end_of_the_chain_follows_the_table(draws: list[Drawn]) -> None:
    ends = [drawn.final for drawn in draws]
    assert_frequencies([end.order for end in ends], {"sinc_then_jpeg": 0.5, "jpeg_then_sinc": 0.5})
    assert_frequencies([end.resize_mode for end in ends], dict.fromkeys(("area", "bilinear", "bicubic"), 1 / 3))
    assert_frequencies([end.sinc is not None for end in ends], {True: 0.8, False: 0.2})
    sincs = [end.sinc for end in ends if end.sinc is not None]
    assert_frequencies([sinc.size_px for sinc in sincs], dict.fromkeys(range(7, 22, 2), 1 / 8))
    assert_uniform([sinc.cutoff_rad for sinc in sincs], math.pi / 3, math.pi)


def test_small_images_get_small_kernels() -> None:
    rng = np.random.default_rng(1)
    drawn = [draw(Config(max_kernel_px=11), rng) for _ in range(300)]
    sizes = {kernel.size_px for number in ("first", "second") for kernel in kernels(drawn, number)}
    assert sizes | {each.final.sinc.size_px for each in drawn if each.final.sinc} == {7, 9, 11}


def test_the_lr_image_is_a_function_of_its_record() -> None:
    for k in range(12):
        lr, record = plugin_class("degradations", "real_esrgan")(Config(), 4).degrade(
            photo(), np.random.default_rng(k), None
        )
        assert lr.shape == (16, 16, 3) and lr.dtype == np.uint8
        np.testing.assert_array_equal(apply(photo(), Drawn.model_validate(json.loads(json.dumps(record))), 4), lr)


def test_sizes_are_those_of_the_published_chain() -> None:
    drawn = draw(Config(), np.random.default_rng(0))
    resized = [
        each.model_copy(update={"resize": each.resize.model_copy(update={"factor": factor})})
        for each, factor in ((drawn.first, 0.33), (drawn.second, 1.19))
    ]
    drawn = drawn.model_copy(update={"first": resized[0], "second": resized[1]})
    assert sizes_px(drawn, (128, 100), 4) == [(42, 33), (38, 29), (32, 25)]
    assert apply(photo(128)[:, :100], drawn, 4).shape == (32, 25, 3)


@pytest.mark.parametrize("scale_factor", [2, 8])
def test_other_factors_than_four(scale_factor: int) -> None:
    lr = apply(photo(), draw(Config(), np.random.default_rng(0)), scale_factor)
    assert lr.shape == (64 // scale_factor, 64 // scale_factor, 3)


def test_the_order_of_sinc_and_jpeg_is_the_recorded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    for name in ("blur", "through_jpeg"):
        real = getattr(real_esrgan, name)
        monkeypatch.setattr(
            real_esrgan, name, lambda planes, how, name=name, real=real: (order.append(name), real(planes, how))[1]
        )
    drawn = draw(Config(final_sinc_probability=1.0), np.random.default_rng(0))
    for wanted, last in (("sinc_then_jpeg", "through_jpeg"), ("jpeg_then_sinc", "blur")):
        apply(photo(), drawn.model_copy(update={"final": drawn.final.model_copy(update={"order": wanted})}), 4)
        assert order[-1] == last and order[0] == "blur" and order.count("through_jpeg") == 2
        order.clear()


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    drawn = [draw(Config(), np.random.default_rng(k)) for k in range(6)]
    with threadpool_limits(1):
        alone = [apply(photo(128), each, 4) for each in drawn]
    with threadpool_limits(4):
        together = [apply(photo(128), each, 4) for each in drawn]
    np.testing.assert_array_equal(alone, together)


# What the table of specification III.1 says of what does not differ from draw to draw.
TABLE = {
    "max_kernel_px": 21,
    "final_sinc_probability": 0.8,
    "sinc_first_probability": 0.5,
    "first": {
        "blur_probability": 1.0, "sinc_probability": 0.1, "sigma_px": [0.2, 3], "beta_generalized": [0.5, 4],
        "beta_plateau": [1, 2], "resize_probabilities": [0.2, 0.7, 0.1], "resize_factors": [0.15, 1.5],
        "gaussian_probability": 0.5, "gaussian_sigma_255": [1, 30], "poisson_scale": [0.05, 3], "grey_probability": 0.4,
        "jpeg_quality": [30, 95],
    },
    "second": {
        "blur_probability": 0.8, "sinc_probability": 0.1, "sigma_px": [0.2, 1.5], "beta_generalized": [0.5, 4],
        "beta_plateau": [1, 2], "resize_probabilities": [0.3, 0.4, 0.3], "resize_factors": [0.3, 1.2],
        "gaussian_probability": 0.5, "gaussian_sigma_255": [1, 25], "poisson_scale": [0.05, 2.5],
        "grey_probability": 0.4, "jpeg_quality": [30, 95],
    },
}  # fmt: skip


def test_the_defaults_are_the_published_table() -> None:
    assert Config().model_dump(mode="json") == TABLE


def test_milder_chains_are_settings_and_not_other_files() -> None:
    """StableSR's ranges."""
    mild = {"resize_factors": (0.3, 1.5), "gaussian_sigma_255": (1.0, 15.0), "poisson_scale": (0.05, 2.0)}
    config = Config.model_validate({"first": {**mild, "jpeg_quality": (60, 95)}})
    rng = np.random.default_rng(3)
    drawn = [draw(config, rng).first for _ in range(600)]
    assert_uniform([each.resize.factor for each in drawn if each.resize.direction == "down"], 0.3, 1.0)
    assert_uniform([each.noise.sigma_255 for each in drawn], 1, 15)
    assert min(each.jpeg_quality for each in drawn) == 60


DRAWN_FACES = Dataset(
    "drawn", "synthetic_faces", FacesConfig(seed=0, size_px=64, n_identities={"train": 4, "val": 1, "test": 1})
)
TASK = Task("faces", DRAWN_FACES, "real_esrgan", Config(max_kernel_px=11), 4, 64, ())


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces of 64 px."""
    folder = tmp_path_factory.mktemp("dataset") / "raw"
    build_dataset(DRAWN_FACES, folder)
    return folder


def test_every_image_has_parameters_of_its_own_that_make_it_again(raw: Path, tmp_path: Path) -> None:
    degrade_task(TASK, raw, tmp_path / "packs")
    images = read_json(tmp_path / "packs" / "images.json")
    records = [Drawn.model_validate(image["drawn"]) for image in images]
    assert len({each.model_dump_json() for each in records}) == len(images) > 5
    assert len({each.first.noise.seed for each in records} | {each.second.noise.seed for each in records}) == 2 * len(
        images
    )
    for image, record in list(zip(images, records, strict=True))[:6]:
        hr, lr = (Pack(tmp_path / "packs" / f"{image['split']}_{kind}").by_id(image["id"]) for kind in ("hr", "lr"))
        np.testing.assert_array_equal(apply(np.asarray(hr), record, 4), lr)


def test_an_image_draws_from_its_name_whoever_stands_beside_it(raw: Path) -> None:
    rows = list(read_manifest(raw))
    straight = {row.id: Degrader(TASK, raw).pair(row) for row in rows[:3]}
    degrader = Degrader(TASK, raw)
    for row in reversed(rows[:3]):
        pair = degrader.pair(row)
        assert pair.drawn == straight[row.id].drawn
        np.testing.assert_array_equal(pair.lr, straight[row.id].lr)
    elsewhere = dataclasses.replace(TASK, name="other", dataset=dataclasses.replace(DRAWN_FACES, name="other"))
    assert Degrader(elsewhere, raw).pair(rows[0]).drawn == straight[rows[0].id].drawn


def test_what_no_chain_can_do_is_refused() -> None:
    for wrong in ({"max_kernel_px": 5}, {"max_kernel_px": 23}, {"final_sinc_probability": 1.1}, {"third": {}}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            Config.model_validate(wrong)


@pytest.mark.parametrize("shape", [(4, 4), (8, 36), (64, 4)])
def test_images_of_a_few_pixels_come_through(shape: tuple[int, int]) -> None:
    hr = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for k in range(8):
        lr = apply(hr, draw(Config(), np.random.default_rng(k)), 4)
        assert lr.shape == (shape[0] // 4, shape[1] // 4, 3)
