"""JPEG alone: what bicubic leaves, through libjpeg once, at a quality that is drawn and recorded."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from srledger.degradations.bicubic import Bicubic
from srledger.degradations.bicubic import Config as BicubicConfig
from srledger.degradations.bicubic_jpeg import BicubicJpeg, Config
from srledger.seeds import numpy_generator

HR = numpy_generator("test", "jpeg").integers(0, 256, (32, 48, 3), dtype=np.uint8)


def test_it_is_bicubic_and_then_the_file_of_the_recorded_quality() -> None:
    lr, drawn = BicubicJpeg(Config(), 4).degrade(HR, numpy_generator("a"), None)
    reduced, _ = Bicubic(BicubicConfig(), 4).degrade(HR, numpy_generator("a"), None)
    file = io.BytesIO()
    Image.fromarray(reduced).save(file, "JPEG", quality=drawn["jpeg_quality"], subsampling="4:2:0")
    assert lr.shape == (8, 12, 3) and np.array_equal(lr, np.asarray(Image.open(file)))
    assert not np.array_equal(lr, reduced)


def test_qualities_are_drawn_evenly_with_both_ends() -> None:
    degradation = BicubicJpeg(Config(jpeg_quality=(30, 33)), 4)
    drawn = [degradation.degrade(HR, numpy_generator("draw", k), None)[1]["jpeg_quality"] for k in range(400)]
    counts = np.bincount(drawn, minlength=34)[30:]
    assert counts.sum() == 400 and (np.abs(counts - 100) < 40).all()


def test_a_lower_quality_is_farther_from_the_image() -> None:
    reduced, _ = Bicubic(BicubicConfig(), 4).degrade(HR, numpy_generator("a"), None)
    errors = [
        np.abs(BicubicJpeg(Config(jpeg_quality=(q, q)), 4).degrade(HR, numpy_generator("a"), None)[0] - 1.0 * reduced)
        for q in (95, 60, 10)
    ]
    assert errors[0].mean() < errors[1].mean() < errors[2].mean()


@pytest.mark.parametrize("bounds", [(95, 30), (0, 30), (30, 101)])
def test_qualities_that_libjpeg_has_not_are_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValidationError):
        Config(jpeg_quality=bounds)
