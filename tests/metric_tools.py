"""Shared by the tests of metrics: a batch as the evaluation hands it to any metric."""

from __future__ import annotations

import numpy as np
import torch

from srledger.evaluation.measure import measure_pairs
from srledger.metrics import Metric, MetricName

FRONTAL = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.75], [0.65, 0.75]])  # of the side: eyes, nose, mouth


def measure_batch(metric: Metric, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor | None:
    """What a metric gives for uint8 ``B x 3 x H x W``, with a face in the middle, and nothing lost to rounding."""
    landmarks = [FRONTAL * sr.shape[-1]] * len(sr)
    return measure_pairs(MetricName("any"), metric, sr, hr, unclamped=sr.float() / 255, landmarks=landmarks)
