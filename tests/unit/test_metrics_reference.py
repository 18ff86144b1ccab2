"""Our numbers against pyiqa's and torchmetrics': the slow imports stand in this file alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import io
from skimage import data

from srledger.metrics import MetricName
from srledger.seeds import numpy_generator


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two squares of a photograph, with noise and without: uint8 ``2 x 3 x 192 x 192``."""
    squares = np.stack([data.astronaut()[60 * k : 60 * k + 192, 150 : 150 + 192] for k in range(2)])
    hr = torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous()
    noise = torch.from_numpy(numpy_generator("reference", 0).normal(0, 12, tuple(hr.shape)))
    return (hr + noise).round().clamp(0, 255).to(torch.uint8), hr


def ours(name: str, sr: torch.Tensor, hr: torch.Tensor, **weights: Path) -> torch.Tensor:
    values = MetricName.parse(name).build(weights).measure(sr, hr)
    assert values is not None
    return values


def test_ms_ssim_equals_torchmetrics_as_the_paper_calls_it(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as theirs

    sr, hr = pair
    settings = {"kernel_size": 7, "betas": (0.0448, 0.2856, 0.3001, 0.2363), "normalize": "relu", "data_range": 1.0}
    expected = theirs(sr.double() / 255, hr.double() / 255, reduction="none", **settings)
    torch.testing.assert_close(ours("ms_ssim_rgb", sr, hr), expected, rtol=0, atol=1e-7)


def test_psnr_ssim_gmsd_and_niqe_equal_pyiqa(pair: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    from pyiqa.archs.gmsd_arch import GMSD
    from pyiqa.archs.niqe_arch import NIQE
    from pyiqa.archs.psnr_arch import PSNR
    from pyiqa.archs.ssim_arch import SSIM

    sr, hr = pair
    a, b = sr.double() / 255, hr.double() / 255
    psnr_y = PSNR(test_y_channel=True, color_space="ycbcr")(a, b)
    torch.testing.assert_close(ours("psnr_y_ycbcr", sr, hr), psnr_y.double(), rtol=0, atol=1e-4)
    psnr_yiq = PSNR(test_y_channel=True)(a, b)  # pyiqa's default: another luma, another number
    torch.testing.assert_close(
        ours("psnr_y_ycbcr", sr, hr) - psnr_yiq, torch.full((2,), 1.3219).double(), rtol=0, atol=1e-3
    )
    psnr_rgb = PSNR()(a, b)
    torch.testing.assert_close(ours("psnr_rgb", sr, hr), psnr_rgb.double(), rtol=0, atol=1e-4)
    ssim_y = SSIM(test_y_channel=True, color_space="ycbcr", downsample=False)(a, b)
    torch.testing.assert_close(ours("ssim_y_ycbcr", sr, hr), ssim_y.double(), rtol=0, atol=1e-3)  # pyiqa rounds Y
    ssim_rgb = SSIM(test_y_channel=False, downsample=False)(a, b)
    torch.testing.assert_close(ours("ssim_rgb", sr, hr), ssim_rgb.double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(ours("gmsd", sr, hr), GMSD()(a, b).double(), rtol=0, atol=1e-4)

    mirror = os.environ.get("SRLEDGER_MIRROR") or pytest.skip(
        "SRLEDGER_MIRROR is not set: no NIQE parameters to compare with"
    )
    parameters = Path(mirror) / "weights/niqe/niqe_pris_params.npz"
    with np.load(parameters) as pristine:  # pyiqa reads the same numbers from MATLAB's format
        table = {"mu_prisparam": pristine["mu_pris_param"], "cov_prisparam": pristine["cov_pris_param"]}
    io.savemat(tmp_path / "niqe.mat", table)
    niqe = NIQE(color_space="ycbcr", pretrained_model_path=str(tmp_path / "niqe.mat"))
    for images, eight_bit in ((a, sr), (b, hr)):
        expected = niqe(images).double()
        torch.testing.assert_close(
            ours("niqe", eight_bit, eight_bit, niqe_pris_params=parameters), expected, rtol=0, atol=5e-3
        )
