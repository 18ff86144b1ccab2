"""Does a restored face still show the same person? Cosine or angle between a recogniser's vectors of SR and HR."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from srledger.encoders import mobilefacenet
from srledger.encoders._recognition import Recogniser
from srledger.encoders.mobile_recogniser import MobileRecogniser
from srledger.encoders.recogniser import ResidualRecogniser
from srledger.metrics import LandmarkMetric, Metric, MetricUnavailable
from srledger.metrics._images import measure_each, require_size, weight_file
from srledger.plugins import PluginConfig

LEAST_PX = 16
PUBLISHED = "mobilefacenet"
TRAINED = {"recogniser": ResidualRecogniser, "mobile_recogniser": MobileRecogniser}  # what the protocols say of them

TRAINED_HERE = (
    "by the encoder '{encoder}', a small {network} trained in this pipeline on the training identities of its task "
    "with {loss}: no published recogniser; of one scale only, since each trains its own; its verification "
    "accuracy bounds what this can tell"
)
RESIDUAL = TRAINED_HERE.format(encoder="recogniser", network="residual network", loss="ArcFace's margin")
MOBILE = TRAINED_HERE.format(encoder="mobile_recogniser", network="MobileFaceNet", loss="CosFace's margin")
MOBILEFACENET = (
    "by MobileFaceNet (Xiaoccer/MobileFaceNet_Pytorch, epoch 68, ArcFace's loss on CASIA-WebFace), RGB, SR and HR "
    "aligned alike by the data set's landmarks to 112x96 px (SphereFace's template, bicubic)"
)
SIMILARITY = "cosine of the unit vectors of SR and HR of the same image, RGB, 8-bit, "
ANGLE = (
    "angle in degrees between the vectors of SR and HR of the same image, RGB, 8-bit, every pair counted: not the Deg. "
    "of papers, which is a grey ResNet-18's; "
)


class IdentityMetric(Metric):
    """A number of two unit vectors."""

    @abc.abstractmethod
    def compare(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        """The float64 scalar of the vectors ``1 x D`` of a restored image and of its original."""


class Similarity(IdentityMetric):
    """Higher is better: 1 for the same vector."""

    higher_is_better = True
    bounds = (-1, 1)

    def compare(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        """The cosine."""
        return torch.cos(angle_of(sr, hr))


class Angle(IdentityMetric):
    """Lower is better: 0 degrees for the same vector."""

    higher_is_better = False
    unit = "deg"
    digits = 2
    bounds = (0, 180)

    def compare(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        """The angle in degrees."""
        return torch.rad2deg(angle_of(sr, hr))


def angle_of(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The angle of two unit vectors in radians, float64; exact for small ones, where an arccosine is not (Kahan)."""
    a, b = first.to(torch.float64), second.to(torch.float64)
    return 2 * torch.atan2((a - b).norm(), (a + b).norm())


class PipelineIdentity(IdentityMetric):
    """Base of the metrics by a recogniser that the pipeline trains; a subclass names it as ``pipeline_encoder``."""

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        assert self.pipeline_encoder is not None
        if self.pipeline_encoder not in weights:
            raise MetricUnavailable(f"there is no encoder '{self.pipeline_encoder}'")
        from srledger.pipeline_encoders import load_encoder

        network = load_encoder(weights[self.pipeline_encoder])
        if not isinstance(network, TRAINED[self.pipeline_encoder]):
            raise MetricUnavailable(f"the encoder '{self.pipeline_encoder}' is of another kind than the metric says")
        self.network = network

    def measure(self, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        require_size(sr, LEAST_PX)
        network = self.network.to(sr.device)
        return measure_each(lambda a, b: self.compare(*(network.embed(as_seen(one)) for one in (a, b))), sr, hr)


class MobileFaceNetIdentity(IdentityMetric, LandmarkMetric):
    """Base of the metrics by the published MobileFaceNet."""

    weights = (PUBLISHED,)

    def __init__(self, config: PluginConfig, weights: Mapping[str, Path]) -> None:
        super().__init__(config, weights)
        weight_file(weights, PUBLISHED)
        self.network: Recogniser = mobilefacenet.PublishedMobileFaceNet(mobilefacenet.Config(), weights)

    def measure_at(self, sr: torch.Tensor, hr: torch.Tensor, landmarks: Sequence[np.ndarray]) -> torch.Tensor:
        require_size(sr, LEAST_PX)
        network, values = self.network.to(sr.device), []
        with torch.no_grad():
            for k, points in enumerate(landmarks):  # image by image, as ``measure_each`` has its reasons for
                pair = (network.embed_faces(as_seen(images[k : k + 1]), [points]) for images in (sr, hr))
                values.append(self.compare(*pair))
        return torch.stack(values)


def as_seen(images: torch.Tensor) -> torch.Tensor:
    """uint8 ``B x 3 x H x W`` as recognisers take them."""
    return images.to(torch.float32) / 255
