"""``turbulence``: a picture through hot air, by a simulator of our own ("turbulence-like (ours)" in tables).

The published evaluations used a physical simulator (Chimitt and Chan, 2020), and neither their settings nor their
pictures can be had (specification I.5). This one keeps its two effects and their order: a spatially correlated random
tilt moves every point, then a blur whose width varies over the picture spreads it. Both grow linearly with
``strength``; at 0 the image is unchanged. Tasks that differ in strength alone draw the same fields for an image, so
a sweep compares like with like.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field
from scipy import ndimage

from srledger.degradations import Degradation
from srledger.degradations._operators.draws import Record, seed
from srledger.degradations._operators.eight_bit import pixels_of, planes_of
from srledger.imresize import imresize_uint8
from srledger.plugins import PluginConfig

BLUR_LEVELS = 7  # Gaussian blurs between which a pixel's own is interpolated
BLUR_SPREAD = 0.5  # standard deviation of the blur's width over the picture, of its mean
MOST_BLUR = 2.0  # the largest width, of its mean


class Config(PluginConfig):
    """How strong, and how large the eddies are against the picture's shorter side.

    Attributes:
        strength: factor of tilt and blur; 0 is the identity.
        tilt_of_side: standard deviation of the shift along each axis at strength 1.
        blur_of_side: mean standard deviation of the Gaussian blur at strength 1.
        tilt_correlation_of_side: length over which tilts are alike (standard deviation of the smoothing Gaussian).
        blur_correlation_of_side: likewise for the blur's width.
    """

    strength: float = Field(default=1.0, ge=0, le=10)
    tilt_of_side: float = Field(default=0.008, ge=0, le=0.1)
    blur_of_side: float = Field(default=0.008, ge=0, le=0.1)
    tilt_correlation_of_side: float = Field(default=0.05, gt=0, le=0.5)
    blur_correlation_of_side: float = Field(default=0.12, gt=0, le=0.5)


class Drawn(Record):
    """The strength in pixels of this image, and the seed of its fields."""

    tilt_px: float
    blur_px: float
    tilt_correlation_px: float
    blur_correlation_px: float
    seed: int


def draw(config: Config, side_px: int, rng: np.random.Generator) -> Drawn:
    """The parameters of an image whose shorter side is ``side_px``; no pixel is touched."""
    return Drawn(
        tilt_px=round(config.strength * config.tilt_of_side * side_px, 6),
        blur_px=round(config.strength * config.blur_of_side * side_px, 6),
        tilt_correlation_px=round(config.tilt_correlation_of_side * side_px, 6),
        blur_correlation_px=round(config.blur_correlation_of_side * side_px, 6),
        seed=seed(rng),
    )


def fields_of(drawn: Drawn, height_px: int, width_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Shifts in pixels, ``2 x H x W`` (down, right), and standard deviations of the blur in pixels, ``H x W``."""
    rng = np.random.Generator(np.random.PCG64(drawn.seed))
    down, right = (smooth_field(rng, (height_px, width_px), drawn.tilt_correlation_px) for _ in range(2))
    width = smooth_field(rng, (height_px, width_px), drawn.blur_correlation_px)
    sigmas_px = drawn.blur_px * np.clip(1 + BLUR_SPREAD * width, 0, MOST_BLUR)
    return drawn.tilt_px * np.stack([down, right]), sigmas_px


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], correlation_px: float) -> np.ndarray:
    """White noise smoothed by a Gaussian, of mean 0 and expected variance 1; opposite borders meet."""
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), correlation_px, mode="wrap")
    impulse = np.zeros(shape)
    impulse[0, 0] = 1
    return smooth / np.sqrt(np.square(ndimage.gaussian_filter(impulse, correlation_px, mode="wrap")).sum())


def apply(hr: np.ndarray, drawn: Drawn) -> np.ndarray:
    """The disturbed image at its own size: uint8 ``H x W x 3``, a function of the record alone."""
    if drawn.tilt_px == drawn.blur_px == 0:
        return hr.copy()
    shifts_px, sigmas_px = fields_of(drawn, *hr.shape[:2])
    points = np.indices(hr.shape[:2]) + shifts_px
    planes = np.stack([ndimage.map_coordinates(plane, points, order=3, mode="mirror") for plane in planes_of(hr)])
    return pixels_of(_blur_by(planes, sigmas_px, MOST_BLUR * drawn.blur_px))


def _blur_by(planes: np.ndarray, sigmas_px: np.ndarray, most_px: float) -> np.ndarray:
    """Every pixel blurred by its own Gaussian, interpolated between ``BLUR_LEVELS`` even blurs."""
    if most_px == 0:
        return planes
    place = sigmas_px / most_px * (BLUR_LEVELS - 1)
    blurred = np.zeros_like(planes)
    for level in range(BLUR_LEVELS):
        sigma_px = most_px * level / (BLUR_LEVELS - 1)
        share = np.clip(1 - np.abs(place - level), 0, 1)
        blurred += share * ndimage.gaussian_filter(planes, (0, sigma_px, sigma_px), mode="mirror")
    return blurred


class Turbulence(Degradation):
    """``apply(hr, draw(...))``; with a scale factor above 1 reduced by MATLAB's bicubic."""

    config: Config

    def degrade(
        self, hr: np.ndarray, rng: np.random.Generator, given_lr: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See ``Degradation.degrade``."""
        height_px, width_px = hr.shape[:2]
        drawn = draw(self.config, min(height_px, width_px), rng)
        lr = apply(hr, drawn)
        if self.scale_factor > 1:
            lr = imresize_uint8(lr, height_px // self.scale_factor, width_px // self.scale_factor)
        return lr, drawn.model_dump(mode="json")
