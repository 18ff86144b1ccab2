"""Camera noise: Gaussian or Poisson, of each channel or of all alike (grey)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from srledger.degradations._operators.draws import Record, happens, seed, uniform

LUMA = np.array([0.2989, 0.587, 0.114])  # torchvision's grey, which the published chain uses


class Noise(Record):
    """A drawn noise. Gaussian: standard deviation in grey levels of 255. Poisson: multiple of the shot noise."""

    kind: Literal["gaussian", "poisson"]
    sigma_255: float | None = None
    poisson_scale: float | None = None
    grey: bool = False
    seed: int


def draw_noise(
    rng: np.random.Generator,
    gaussian_probability: float,
    sigma_255: tuple[float, float],
    poisson_scale: tuple[float, float],
    grey_probability: float,
) -> Noise:
    """Gaussian by its probability, else Poisson."""
    if happens(rng, gaussian_probability):
        level = uniform(rng, sigma_255)
        return Noise(kind="gaussian", sigma_255=level, grey=happens(rng, grey_probability), seed=seed(rng))
    level = uniform(rng, poisson_scale)
    return Noise(kind="poisson", poisson_scale=level, grey=happens(rng, grey_probability), seed=seed(rng))


def add_noise(planes: np.ndarray, noise: Noise) -> np.ndarray:
    """The image with its noise, clipped to [0, 1]."""
    rng = np.random.Generator(np.random.PCG64(noise.seed))
    if noise.kind == "gaussian":
        assert noise.sigma_255 is not None
        shape = (1, *planes.shape[1:]) if noise.grey else planes.shape
        return np.clip(planes + noise.sigma_255 / 255 * rng.standard_normal(shape), 0, 1)
    assert noise.poisson_scale is not None
    light = (LUMA @ planes.reshape(3, -1)).reshape(1, *planes.shape[1:]) if noise.grey else planes
    light = np.round(np.clip(light, 0, 1) * 255) / 255
    photons = 2.0 ** np.ceil(np.log2(np.unique(light).size))  # a pixel of 1 counts so many on average
    shot = rng.poisson(light * photons) / photons - light
    return np.clip(planes + noise.poisson_scale * shot, 0, 1)
