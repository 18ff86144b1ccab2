"""Images of several sizes in one tensor, and blur, resize and noise of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from srledger.degradations._operators.blur import Kernel, taps_of
from srledger.degradations._operators.noise import LUMA, Noise
from srledger.degradations._operators.resize import Mode
from srledger.degradations._operators.resize import taps_of as resize_taps_of


@dataclasses.dataclass(frozen=True)
class Canvas:
    """Planes float32 ``B x 3 x H x W`` in [0, 1], where sample i fills the upper left ``sizes_px[i]`` (height, width).

    What lies outside of a sample is arbitrary and is never read.
    """

    planes: torch.Tensor
    sizes_px: tuple[tuple[int, int], ...]

    def with_planes(self, planes: torch.Tensor) -> Canvas:
        """Other values at the same sizes."""
        return dataclasses.replace(self, planes=planes)

    def samples(self) -> list[torch.Tensor]:
        """Each sample ``3 x h x w``, without what lies around it."""
        cut = zip(self.planes, self.sizes_px, strict=True)
        return [planes[:, :height, :width] for planes, (height, width) in cut]

    def gather(self, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
        """``B x 3 x R x C``: for each sample the pixels of its ``rows`` (``B x R``) and ``columns`` (``B x C``)."""
        device = self.planes.device
        samples = torch.arange(len(rows), device=device)[:, None, None, None]
        channels = torch.arange(3, device=device)[None, :, None, None]
        down = torch.from_numpy(rows).to(device)[:, None, :, None]
        along = torch.from_numpy(columns).to(device)[:, None, None, :]
        return self.planes[samples, channels, down, along]


def mirrored(positions: np.ndarray, length_px: int) -> np.ndarray:
    """Positions past an end of an axis, mirrored into it; the edge pixel is not repeated."""
    period = max(1, 2 * (length_px - 1))
    folded = positions % period
    return np.minimum(folded, period - folded) if length_px > 1 else np.zeros_like(positions)


def blur(canvas: Canvas, kernels: Sequence[Kernel | None]) -> Canvas:
    """Each sample correlated with its kernel; None leaves a sample as it is."""
    if not any(kernels):
        return canvas
    margin = max(kernel.size_px // 2 for kernel in kernels if kernel)
    side_px = 2 * margin + 1
    taps = np.zeros((len(kernels), side_px, side_px))
    for k, kernel in enumerate(kernels):
        at = margin - (kernel.size_px // 2 if kernel else 0)
        taps[k, at : side_px - at, at : side_px - at] = taps_of(kernel) if kernel else 1
    height, width = canvas.planes.shape[2:]
    rows = [mirrored(np.arange(-margin, height + margin), own) for own, _ in canvas.sizes_px]
    columns = [mirrored(np.arange(-margin, width + margin), own) for _, own in canvas.sizes_px]
    padded = canvas.gather(np.stack(rows), np.stack(columns))
    shape = padded.shape[2:]
    flipped = torch.from_numpy(taps[:, None, ::-1, ::-1].copy()).to(padded)
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(flipped, s=tuple(shape))
    whole = torch.fft.irfft2(spectrum, s=tuple(shape))[:, :, 2 * margin :, 2 * margin :]
    untouched = torch.tensor([kernel is None for kernel in kernels], device=padded.device)[:, None, None, None]
    return canvas.with_planes(torch.where(untouched, canvas.planes, whole))


def resize(canvas: Canvas, sizes_px: Sequence[tuple[int, int]], modes: Sequence[Mode]) -> Canvas:
    """Each sample resized to its size by its filter; not clipped."""
    planes = canvas.planes
    for axis in (0, 1):
        taps = [
            resize_taps_of(mode, own[axis], wanted[axis])
            for mode, own, wanted in zip(modes, canvas.sizes_px, sizes_px, strict=True)
        ]
        out_px, n_taps = max(wanted[axis] for wanted in sizes_px), max(one.shape[1] for one, _ in taps)
        positions = np.zeros((len(taps), out_px, n_taps), np.int64)
        weights = np.zeros((len(taps), out_px, n_taps))
        for k, (own_positions, own_weights) in enumerate(taps):
            positions[k, : own_positions.shape[0], : own_positions.shape[1]] = own_positions
            weights[k, : own_weights.shape[0], : own_weights.shape[1]] = own_weights
        planes = _weighted_sum(planes, positions, weights, axis)
    return Canvas(planes, tuple(sizes_px))


def _weighted_sum(planes: torch.Tensor, positions: np.ndarray, weights: np.ndarray, axis: int) -> torch.Tensor:
    """Tap by tap: a product of matrices may be rounded to TF32 on a GPU."""
    view = (len(positions), 1, -1, 1) if axis == 0 else (len(positions), 1, 1, -1)
    shape = [*planes.shape]
    shape[axis + 2] = positions.shape[1]
    made = planes.new_zeros(shape)
    for k in range(positions.shape[2]):
        at = torch.from_numpy(positions[:, :, k].copy()).to(planes.device).view(view).expand(shape)
        made += torch.from_numpy(weights[:, :, k].copy()).to(planes).view(view) * planes.gather(axis + 2, at)
    return made


def add_noise(canvas: Canvas, noises: Sequence[Noise]) -> Canvas:
    """Each sample with its noise, clipped to [0, 1]."""
    made = torch.zeros_like(canvas.planes)
    for k, (sample, noise) in enumerate(zip(canvas.samples(), noises, strict=True)):
        made[k, :, : sample.shape[1], : sample.shape[2]] = (sample + _field(sample, noise)).clamp(0, 1)
    return canvas.with_planes(made)


def _field(sample: torch.Tensor, noise: Noise) -> torch.Tensor:
    generator = torch.Generator(sample.device).manual_seed(noise.seed)
    if noise.sigma_255 is not None:
        shape = (1, *sample.shape[1:]) if noise.grey else tuple(sample.shape)
        return noise.sigma_255 / 255 * torch.randn(shape, generator=generator, device=sample.device)
    assert noise.poisson_scale is not None
    luma = torch.tensor(LUMA, dtype=sample.dtype, device=sample.device)[:, None, None]
    light = (luma * sample).sum(dim=0, keepdim=True) if noise.grey else sample
    light = (light.clamp(0, 1) * 255).round() / 255
    photons = 2.0 ** np.ceil(np.log2(light.unique().numel()))
    return noise.poisson_scale * (torch.poisson(light * photons, generator=generator) / photons - light)


def pad_to(canvas: Canvas, multiple_px: int) -> torch.Tensor:
    """Planes of a canvas whose sides are multiples; every sample's edge pixels are repeated to its end."""
    height, width = (-(-length // multiple_px) * multiple_px for length in canvas.planes.shape[2:])
    rows = [np.minimum(np.arange(height), own - 1) for own, _ in canvas.sizes_px]
    columns = [np.minimum(np.arange(width), own - 1) for _, own in canvas.sizes_px]
    return canvas.gather(np.stack(rows), np.stack(columns))


def stack(images: torch.Tensor) -> Canvas:
    """A canvas of images of one size: ``B x 3 x H x W`` in [0, 1]."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"a batch is B x 3 x H x W, found {tuple(images.shape)}")
    return Canvas(images.float().clamp(0, 1), ((images.shape[2], images.shape[3]),) * len(images))
