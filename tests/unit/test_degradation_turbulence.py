"""The turbulence simulator: identity at strength 0, smooth fields of the stated size, worse with strength."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from srledger.degradations.turbulence import Config, Drawn, Turbulence, apply, draw, fields_of, smooth_field


def photo(side_px: int = 64) -> np.ndarray:
    noise = np.random.default_rng(7).normal(128, 200, (side_px, side_px, 3))
    return ndimage.gaussian_filter(noise, (2, 2, 0)).clip(0, 255).astype(np.uint8)


def drawn_at(strength: float, side_px: int = 64) -> Drawn:
    return draw(Config(strength=strength), side_px, np.random.default_rng(5))


def test_strength_0_is_the_identity() -> None:
    lr, record = Turbulence(Config(strength=0.0), 1).degrade(photo(), np.random.default_rng(0), None)
    np.testing.assert_array_equal(lr, photo())
    assert record["tilt_px"] == record["blur_px"] == 0


def test_a_sweep_of_strength_keeps_the_fields_and_scales_them() -> None:
    (tilt, blur), (tilt3, blur3) = fields_of(drawn_at(1), 64, 64), fields_of(drawn_at(3), 64, 64)
    np.testing.assert_allclose(tilt3, 3 * tilt)
    np.testing.assert_allclose(blur3, 3 * blur)


def test_the_image_gets_worse_with_strength() -> None:
    errors = [np.abs(apply(photo(), drawn_at(s)).astype(float) - photo()).mean() for s in (0, 0.25, 0.5, 1, 2)]
    assert errors == sorted(errors) and errors[1] > 0


def test_tilts_have_the_stated_size_and_hang_together() -> None:
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_field(rng, (64, 64), 4.0) for _ in range(40)])
    assert fields.std() == pytest.approx(1, rel=0.05) and abs(fields.mean()) < 0.05
    # smoothed by a Gaussian of s px, the correlation over d px is exp(-d^2 / 4 s^2)
    for distance_px in (1, 4, 24):
        correlation = (fields * np.roll(fields, distance_px, axis=2)).mean() / fields.var()
        assert correlation == pytest.approx(np.exp(-(distance_px**2) / (4 * 16)), abs=0.05)
    tilts = np.stack([fields_of(draw(Config(), 128, rng), 128, 128)[0] for _ in range(10)])
    assert tilts.std() == pytest.approx(0.008 * 128, rel=0.1)


def test_blur_varies_over_the_picture_about_its_mean() -> None:
    rng = np.random.default_rng(0)
    widths = np.stack([fields_of(draw(Config(), 128, rng), 128, 128)[1] for _ in range(10)])
    assert widths.mean() == pytest.approx(0.008 * 128, rel=0.1)
    assert widths.min() >= 0 and widths.max() <= 2 * 0.008 * 128 and widths[0].std() > 0.1


def test_blur_alone_moves_nothing_and_tilt_alone_blurs_nothing() -> None:
    flat = np.full((48, 48, 3), 99, np.uint8)
    np.testing.assert_array_equal(apply(flat, drawn_at(2, 48)), flat)
    edge = np.zeros((64, 64, 3), np.uint8)
    edge[:, 32:] = 255
    blurred = apply(edge, draw(Config(strength=2, tilt_of_side=0.0), 64, np.random.default_rng(1)))
    crossings = np.argmax(blurred[..., 0] >= 128, axis=1)
    assert set(crossings.tolist()) == {32} and ((blurred > 20) & (blurred < 235)).any()
    tilted = apply(edge, draw(Config(strength=2, blur_of_side=0.0), 64, np.random.default_rng(1)))
    crossings = np.argmax(tilted[..., 0] >= 128, axis=1)
    assert len(set(crossings.tolist())) > 1 and abs(crossings - 32).max() <= 6


def test_the_lr_image_is_a_function_of_its_record() -> None:
    lr, record = Turbulence(Config(), 1).degrade(photo(), np.random.default_rng(3), None)
    np.testing.assert_array_equal(apply(photo(), Drawn.model_validate(json.loads(json.dumps(record)))), lr)
    reduced, _ = Turbulence(Config(), 4).degrade(photo(), np.random.default_rng(3), None)
    assert reduced.shape == (16, 16, 3)
