"""``real_esrgan``: the second-order degradation of Real-ESRGAN, every sample drawn by itself (specification III.1).

Blur, resize, noise and JPEG, twice; then the last resize and a sinc filter, before or after the second JPEG. The HR
image is blurred as it is, as VOSR does (Real-ESRGAN sharpens it first), and each image draws parameters of its own,
where the published trainings share resizing and order within a batch. Sizes round down; a resize maps border to border.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from srledger.degradations import Degradation
from srledger.degradations._operators.blur import Kernel, blur, draw_kernel, draw_sinc, draw_size_px
from srledger.degradations._operators.draws import IntegerRange, Range, Record, choose, happens, integer
from srledger.degradations._operators.eight_bit import pixels_of, planes_of, through_jpeg
from srledger.degradations._operators.noise import Noise, add_noise, draw_noise
from srledger.degradations._operators.resize import MODES, Mode, Resize, draw_resize, resize
from srledger.plugins import PluginConfig

Order = Literal["sinc_then_jpeg", "jpeg_then_sinc"]


class Round(PluginConfig):
    """One of the two rounds.

    Attributes:
        blur_probability: of the round's blur.
        sinc_probability: of a sinc in place of the six kernel families.
        sigma_px: of the kernels, both axes.
        beta_generalized: shape of the generalised Gaussians; half of the draws lie below 1, half above.
        beta_plateau: shape of the plateaus, likewise.
        resize_probabilities: of up, down and keep.
        resize_factors: how far down and how far up.
        gaussian_probability: of Gaussian noise; else Poisson.
        gaussian_sigma_255: its standard deviation in grey levels.
        poisson_scale: multiple of the shot noise.
        grey_probability: of noise that is alike in the three channels.
        jpeg_quality: both ends included.
    """

    blur_probability: float = Field(default=1.0, ge=0, le=1)
    sinc_probability: float = Field(default=0.1, ge=0, le=1)
    sigma_px: Range = (0.2, 3.0)
    beta_generalized: Range = (0.5, 4.0)
    beta_plateau: Range = (1.0, 2.0)
    resize_probabilities: tuple[float, float, float] = (0.2, 0.7, 0.1)
    resize_factors: Range = (0.15, 1.5)
    gaussian_probability: float = Field(default=0.5, ge=0, le=1)
    gaussian_sigma_255: Range = (1.0, 30.0)
    poisson_scale: Range = (0.05, 3.0)
    grey_probability: float = Field(default=0.4, ge=0, le=1)
    jpeg_quality: IntegerRange = (30, 95)

    @field_validator("resize_probabilities")
    @classmethod
    def _sum_to_one(cls, probabilities: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(probabilities) < 0 or not math.isclose(sum(probabilities), 1):
            raise ValueError(f"up, down and keep must sum to 1; found {list(probabilities)}")
        return probabilities


class SecondRound(Round):
    """The second round's own ranges; its sizes are relative to the LR image."""

    blur_probability: float = Field(default=0.8, ge=0, le=1)
    sigma_px: Range = (0.2, 1.5)
    resize_probabilities: tuple[float, float, float] = (0.3, 0.4, 0.3)
    resize_factors: Range = (0.3, 1.2)
    gaussian_sigma_255: Range = (1.0, 25.0)
    poisson_scale: Range = (0.05, 2.5)


class Config(PluginConfig):
    """The table of specification III.1; its values are the defaults.

    Attributes:
        max_kernel_px: sizes are odd, 7 to this; 21 for HR crops of 256 px and more, 11 for 64 px.
        first: blur to JPEG, the first time.
        second: the second time; its JPEG stands before or after the last resize.
        final_sinc_probability: of the last filter.
        sinc_first_probability: of the order [resize, sinc], JPEG; else JPEG, [resize, sinc].
    """

    max_kernel_px: int = Field(default=21, ge=7, le=21)
    first: Round = Round()
    second: SecondRound = SecondRound()
    final_sinc_probability: float = Field(default=0.8, ge=0, le=1)
    sinc_first_probability: float = Field(default=0.5, ge=0, le=1)


