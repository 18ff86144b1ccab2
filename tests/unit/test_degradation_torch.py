"""The batched operators in torch against those in NumPy, from the same records."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from srledger.degradations import real_esrgan
from srledger.degradations._operators import blur as numpy_blur
from srledger.degradations._operators import eight_bit, noise
from srledger.degradations._operators import resize as numpy_resize
from srledger.degradations._operators.blur import Kernel
from srledger.degradations._operators.noise import Noise
from srledger.degradations._torch_operators import canvas as on_canvas
from srledger.degradations._torch_operators.canvas import Canvas
from srledger.degradations._torch_operators.jpeg import through_jpeg
from srledger.degradations._torch_operators.real_esrgan import apply_batch
from srledger.degradations.real_esrgan import Config, Drawn, Round, SecondRound, draw

SIZES_PX = ((40, 56), (33, 17), (9, 10), (1, 3))
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def picture(height_px: int, width_px: int, seed: int = 3) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0.5, 2, (3, height_px, width_px)), (0, 2, 2))
    return np.round(np.clip(smooth, 0, 1) * 255) / 255


@pytest.fixture(params=DEVICES)
def canvas(request: pytest.FixtureRequest) -> Canvas:
    """Four pictures of different sizes; what lies around them is NaN, which would show if it were read."""
    planes = np.full((4, 3, 40, 56), np.nan, np.float32)
    for k, (height, width) in enumerate(SIZES_PX):
        planes[k, :, :height, :width] = picture(height, width, k)
    return Canvas(torch.from_numpy(planes).to(request.param), SIZES_PX)


def assert_alike(made: Canvas, expected: list[np.ndarray], atol: float) -> None:
    for sample, wanted in zip(made.samples(), expected, strict=True):
        np.testing.assert_allclose(sample.cpu().numpy(), wanted, rtol=0, atol=atol)


def test_blur_is_numpys(canvas: Canvas) -> None:
    kernels = [
        Kernel(family="aniso", size_px=21, sigma_px=(3.0, 0.7), angle_rad=1.0),
        Kernel(family="sinc", size_px=13, cutoff_rad=1.2),
        None,
        Kernel(family="plateau_iso", size_px=7, sigma_px=(1.0, 1.0), beta=1.5),
    ]
    images = [picture(*size, k) for k, size in enumerate(SIZES_PX)]
    expected = [
        numpy_blur.blur(image, kernel) if kernel else image for image, kernel in zip(images, kernels, strict=True)
    ]
    assert_alike(on_canvas.blur(canvas, kernels), expected, 2e-6)
    assert on_canvas.blur(canvas, [None] * 4) is canvas


def test_resize_is_numpys(canvas: Canvas) -> None:
    sizes, modes = [(20, 31), (49, 25), (9, 10), (4, 2)], ["area", "bicubic", "bilinear", "area"]
    expected = [
        numpy_resize.resize(picture(*own, k), *wanted, mode)  # type: ignore[arg-type]
        for k, (own, wanted, mode) in enumerate(zip(SIZES_PX, sizes, modes, strict=True))
    ]
    made = on_canvas.resize(canvas, sizes, modes)  # type: ignore[arg-type]
    assert made.sizes_px == tuple(sizes) and made.planes.shape == (4, 3, 49, 31)
    assert_alike(made, expected, 2e-6)


@pytest.mark.parametrize("quality", [30, 49, 50, 75, 95, 100])
def test_jpeg_is_libjpegs_but_for_roundings(canvas: Canvas, quality: int) -> None:
    made = through_jpeg(canvas, [quality] * 4).samples()
    for k, sample in enumerate(made):
        expected = eight_bit.through_jpeg(picture(*SIZES_PX[k], k), quality)
        levels = np.abs(np.round(sample.cpu().numpy() * 255) - expected * 255)
        assert (levels == 0).mean() > 0.8 and levels.mean() < 0.3 and levels.max() <= 16


def test_every_sample_has_a_quality_of_its_own(canvas: Canvas) -> None:
    together = through_jpeg(canvas, [30, 95, 60, 80]).samples()
    for k, quality in enumerate([30, 95, 60, 80]):
        height, width = SIZES_PX[k]
        one = Canvas(canvas.planes[k : k + 1, :, :height, :width], (SIZES_PX[k],))
        torch.testing.assert_close(through_jpeg(one, [quality]).samples()[0], together[k], rtol=0, atol=1e-6)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_noise_follows_numpys_law(grey: bool, device: str) -> None:
    ramp = np.tile(np.linspace(0.2, 0.7, 64, dtype=np.float32), (3, 256, 1))
    for drawn in (
        Noise(kind="gaussian", sigma_255=15, grey=grey, seed=1),
        Noise(kind="poisson", poisson_scale=0.7, grey=grey, seed=1),
    ):
        batch = Canvas(torch.from_numpy(ramp)[None].to(device), ((256, 64),))
        made = on_canvas.add_noise(batch, [drawn]).samples()[0].cpu().numpy() - ramp
        field = noise.add_noise(ramp.astype(float), drawn) - ramp
        assert np.allclose(made[0], made[1]) == np.allclose(field[0], field[1]) == grey
        halves = np.stack([made, field]).reshape(2, 3, 256, 2, 32)
        dark_and_light = halves.std(axis=(1, 2, 4))
        np.testing.assert_allclose(dark_and_light[0], dark_and_light[1], rtol=0.06)
        assert abs(made.mean()) < 0.002
        assert torch.equal(on_canvas.add_noise(batch, [drawn]).planes, on_canvas.add_noise(batch, [drawn]).planes)


def without_noise(drawn: Drawn) -> Drawn:
    silent = {
        name: getattr(drawn, name).model_copy(update={"noise": Noise(kind="gaussian", sigma_255=0.0, seed=0)})
        for name in ("first", "second")
    }
    return drawn.model_copy(update=silent)


@pytest.mark.parametrize("device", DEVICES)
def test_without_noise_the_chain_is_numpys(device: str) -> None:
    rng = np.random.default_rng(5)
    drawn = [without_noise(draw(Config(), rng)) for _ in range(24)]
    hrs = np.stack([picture(64, 48, k) for k in range(24)])
    lrs = apply_batch(torch.from_numpy(hrs).to(device), drawn, 4).cpu().numpy()
    assert lrs.shape == (24, 3, 16, 12)
    expected = [real_esrgan.apply(eight_bit.pixels_of(hr), each, 4) for hr, each in zip(hrs, drawn, strict=True)]
    differences = np.abs(np.moveaxis(np.round(lrs * 255), 1, -1) - np.stack(expected))
    assert differences.mean() < 0.5 and (differences.mean(axis=(1, 2, 3)) < 0.1).mean() > 0.6


def test_with_noise_the_chain_is_as_noisy_as_numpys() -> None:
    config = Config(first=Round(gaussian_sigma_255=(25, 30)), second=SecondRound(gaussian_sigma_255=(20, 25)))
    rng = np.random.default_rng(6)
    drawn = [draw(config, rng) for _ in range(32)]
    hr = np.full((3, 64, 64), 0.5)
    lrs = apply_batch(torch.from_numpy(np.stack([hr] * 32)), drawn, 4).numpy()
    spreads = [
        (lrs[k].std(), (real_esrgan.apply(eight_bit.pixels_of(hr), each, 4) / 255).std())
        for k, each in enumerate(drawn)
    ]
    made, expected = np.mean(spreads, axis=0)
    assert made == pytest.approx(expected, rel=0.1) and np.corrcoef(np.array(spreads).T)[0, 1] > 0.9


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_a_function_of_its_records(device: str) -> None:
    """Noise too: no state of the device's generators has a say, and none is left behind."""
    drawn = [draw(Config(), np.random.default_rng(k)) for k in range(4)]
    again = [Drawn.model_validate_json(each.model_dump_json()) for each in drawn]
    hrs = torch.from_numpy(np.stack([picture(32, 32, k) for k in range(4)])).to(device)
    torch.manual_seed(1)
    first = apply_batch(hrs, drawn, 4)
    torch.manual_seed(2)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(2))
    assert torch.equal(apply_batch(hrs, again, 4), first)
    assert torch.equal(torch.rand(3), expected)
    assert first.shape == (4, 3, 8, 8) and first.device.type == device
    torch.testing.assert_close((first * 255).round(), first * 255, rtol=0, atol=1e-4)
    assert first.min() >= 0 and first.max() <= 1


def test_a_sample_does_not_depend_on_its_batch() -> None:
    rng = np.random.default_rng(8)
    drawn = [draw(Config(), rng) for _ in range(6)]
    hrs = torch.from_numpy(np.stack([picture(64, 64, k) for k in range(6)]))
    together = apply_batch(hrs, drawn, 4)
    for k in range(6):
        alone = apply_batch(hrs[k : k + 1], drawn[k : k + 1], 4)
        assert ((alone[0] - together[k]).abs() * 255 < 0.5).float().mean() > 0.99


def test_a_batch_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="B x 3 x H x W"):
        on_canvas.stack(torch.zeros(2, 1, 8, 8))
    assert dataclasses.is_dataclass(Canvas)
