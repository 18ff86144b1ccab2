"""Metrics of one seed's images; what can't be had says why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srledger.io import read_json
from srledger.layout import INACTIVE, Layout, is_inactive
from srledger.metrics import LandmarkMetric, Metric, MetricName, MetricUnavailable, SetValue
from srledger.plugins import plugin_class
from srledger.weights import file_hash, resolve

NO_REFERENCE = "no reference image"


def metric_info(name: str) -> dict[str, Any]:
    """Facts of a metric for tables: unit, direction, digits, protocol, image or set."""
    parsed = MetricName.parse(name)
    metric = plugin_class("metrics", parsed.plugin)
    border = f"; a border of {parsed.border_px} px is cut off" if parsed.border_px else ""
    return {
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "digits": metric.digits,
        "bounds": list(metric.bounds),
        "protocol": metric.protocol + border,
        "of": metric.of,
    }


@dataclasses.dataclass
class Measured:
    """Numbers of one seed.

    Attributes:
        images: metric -> one value per image, in the order of the images.
        sets: metric -> its value over all of them.
    """

    images: dict[str, list[float]]
    sets: dict[str, SetValue]


class Panel:
    """The metrics of an evaluation.

    Args:
        reference: whether there are HR images to compare with; without them paired metrics drop out.

    Attributes:
        unavailable: the reasons of metrics that dropped out.
        networks: of every network that a metric asks, the hash of its weights.
    """

    def __init__(
        self, names: Iterable[str], allowed_weights: Iterable[str], layout: Layout, *, reference: bool = True
    ) -> None:
        self.names = list(names)
        self.layout = layout
        self.allowed = set(allowed_weights)
        self.unavailable: dict[str, str] = {}
        self.metrics: dict[str, tuple[MetricName, Metric]] = {}
        self.networks: dict[str, str] = {}
        for name in self.names:
            if not reference and plugin_class("metrics", MetricName.parse(name).plugin).paired:
                self.unavailable[name] = NO_REFERENCE
                continue
            try:
                self.metrics[name] = self._build(name)
            except MetricUnavailable as why:
                self.unavailable[name] = str(why)

    def start_seed(self) -> Measured:
        """Begin a new set of images; set metrics start anew."""
        for name, (parsed, metric) in list(self.metrics.items()):
            if metric.of == "set":
                self.metrics[name] = (parsed, self._build(name)[1])
        return Measured({name: [] for name, (_, metric) in self.metrics.items() if metric.of == "image"}, {})

    def take(
        self,
        sr: torch.Tensor,
        hr: torch.Tensor,
        measured: Measured,
        *,
        unclamped: torch.Tensor | None = None,
        landmarks: Sequence[np.ndarray | None] = (),
    ) -> None:
        """Measure a batch; see ``measure_pairs``. Metrics that need what is not given drop out."""
        for name, (parsed, metric) in list(self.metrics.items()):
            try:
                values = measure_pairs(parsed, metric, sr, hr, unclamped, landmarks)
            except MetricUnavailable as why:
                self._drop(name, str(why), measured)
                continue
            if values is not None:
                measured.images[name] += values.tolist()

    def finish(self, measured: Measured) -> Measured:
        """Close the set: compute what belongs to all images together."""
        for name, (_, metric) in list(self.metrics.items()):
            if metric.of == "set":
                try:
                    measured.sets[name] = metric.compute()
                except MetricUnavailable as why:
                    self._drop(name, str(why), measured)
        return measured

    def leave_out(self, name: str, why: str) -> None:
        """Do without a metric; ``why`` is its reason from now on."""
        del self.metrics[name]
        self.unavailable[name] = why

    def _build(self, name: str) -> tuple[MetricName, Metric]:
        parsed = MetricName.parse(name)
        files: dict[str, Path] = {}
        metric = plugin_class("metrics", parsed.plugin)
        for weights in metric.weights:
            if weights not in self.allowed:
                scale = self.layout.scale
                raise MetricUnavailable(f"weights '{weights}' are not among scales.{scale}.weights (make weights)")
            files[weights] = self._file(weights)
            self.networks[weights] = file_hash(files[weights])
        if metric.pipeline_encoder is not None:
            from srledger.pipeline_encoders import RECORD  # late: it brings what trains

            folder = files[metric.pipeline_encoder] = self._encoder(metric.pipeline_encoder)
            self.networks[metric.pipeline_encoder] = read_json(folder / RECORD)["weights_sha256"]
        return parsed, parsed.build(files)

    def _encoder(self, name: str) -> Path:
        folder = self.layout.encoder(name)
        if is_inactive(folder):
            raise MetricUnavailable(read_json(folder / INACTIVE)["why"])
        return folder

    def _file(self, weights: str) -> Path:
        found = resolve(weights)
        if found.path is None:
            raise MetricUnavailable(found.reason)
        return found.path

    def _drop(self, name: str, why: str, measured: Measured) -> None:
        measured.images.pop(name, None)
        self.leave_out(name, why)


def measure_pairs(
    name: MetricName,
    metric: Metric,
    sr: torch.Tensor,
    hr: torch.Tensor,
    unclamped: torch.Tensor | None = None,
    landmarks: Sequence[np.ndarray | None] = (),
) -> torch.Tensor | None:
    """What a metric makes of a batch, from whichever of these it reads.

    Args:
        name: says which border is cut off.
        sr, hr: uint8 ``B x 3 x H x W``.
        unclamped: ``sr`` before it became 8 bits, float32 in [0, 1] and beyond.
        landmarks: of each image, float64 ``5 x 2`` (x, y) in pixels, or None.

    Raises:
        MetricUnavailable: what it reads is not given, or it can't measure images of this size.
    """
    if metric.reads == "float":
        if unclamped is None:
            raise MetricUnavailable("it reads restored images before they are rounded to 8 bits, and these are rounded")
        sr, hr = unclamped, hr.float() / 255
    sr, hr = name.crop(sr), name.crop(hr)
    known = [points for points in landmarks if points is not None]
    if isinstance(metric, LandmarkMetric) and len(known) == len(sr):
        return metric.measure_at(sr, hr, name.move(known))
    return metric.measure(sr, hr)
