"""The fixed degradations: against MATLAB's own LR files, hand-made values and Pillow's filter."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from srledger.degradations import Degradation
from srledger.errors import SrledgerError
from srledger.imresize import imresize, imresize_uint8, resize_weights
from srledger.plugins import plugin_class, plugin_config

RNG = np.random.default_rng(0)
SET5 = ("baby", "bird", "butterfly", "head", "woman")


def degradation(name: str, scale_factor: int) -> Degradation:
    return plugin_class("degradations", name)(plugin_config("degradations", name)(), scale_factor)


def photo(height_px: int, width_px: int) -> np.ndarray:
    noise = np.random.default_rng(7).uniform(0, 255, (height_px, width_px, 3))
    return ndimage.gaussian_filter(noise, (2, 2, 0)).clip(0, 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def mirror() -> Path:
    if "SRLEDGER_MIRROR" not in os.environ:
        pytest.skip("SRLEDGER_MIRROR is not set: no MATLAB LR files to compare with")
    return Path(os.environ["SRLEDGER_MIRROR"]) / "general"


@pytest.mark.parametrize("name", SET5)
def test_bicubic_is_matlabs_to_the_bit(mirror: Path, name: str) -> None:
    hr = np.asarray(Image.open(mirror / "Set5" / f"{name}.png").convert("RGB"))
    matlab = np.asarray(Image.open(mirror / "Set5_LRx4_matlab" / f"{name}.png").convert("RGB"))
    lr, drawn = degradation("bicubic", 4).degrade(hr, RNG, None)
    assert drawn == {}
    np.testing.assert_array_equal(lr, matlab)


def test_weights_of_a_halving_are_the_known_ones() -> None:
    # imresize by 1/2: the cubic, widened twice, at distances 0.5, 1.5, 2.5, 3.5 px.
    known = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    np.testing.assert_allclose(resize_weights(32, 16)[8, 13:21], known, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("in_px", "out_px"), [(16, 128), (128, 16), (7, 5), (5, 7), (3, 1), (1, 9), (12, 12)])
def test_a_constant_stays_constant_at_any_scale(in_px: int, out_px: int) -> None:
    np.testing.assert_allclose(imresize(np.full((2, in_px, in_px), 0.3), out_px, out_px), 0.3, atol=1e-12)


def test_the_same_size_is_the_same_image() -> None:
    image = photo(9, 14)
    np.testing.assert_array_equal(imresize_uint8(image, 9, 14), image)


def test_a_ramp_stays_a_ramp_when_enlarged() -> None:
    # Keys' kernel with a = -0.5 reproduces straight lines; the mirrored border bends the outermost pixels.
    ramp = np.tile(np.arange(16.0), (4, 1))
    enlarged = imresize(ramp, 4, 64)[0]
    np.testing.assert_allclose(enlarged[8:-8], ((np.arange(64) + 0.5) / 4 - 0.5)[8:-8], atol=1e-12)


def test_a_batch_is_resized_as_its_images_are() -> None:
    batch = np.random.default_rng(1).random((3, 3, 12, 20))
    together = imresize(batch, 48, 10)
    assert together.shape == (3, 3, 48, 10)
    np.testing.assert_allclose(together[1, 2], imresize(batch[1, 2], 48, 10), atol=1e-12)


def test_eight_bit_values_are_rounded_half_up_and_clipped() -> None:
    pairs = np.repeat(np.array([[[0], [1]]], np.uint8), 2, axis=0)
    assert imresize_uint8(pairs, 2, 1).ravel().tolist() == [1, 1]  # the mean is 0.5 exactly
    edge = np.zeros((4, 16, 1), np.uint8)
    edge[:, 8:] = 255
    assert imresize_uint8(edge, 16, 64).min() == 0  # an overshoot that wrapped around would not stay in order
    assert np.all(np.diff(imresize_uint8(edge, 16, 64)[0, 28:36, 0].astype(int)) >= 0)


def test_bilinear_chain_is_the_torchvision_chain() -> None:
    from torchvision.transforms import Resize

    hr = photo(128, 128)
    image = Image.fromarray(hr)
    for size_px in (64, 32, 16):
        image = Resize((size_px, size_px))(image)
    lr, drawn = degradation("bilinear_chain", 8).degrade(hr, RNG, None)
    assert drawn == {}
    np.testing.assert_array_equal(lr, np.asarray(image))


def test_bilinear_chain_is_not_one_direct_reduction() -> None:
    hr = photo(64, 64)
    direct = np.asarray(Image.fromarray(hr).resize((8, 8), Image.Resampling.BILINEAR))
    assert not np.array_equal(degradation("bilinear_chain", 8).degrade(hr, RNG, None)[0], direct)


@pytest.mark.parametrize("scale_factor", [1, 3, 6])
def test_bilinear_chain_takes_powers_of_two_alone(scale_factor: int) -> None:
    with pytest.raises(SrledgerError, match="power of two"):
        degradation("bilinear_chain", scale_factor)


def test_given_lr_is_the_data_sets_own() -> None:
    given = photo(4, 6)
    assert degradation("given_lr", 4).degrade(photo(16, 24), RNG, given)[0] is given


def test_given_lr_that_is_missing_or_of_wrong_size_is_an_error() -> None:
    with pytest.raises(SrledgerError, match="no LR image"):
        degradation("given_lr", 4).degrade(photo(16, 24), RNG, None)
    with pytest.raises(SrledgerError, match="5 x 4 px"):
        degradation("given_lr", 4).degrade(photo(16, 24), RNG, photo(4, 5))
