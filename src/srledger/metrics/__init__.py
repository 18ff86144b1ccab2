"""Metrics: each file is one number with its protocol in its name.

A metric reads 8-bit images, as a reader of a saved PNG would, unless its ``reads`` says otherwise. ``<name>_crop4`` is
the same metric with a border of 4 px cut off both images first; every metric has such variants without a file of their
own.
"""

from __future__ import annotations

import abc
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch

from srledger.plugins import PluginConfig, plugin_class, plugin_config


@dataclasses.dataclass(frozen=True)
class SetValue:
    """A number that belongs to a set of images, not to one of them.

    Attributes:
        value: the number over the whole set.
        standard_error: of ``value`` over images (group jackknife), or None where it has none.
        n: images that it was made from.
    """

    value: float
    standard_error: float | None
    n: int


class MetricUnavailable(Exception):
    """The metric can't be had here; its text is the reason and stands in the cell as ``unavailable: <reason>``.

    The text must not depend on the machine: no path, no host, no version of an installed library.
    """


class Metric(abc.ABC):
    """A number with a protocol. Built once per evaluation, then fed batch after batch.

    Class attributes:
        of: ``image`` (one number per image) or ``set`` (one number per set of images, e.g. a Frechet distance).
        higher_is_better, unit (``dB`` or ``""``), digits (decimals shown in tables).
        bounds: least and greatest value that it can have (None: no limit).
        protocol: one line for the table's foot: colour space, range, window, network, source.
        weights: names of the weights-catalogue entries it needs.
        pipeline_encoder: an entry of ``encoders``; the folder of it comes among the weights, by this name.
        paired: False when it reads ``sr`` alone (no-reference); its ``hr`` argument is then ignored.
        counts: an image is in or out (the unit's whole or 0), and the mean is a share: a change may leave it as it is.
        reads: ``uint8``, or ``float``: the images before they are clamped and rounded to 8 bits.
    """

    of: ClassVar[Literal["image", "set"]] = "image"
    higher_is_better: ClassVar[bool]
    unit: ClassVar[str] = ""
    digits: ClassVar[int] = 4
    bounds: ClassVar[tuple[float | None, float | None]] = (None, None)
    protocol: ClassVar[str]
    weights: ClassVar[tuple[str, ...]] = ()
    pipeline_encoder: ClassVar[str | None] = None
    paired: ClassVar[bool] = True
    counts: ClassVar[bool] = False
    reads: ClassVar[Literal["uint8", "float"]] = "uint8"

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        """``weights`` maps each needed catalogue name to a file whose sha256 has been checked.

        Raises MetricUnavailable when the metric can't work here.
        """
        self.config = config
        self.weight_files = weights

    @abc.abstractmethod
    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor | None:
        """Take a batch in: both uint8 ``B x 3 x H x W`` on one device, RGB, of one size.

        A metric that reads ``float`` gets float32 ``B x 3 x H x W``: HR in [0, 1], SR as its method left it.

        Returns float64 ``B`` for ``of == "image"``; None for ``of == "set"``, which gathers until ``compute``.
        The value of an image must not depend on the batch it came in.
        Raises MetricUnavailable when images of this size can't be measured.
        """

    def compute(self) -> SetValue:
        """The number of the set seen so far; only for ``of == "set"``."""
        raise TypeError(f"{type(self).__name__} is a per-image metric")


class LandmarkMetric(Metric):
    """A number of a place in the image that its landmarks tell."""

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor | None:
        """Raises MetricUnavailable: nobody told the landmarks."""
        raise MetricUnavailable("it needs the landmarks of every image, and there are none")

    @abc.abstractmethod
    def measure_at(self, sr: torch.Tensor, hr: torch.Tensor, landmarks: Sequence[np.ndarray]) -> torch.Tensor:
        """As ``measure``, with the landmarks of each image: float64 ``5 x 2`` (x, y) in its pixels, maybe outside.

        Raises MetricUnavailable when the place that it measures is not in an image.
        """


@dataclasses.dataclass(frozen=True)
class MetricName:
    """A metric's full name taken apart: ``psnr_rgb_crop4`` is plug-in ``psnr_rgb`` with a border of 4 px."""

    plugin: str
    border_px: int = 0

    @classmethod
    def parse(cls, name: str) -> MetricName:
        """Split ``name`` into plug-in and border; the plug-in need not exist."""
        match = re.fullmatch(r"(.+)_crop([1-9]\d*)", name)
        return cls(match[1], int(match[2])) if match else cls(name)

    def build(self, weights: Mapping[str, Path]) -> Metric:
        """The metric with its default config. Raises SrledgerError for an unknown plug-in, MetricUnavailable."""
        return plugin_class("metrics", self.plugin)(plugin_config("metrics", self.plugin)(), weights)

    def crop(self, images: torch.Tensor) -> torch.Tensor:
        """Cut the border off ``B x C x H x W`` images."""
        border = self.border_px
        return images[..., border:-border, border:-border] if border else images

    def move(self, landmarks: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Landmarks of images as they stand in the cropped ones."""
        return [points - self.border_px for points in landmarks]
