"""What the metrics of the landmark U-Net's repository share: images in [-1, 1] as the network left them."""

from __future__ import annotations

import torch

from srledger.metrics import Metric

DATA_RANGE = 2.0
IMAGES = "RGB in [-1, 1], SR neither clamped nor rounded, as the landmark U-Net's authors measure"


class YoloRepoMetric(Metric):
    """A metric of the authors' profile; the paper's tables are of these."""

    higher_is_better = True
    reads = "float"


def signed(images: torch.Tensor) -> torch.Tensor:
    """Images in [0, 1] as float64 in [-1, 1]; what lies beyond stays beyond."""
    return images.to(torch.float64) * 2 - 1
