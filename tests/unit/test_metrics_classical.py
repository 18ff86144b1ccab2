"""PSNR, SSIM, MS-SSIM and GMSD against the field's own numbers."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srledger.metrics import MetricName, MetricUnavailable
from srledger.metrics._images import luma_ycbcr, luma_yiq
from srledger.metrics._psnr import CAP_DB, psnr_db
from srledger.metrics._ssim import filter_valid, gaussian_taps
from srledger.seeds import numpy_generator


def photograph(side_px: int = 96) -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[100 : 100 + side_px, 150 : 150 + side_px])


def with_noise(image: np.ndarray, deviation: float) -> np.ndarray:
    noise = numpy_generator("test noise", 0).normal(0, deviation, image.shape)
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def batch(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def value(name: str, sr: np.ndarray, hr: np.ndarray) -> float:
    metric = MetricName.parse(name)
    measured = metric.build({}).measure(metric.crop(batch(sr)), metric.crop(batch(hr)))
    assert measured is not None
    return float(measured)


def luma_basicsr(image: np.ndarray) -> np.ndarray:
    """BasicSR's ``to_y_channel`` with its float32 steps, on RGB order."""
    scaled = image.astype(np.float32) / np.float32(255.0)
    return (np.dot(scaled, [65.481, 128.553, 24.966]) + 16.0).astype(np.float32) / np.float32(255.0) * np.float32(255.0)


def test_psnr_and_ssim_rgb_equal_skimage() -> None:
    hr, sr = photograph(), with_noise(photograph(), 12.0)
    assert value("psnr_rgb", sr, hr) == pytest.approx(peak_signal_noise_ratio(hr, sr), abs=1e-9)
    expected = structural_similarity(
        hr, sr, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert value("ssim_rgb", sr, hr) == pytest.approx(expected, abs=1e-9)


def test_psnr_and_ssim_on_y_equal_skimage_on_basicsr_luma() -> None:
    hr, sr = photograph(), with_noise(photograph(), 12.0)
    luma_hr, luma_sr = luma_basicsr(hr).astype(np.float64), luma_basicsr(sr).astype(np.float64)
    expected_db = peak_signal_noise_ratio(luma_hr, luma_sr, data_range=255)
    assert value("psnr_y_ycbcr", sr, hr) == pytest.approx(expected_db, abs=1e-4)
    expected = structural_similarity(
        luma_hr, luma_sr, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert value("ssim_y_ycbcr", sr, hr) == pytest.approx(expected, abs=1e-6)


def test_luma_spans_16_to_235() -> None:
    black_white = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert luma_ycbcr(black_white).flatten().tolist() == pytest.approx([16.0, 235.0])
    assert luma_yiq(black_white).flatten().tolist() == pytest.approx([0.0, 255.0])


def test_psnr_on_ycbcr_is_1_322_db_above_yiq() -> None:
    hr, sr = batch(photograph()), batch(with_noise(photograph(), 8.0))
    gap_db = psnr_db(luma_ycbcr(sr), luma_ycbcr(hr)) - psnr_db(luma_yiq(sr), luma_yiq(hr))
    assert float(gap_db) == pytest.approx(1.322, abs=1e-3)
    assert float(gap_db) == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)


def test_the_border_is_cut_before_the_psnr() -> None:
    hr = photograph()
    sr = hr.copy()
    sr[:4] = 255 - sr[:4]
    sr[:, -4:] = 255 - sr[:, -4:]
    assert value("psnr_rgb", sr, hr) < 20
    assert value("psnr_rgb_crop4", sr, hr) == CAP_DB


def test_equal_images_get_the_cap_and_not_infinity() -> None:
    assert value("psnr_rgb", photograph(), photograph()) == CAP_DB
    assert value("psnr_y_ycbcr", photograph(), photograph()) == CAP_DB


def test_the_separable_filter_is_the_dense_window() -> None:
    images = torch.from_numpy(numpy_generator("filter", 0).normal(size=(2, 1, 20, 17)))
    taps = torch.tensor(gaussian_taps(), dtype=torch.float64)
    dense = torch.nn.functional.conv2d(images, torch.outer(taps, taps)[None, None])
    torch.testing.assert_close(filter_valid(images, taps.tolist()), dense, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "least_px"), [("ssim_rgb", 11), ("ssim_y_ycbcr", 11), ("ms_ssim_rgb", 63), ("gmsd", 16)]
)
def test_images_that_are_too_small_have_no_value(name: str, least_px: int) -> None:
    enough, small = photograph(least_px), photograph(least_px - 1)
    assert value(name, enough, enough) == pytest.approx(0.0 if name == "gmsd" else 1.0, abs=1e-12)
    with pytest.raises(MetricUnavailable, match=f"{least_px - 1}x{least_px - 1} px"):
        value(name, small, small)


def test_set5_bicubic_is_the_published_28_43_db() -> None:
    mirror = os.environ.get("SRLEDGER_MIRROR") or pytest.skip("SRLEDGER_MIRROR is not set: no Set5 to read")
    files = sorted((Path(mirror) / "general/Set5").glob("*.png"))
    assert len(files) == 5
    found_db = []
    for file in files:
        lr = Image.open(Path(mirror) / "general/Set5_LRx4_matlab" / file.name).convert("RGB")
        sr = np.asarray(lr.resize((lr.width * 4, lr.height * 4), Image.Resampling.BICUBIC))
        hr = np.asarray(Image.open(file).convert("RGB"))[: sr.shape[0], : sr.shape[1]]
        found_db.append(value("psnr_y_ycbcr_crop4", sr, hr))
    assert np.mean(found_db) == pytest.approx(28.43, abs=0.05)
