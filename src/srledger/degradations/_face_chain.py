"""The classical face degradation: blur, reduce, Gaussian noise, JPEG, and back to the image's size; once or again.

Source: specification III.2, the ranges of each published system. They are those of 512 px faces. On a face of another
side, blur and reduction are drawn from them and then multiplied by side/512, so that they are as large against the
face; the record holds both values. A scaled reduction below 1 would enlarge the face on the way: it is 1 then (unless
the drawn one is below 1 itself). Noise and JPEG stay as they are. At 512 px nothing is changed.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, Literal, get_args

import numpy as np
from pydantic import Field

from srledger.degradations import Degradation
from srledger.degradations._operators.blur import Family, Kernel, blur, draw_gaussian
from srledger.degradations._operators.draws import IntegerRange, Range, Record, choose, happens, integer, uniform
from srledger.degradations._operators.eight_bit import pixels_of, planes_of, through_jpeg
from srledger.degradations._operators.noise import Noise, add_noise, draw_noise
from srledger.degradations._operators.resize import resize
from srledger.imresize import imresize_uint8
from srledger.plugins import PluginConfig

REFERENCE_SIDE_PX = 512
Preset = Literal["vqfr", "codeformer", "osediff", "daefr_codebook", "daefr", "diffbir", "waveface"]


@dataclasses.dataclass(frozen=True)
class Ranges:
    """A row of the table: kernel sizes and sigmas at 512 px, reduction from 512 px, noise in grey levels, quality."""

    sigma_512_px: tuple[float, float]
    reduction_512: tuple[float, float]
    noise_sigma_255: tuple[float, float]
    jpeg_quality: tuple[int, int]
    kernels_512_px: tuple[int, ...] = (41,)


PRESETS: dict[Preset, Ranges] = {
    "vqfr": Ranges((1, 15), (1, 30), (0, 20), (30, 90)),
    "codeformer": Ranges((1, 15), (4, 30), (0, 20), (30, 80)),
    "osediff": Ranges((1, 15), (1, 30), (0, 20), (30, 100)),
    "daefr_codebook": Ranges((0.1, 10), (0.8, 8), (0, 20), (60, 100), (39, 41)),
    "daefr": Ranges((0.1, 15), (0.8, 30), (0, 20), (30, 100), (39, 41)),
    "diffbir": Ranges((0.1, 12), (1, 12), (0, 15), (30, 100)),
    "waveface": Ranges((0.1, 10), (0.8, 16), (0, 15), (40, 95)),  # second-hand; its kernel's size is not stated
}
assert tuple(PRESETS) == get_args(Preset)


class FaceConfig(PluginConfig):
    """Which system's ranges, and what is changed in them.

    Attributes:
        preset: the row of specification III.2.
        sigma_512_px: standard deviations of the kernel at 512 px; null: the preset's.
        reduction_512: reduction of a 512 px face; null: the preset's.
        noise_sigma_255: standard deviation of the noise in grey levels; null: the preset's.
        jpeg_quality: both ends included; null: the preset's.
        isotropic_probability: of an isotropic kernel; else it has two sigmas and an angle.
    """

    preset: Preset
    sigma_512_px: Range | None = None
    reduction_512: Range | None = None
    noise_sigma_255: Range | None = None
    jpeg_quality: IntegerRange | None = None
    isotropic_probability: float = Field(default=0.5, ge=0, le=1)

    def ranges(self) -> Ranges:
        """The preset's ranges with the changes."""
        names = ("sigma_512_px", "reduction_512", "noise_sigma_255", "jpeg_quality")
        changed = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return dataclasses.replace(PRESETS[self.preset], **changed)


class DrawnStage(Record):
    """What was drawn for one pass at 512 px, and beside it what is used at the face's side; no kernel: no blur."""

    kernel_512: Kernel | None = None
    kernel: Kernel | None = None
    reduction_512: float
    reduction: float
    noise: Noise
    jpeg_quality: int


class Drawn(Record):
    """Everything that makes the LR image of an HR image."""

    side_px: int
    stages: list[DrawnStage]


def draw_stage(config: FaceConfig, side_px: int, blur_probability: float, rng: np.random.Generator) -> DrawnStage:
    """The parameters of one pass over a face of this side; no pixel is touched."""
    ranges, scale = config.ranges(), side_px / REFERENCE_SIDE_PX
    isotropic = config.isotropic_probability
    families: dict[Family, float] = {"iso": isotropic, "aniso": 1 - isotropic}
    sizes = ranges.kernels_512_px
    kernel_512 = draw_gaussian(rng, choose(rng, families), sizes[int(rng.integers(len(sizes)))], ranges.sigma_512_px)
    blurred = happens(rng, blur_probability)
    reduction_512 = uniform(rng, ranges.reduction_512)
    return DrawnStage(
        kernel_512=kernel_512 if blurred else None,
        kernel=_scaled(kernel_512, scale) if blurred else None,
        reduction_512=reduction_512,
        reduction=round(max(reduction_512 * scale, min(reduction_512, 1.0)), 6),
        noise=draw_noise(rng, 1.0, ranges.noise_sigma_255, (0.0, 0.0), 0.0),
        jpeg_quality=integer(rng, ranges.jpeg_quality),
    )


def _scaled(kernel: Kernel, scale: float) -> Kernel:
    """The kernel as large against the face: sigmas by ``scale``, its radius too (to whole pixels, at least 1)."""
    assert kernel.sigma_px is not None
    radius = max(1, math.floor(kernel.size_px // 2 * scale + 0.5))
    sigmas = tuple(round(sigma * scale, 6) for sigma in kernel.sigma_px)
    return kernel.model_copy(update={"size_px": 2 * radius + 1, "sigma_px": sigmas})


def apply(hr: np.ndarray, drawn: Drawn) -> np.ndarray:
    """The face at its own size after all passes: uint8 ``H x W x 3``, a function of the record alone.

    Both resizes are bilinear without antialiasing, as the systems' cv2 makes them; between passes nothing is rounded.
    """
    height_px, width_px = hr.shape[:2]
    planes = planes_of(hr)
    for stage in drawn.stages:
        if stage.kernel is not None:
            planes = blur(planes, stage.kernel)
        small = [max(1, int(length // stage.reduction)) for length in (height_px, width_px)]
        planes = add_noise(resize(planes, small[0], small[1], "bilinear"), stage.noise)
        planes = resize(through_jpeg(planes, stage.jpeg_quality), height_px, width_px, "bilinear")
    return pixels_of(planes)


class FaceChain(Degradation):
    """A degradation of passes. With a scale factor above 1 the face is reduced once more, by MATLAB's bicubic.

    A face task has a scale factor of 1: the degraded face stands at the size of its HR image.
    """

    @abc.abstractmethod
    def draw(self, side_px: int, rng: np.random.Generator) -> Drawn:
        """The parameters of one face whose shorter side is ``side_px``."""

    def degrade(
        self, hr: np.ndarray, rng: np.random.Generator, given_lr: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See ``Degradation.degrade``."""
        height_px, width_px = hr.shape[:2]
        drawn = self.draw(min(height_px, width_px), rng)
        lr = apply(hr, drawn)
        if self.scale_factor > 1:
            lr = imresize_uint8(lr, height_px // self.scale_factor, width_px // self.scale_factor)
        return lr, drawn.model_dump(mode="json", exclude_none=True)