class DrawnRound(Record):
    """What was drawn for a round; no kernel: no blur."""

    kernel: Kernel | None = None
    resize: Resize
    noise: Noise
    jpeg_quality: int


class DrawnFinal(Record):
    """What was drawn for the end of the chain; no kernel: no sinc."""

    order: Order
    resize_mode: Mode
    sinc: Kernel | None = None


class Drawn(Record):
    """Everything that makes the LR image of an HR image."""

    first: DrawnRound
    second: DrawnRound
    final: DrawnFinal


def draw(config: Config, rng: np.random.Generator) -> Drawn:
    """The parameters of one image; no pixel is touched."""
    first, second = (_draw_round(each, config.max_kernel_px, rng) for each in (config.first, config.second))
    sinc = None
    if happens(rng, config.final_sinc_probability):
        sinc = draw_sinc(rng, draw_size_px(rng, config.max_kernel_px), math.pi / 3)
    order: Order = "sinc_then_jpeg" if happens(rng, config.sinc_first_probability) else "jpeg_then_sinc"
    return Drawn(first=first, second=second, final=DrawnFinal(order=order, resize_mode=choose(rng, MODES), sinc=sinc))


def _draw_round(config: Round, max_kernel_px: int, rng: np.random.Generator) -> DrawnRound:
    kernel = draw_kernel(
        rng, max_kernel_px, config.sinc_probability, config.sigma_px, config.beta_generalized, config.beta_plateau
    )
    blurred = happens(rng, config.blur_probability)
    return DrawnRound(
        kernel=kernel if blurred else None,
        resize=draw_resize(rng, config.resize_probabilities, config.resize_factors),
        noise=draw_noise(
            rng, config.gaussian_probability, config.gaussian_sigma_255, config.poisson_scale, config.grey_probability
        ),
        jpeg_quality=integer(rng, config.jpeg_quality),
    )


def sizes_px(drawn: Drawn, hr_px: tuple[int, int], scale_factor: int) -> list[tuple[int, int]]:
    """Height and width after the first, the second and the last resize of an HR image of this height and width."""
    first, second = drawn.first.resize.factor, drawn.second.resize.factor / scale_factor
    lr = hr_px[0] // scale_factor, hr_px[1] // scale_factor
    return [*((max(1, int(hr_px[0] * by)), max(1, int(hr_px[1] * by))) for by in (first, second)), lr]


def apply(hr: np.ndarray, drawn: Drawn, scale_factor: int) -> np.ndarray:
    """The LR image: uint8 ``H/s x W/s x 3`` of a uint8 ``H x W x 3`` image, a function of the record alone."""
    first_px, second_px, lr_px = sizes_px(drawn, (hr.shape[0], hr.shape[1]), scale_factor)
    planes = _distort(planes_of(hr), drawn.first, first_px)
    planes = through_jpeg(planes, drawn.first.jpeg_quality)
    planes = _distort(planes, drawn.second, second_px)
    if drawn.final.order == "jpeg_then_sinc":
        planes = through_jpeg(planes, drawn.second.jpeg_quality)
    planes = resize(planes, *lr_px, drawn.final.resize_mode)
    if drawn.final.sinc is not None:
        planes = blur(planes, drawn.final.sinc)
    if drawn.final.order == "sinc_then_jpeg":
        planes = through_jpeg(planes, drawn.second.jpeg_quality)
    return pixels_of(planes)


def _distort(planes: np.ndarray, drawn: DrawnRound, size_px: tuple[int, int]) -> np.ndarray:
    if drawn.kernel is not None:
        planes = blur(planes, drawn.kernel)
    return add_noise(resize(planes, *size_px, drawn.resize.mode), drawn.noise)


class RealEsrgan(Degradation):
    """``apply(hr, draw(config, rng))``."""

    config: Config

    def degrade(
        self, hr: np.ndarray, rng: np.random.Generator, given_lr: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See ``Degradation.degrade``."""
        drawn = draw(self.config, rng)
        return apply(hr, drawn, self.scale_factor), drawn.model_dump(mode="json", exclude_none=True)
