"""Blur kernels: Gaussian, generalised Gaussian, plateau-shaped, each isotropic or not, and the circular sinc.

Source: Wang et al., "Real-ESRGAN", ICCV workshops 2021, section 3.1, and its published configuration (specification
III.1).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy import fft, special

from srledger.degradations._operators.draws import Record, choose, happens, uniform

Family = Literal["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]

REAL_ESRGAN_FAMILIES: dict[Family, float] = {
    "iso": 0.45,
    "aniso": 0.25,
    "generalized_iso": 0.12,
    "generalized_aniso": 0.03,
    "plateau_iso": 0.12,
    "plateau_aniso": 0.03,
}
LEAST_KERNEL_PX = 7
WIDE_KERNEL_PX = 13  # from here on a sinc may cut lower frequencies


class Kernel(Record):
    """A drawn kernel. Sigmas are along the kernel's own axes; ``angle_rad`` turns them."""

    family: Family | Literal["sinc"]
    size_px: int
    sigma_px: tuple[float, float] | None = None
    angle_rad: float | None = None
    beta: float | None = None
    cutoff_rad: float | None = None


def draw_size_px(rng: np.random.Generator, max_px: int) -> int:
    """An odd size in {7, 9, ..., max_px}, all alike."""
    return LEAST_KERNEL_PX + 2 * int(rng.integers((max_px - LEAST_KERNEL_PX) // 2 + 1))


def draw_gaussian(rng: np.random.Generator, family: Family, size_px: int, sigma_px: tuple[float, float]) -> Kernel:
    """A Gaussian, or the Gaussian part of its relatives: sigmas U(low, high), angle U(-pi, pi)."""
    first = uniform(rng, sigma_px)
    if not family.endswith("aniso"):
        return Kernel(family=family, size_px=size_px, sigma_px=(first, first))
    second, angle = uniform(rng, sigma_px), uniform(rng, (-math.pi, math.pi))
    return Kernel(family=family, size_px=size_px, sigma_px=(first, second), angle_rad=angle)


def draw_kernel(
    rng: np.random.Generator,
    max_px: int,
    sinc_probability: float,
    sigma_px: tuple[float, float],
    beta_generalized: tuple[float, float],
    beta_plateau: tuple[float, float],
) -> Kernel:
    """A kernel of a Real-ESRGAN round: a sinc, or one of the six families."""
    size_px = draw_size_px(rng, max_px)
    if happens(rng, sinc_probability):
        return draw_sinc(rng, size_px, math.pi / 3 if size_px < WIDE_KERNEL_PX else math.pi / 5)
    kernel = draw_gaussian(rng, choose(rng, REAL_ESRGAN_FAMILIES), size_px, sigma_px)
    if kernel.family in ("iso", "aniso"):
        return kernel
    low, high = beta_generalized if kernel.family.startswith("generalized") else beta_plateau
    beta = uniform(rng, (low, 1.0)) if happens(rng, 0.5) else uniform(rng, (1.0, high))
    return kernel.model_copy(update={"beta": beta})


def draw_sinc(rng: np.random.Generator, size_px: int, least_cutoff_rad: float) -> Kernel:
    """A circular low-pass filter with a cutoff of U(least, pi)."""
    return Kernel(family="sinc", size_px=size_px, cutoff_rad=uniform(rng, (least_cutoff_rad, math.pi)))


def taps_of(kernel: Kernel) -> np.ndarray:
    """The kernel's values: float64 ``size_px x size_px``, sum 1 (a sinc has negative lobes)."""
    offsets = np.arange(kernel.size_px) - kernel.size_px // 2
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    if kernel.cutoff_rad is not None:
        radius = np.hypot(x, y)
        radius[radius == 0] = np.inf
        taps = kernel.cutoff_rad * special.j1(kernel.cutoff_rad * radius) / (2 * np.pi * radius)
        taps[kernel.size_px // 2, kernel.size_px // 2] = kernel.cutoff_rad**2 / (4 * np.pi)
        return taps / taps.sum()
    assert kernel.sigma_px is not None
    angle = kernel.angle_rad or 0.0
    along = (x * math.cos(angle) + y * math.sin(angle)) / kernel.sigma_px[0]
    across = (y * math.cos(angle) - x * math.sin(angle)) / kernel.sigma_px[1]
    distance, beta = along**2 + across**2, kernel.beta or 1.0
    plateau = kernel.family.startswith("plateau")
    taps = 1 / (1 + distance**beta) if plateau else np.exp(-0.5 * distance**beta)
    return taps / taps.sum()


def blur(planes: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Correlate every plane with the kernel; past the border the image is mirrored, its edge pixel not repeated.

    By FFT: for these kernels faster than a sum over their taps, and the same bits whatever the number of threads.
    """
    margin = kernel.size_px // 2
    padded = np.pad(planes, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    shape = tuple(fft.next_fast_len(length, real=True) for length in padded.shape[1:])
    taps = taps_of(kernel)[::-1, ::-1]  # a product of spectra convolves; filter2D correlates
    spectrum = fft.rfft2(padded, shape) * fft.rfft2(taps, shape)
    whole = fft.irfft2(spectrum, shape)
    return whole[:, 2 * margin : padded.shape[1], 2 * margin : padded.shape[2]]
