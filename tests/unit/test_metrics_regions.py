"""PSNR and SSIM inside and outside the boxes of eyes, nose and mouth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import structural_similarity

from srledger.evaluation.measure import Panel
from srledger.facial_parts import parts_mask
from srledger.layout import Layout
from srledger.metrics import LandmarkMetric, MetricName, MetricUnavailable
from srledger.metrics._psnr import CAP_DB
from srledger.seeds import numpy_generator

NAMES = ("psnr_rgb_parts", "psnr_rgb_rest", "ssim_rgb_parts", "ssim_rgb_rest")
POINTS = np.array([[34.0, 40.0], [94.0, 40.0], [64.0, 68.0], [44.0, 98.0], [84.0, 100.0]])  # eyes 60 px apart
SHIFT = np.array([6, -4])


def face(side_px: int = 128) -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[60 : 60 + side_px, 160 : 160 + side_px])


def tensor(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def noisy(image: np.ndarray) -> np.ndarray:
    noise = numpy_generator("regions", 0).normal(0, 12, image.shape)
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def metric_of(name: str) -> LandmarkMetric:
    metric = MetricName.parse(name).build({})
    assert isinstance(metric, LandmarkMetric)
    return metric


def value(name: str, sr: np.ndarray, hr: np.ndarray, points: np.ndarray = POINTS) -> float:
    return float(metric_of(name).measure_at(tensor(sr), tensor(hr), [points]))


def values(sr: np.ndarray, hr: np.ndarray) -> dict[str, float]:
    return {name: value(name, sr, hr) for name in NAMES}


def test_the_mask_has_the_pixels_whose_centres_lie_in_a_box() -> None:
    mask = parts_mask(POINTS, 128, 128)
    expected = np.zeros((128, 128), bool)
    for left, top, right, bottom in ((16, 28, 52, 52), (76, 28, 112, 52), (46, 50, 82, 86), (35, 80, 93, 118)):
        expected[top : bottom + 1, left : right + 1] = True  # 60 px between the eyes: 36 x 24, 36 x 36, 58 x 38
    assert np.array_equal(mask, expected)
    turned = parts_mask(np.stack([POINTS[:, 1], POINTS[:, 0]], axis=1), 128, 128)
    assert turned[34:95:60, 40].all()  # eyes one below the other: the unit is a length, not a width
    assert not parts_mask(POINTS + 500, 128, 128).any()


def test_equal_images_get_the_cap() -> None:
    assert values(face(), face()) == pytest.approx(dict(zip(NAMES, (CAP_DB, CAP_DB, 1, 1), strict=True)), abs=1e-12)


@pytest.mark.parametrize(("place", "changed", "kept"), [("eye", "parts", "rest"), ("corner", "rest", "parts")])
def test_an_error_counts_where_it_is_and_nowhere_else(place: str, changed: str, kept: str) -> None:
    hr, sr = face(), face()
    top, left = {"eye": (34, 28), "corner": (114, 2)}[place]  # a window reaches 5 px beyond the 10 px of the error
    sr[top : top + 10, left : left + 10] ^= 128
    found = values(sr, hr)
    assert found[f"psnr_rgb_{changed}"] < 40 and found[f"ssim_rgb_{changed}"] < 0.999
    assert found[f"psnr_rgb_{kept}"] == CAP_DB and found[f"ssim_rgb_{kept}"] == pytest.approx(1, abs=1e-12)


def test_psnr_is_the_formula_over_the_pixels_of_the_region() -> None:
    hr, sr = face(), noisy(face())
    mask = parts_mask(POINTS, 128, 128)
    for name, region in (("psnr_rgb_parts", mask), ("psnr_rgb_rest", ~mask)):
        mse = np.mean((sr[region].astype(float) - hr[region].astype(float)) ** 2)
        assert value(name, sr, hr) == pytest.approx(10 * np.log10(255**2 / mse), abs=1e-9)


def test_ssim_is_the_mean_of_skimages_map_over_the_region() -> None:
    hr, sr = face(), noisy(face())
    _, ssim_map = structural_similarity(
        hr, sr, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    mask = parts_mask(POINTS, 128, 128)
    for name, region in (("ssim_rgb_parts", mask), ("ssim_rgb_rest", ~mask)):
        whole = np.zeros_like(region)
        whole[5:-5, 5:-5] = region[5:-5, 5:-5]
        assert value(name, sr, hr) == pytest.approx(ssim_map[whole].mean(), abs=1e-9)


def test_the_two_regions_make_up_the_image() -> None:
    hr, sr = face(), noisy(face())
    mask, found = parts_mask(POINTS, 128, 128), values(sr, hr)
    mses = {region: 255**2 / 10 ** (found[f"psnr_rgb_{region}"] / 10) for region in ("parts", "rest")}
    whole = mses["parts"] * mask.mean() + mses["rest"] * (1 - mask.mean())
    expected = MetricName.parse("psnr_rgb").build({}).measure(tensor(sr), tensor(hr))
    assert 10 * np.log10(255**2 / whole) == pytest.approx(float(expected), abs=1e-9)  # type: ignore[arg-type]


def test_a_border_that_is_cut_moves_the_landmarks() -> None:
    hr, sr = face(), noisy(face())
    layout, measured = Layout("s"), {}
    panel = Panel([f"{name}_crop4" for name in NAMES], (), layout)
    seed = panel.start_seed()
    panel.take(tensor(sr), tensor(hr), seed, landmarks=[POINTS])
    measured = {name.removesuffix("_crop4"): one for name, (one,) in seed.images.items()}
    inner = slice(4, -4)
    expected = {name: value(name, sr[inner, inner], hr[inner, inner], POINTS - 4) for name in NAMES}
    assert measured == pytest.approx(expected, abs=1e-12)
    assert measured["psnr_rgb_parts"] == pytest.approx(value("psnr_rgb_parts", sr, hr), abs=1e-12)


def test_each_image_of_a_batch_has_its_own_landmarks() -> None:
    hr, sr = face(), noisy(face())
    panel = Panel(NAMES, (), Layout("s"))
    measured = panel.start_seed()
    panel.take(tensor(sr, sr), tensor(hr, hr), measured, landmarks=[POINTS, POINTS + SHIFT])
    for name in NAMES:
        assert measured.images[name] == [value(name, sr, hr), value(name, sr, hr, POINTS + SHIFT)]
        assert measured.images[name][0] != measured.images[name][1]


@pytest.mark.parametrize("landmarks", [[None], []])
def test_without_landmarks_they_are_unavailable_and_the_others_stay(landmarks: list[None]) -> None:
    panel = Panel(["psnr_rgb", *NAMES], (), Layout("s"))
    measured = panel.start_seed()
    panel.take(tensor(face()), tensor(face()), measured, landmarks=landmarks)
    assert measured.images == {"psnr_rgb": [CAP_DB]}
    assert set(panel.unavailable) == set(NAMES) and "landmarks" in panel.unavailable["ssim_rgb_rest"]


def test_a_region_without_pixels_is_said_and_not_measured() -> None:
    with pytest.raises(MetricUnavailable, match="shows no facial part"):
        value("psnr_rgb_parts", face(), face(), POINTS + 500)
    assert value("psnr_rgb_rest", face(), face(), POINTS + 500) == CAP_DB
    with pytest.raises(MetricUnavailable, match="shows facial parts alone"):
        value("ssim_rgb_rest", face(16), face(16), (POINTS - [64, 68]) * 10)
    with pytest.raises(MetricUnavailable, match="10x10 px"):
        value("ssim_rgb_parts", face(10), face(10), POINTS / 13)


def test_protocols_say_which_region_and_by_which_rule() -> None:
    for name in NAMES:
        protocol = type(metric_of(name)).protocol
        assert ("inside" if name.endswith("parts") else "outside") in protocol and "0.6 x 0.4" in protocol
        assert "{" not in protocol


def test_the_rule_stands_in_one_place() -> None:
    package = Path(__file__).parents[2] / "src" / "srledger"
    assert [
        path.name for path in package.rglob("*.py") if "def boxes_of_landmarks" in path.read_text(encoding="utf-8")
    ] == ["facial_parts.py"]
