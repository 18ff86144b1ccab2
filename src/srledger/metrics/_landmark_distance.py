"""How far the landmarks of a restored face lie from those of its original, both found by PFLD."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from srledger.encoders import pfld
from srledger.metrics import Metric
from srledger.metrics._images import measure_each, require_size, weight_file
from srledger.plugins import PluginConfig

NETWORK = "pfld"
LEAST_PX = 16
FAILED = 0.1  # of the distance between the eyes: the usual bound of a failure (Sagonas et al., 300-W)
ABOUT = (
    "68 landmarks by PFLD (cunjian/pytorch_face_landmark, pfld.onnx) on SR and on HR, each the whole image brought to "
    "112x112 px"
)


class PfldMetric(Metric):
    """Finds the landmarks of both images; a subclass makes a number of them."""

    higher_is_better = False
    weights = (NETWORK,)

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        weight_file(weights, NETWORK)
        self.network = pfld.Pfld(pfld.Config(), weights)

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, LEAST_PX)
        self.network.to(sr.device)
        return measure_each(lambda a, b: self.compare(*(self._points(one) for one in (a, b))), sr, hr)

    def compare(self, sr_px: torch.Tensor, hr_px: torch.Tensor) -> torch.Tensor:
        """The number of landmarks ``68 x 2`` of the restored image and of its original, float64."""
        raise NotImplementedError

    def _points(self, image: torch.Tensor) -> torch.Tensor:
        return self.network.landmarks(image.to(torch.float32) / 255)[0].to(torch.float64)


def distance_px(first_px: torch.Tensor, second_px: torch.Tensor) -> torch.Tensor:
    """Mean distance of landmarks ``68 x 2``."""
    return (first_px - second_px).norm(dim=1).mean()


def between_eyes_px(points_px: torch.Tensor) -> torch.Tensor:
    """The distance between the middles of the eyes of landmarks ``68 x 2``."""
    from srledger.encoders.pfld import five_of

    eyes = five_of(points_px[None])[0, :2]
    return (eyes[0] - eyes[1]).norm()
