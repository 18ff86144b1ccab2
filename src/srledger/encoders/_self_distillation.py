"""DINO: a student learns to say of any view what its own average says of another (Caron et al., ICCV 2021).

The teacher is the student's moving average; its outputs are centred, so that not all images get one answer, and
sharpened, so that not all answers get equal weight. How much of either is left stands in the curves:
``entropy_of_each`` near 1 means that every answer is the uniform one, ``entropy_of_mean`` near 0 that all are the same.
"""

from __future__ import annotations

import copy
import math
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from srledger.encoders import Encoder, EncoderLearner
from srledger.encoders._views import blurred, random_crop, recoloured, solarised
from srledger.methods import Batch
from srledger.plugins import PluginConfig


class Distillation(PluginConfig):
    """Views, head, temperatures; momenta are for thousands of steps, not for DINO's hundreds of epochs."""

    global_px: int = Field(default=32, ge=8, description="side of the two large views, which the teacher sees")
    local_px: int = Field(default=16, ge=4, description="side of the small views, which the student alone sees")
    local_views: int = Field(default=4, ge=0)
    global_area: tuple[float, float] = Field(default=(0.4, 1.0), description="of the image")
    local_area: tuple[float, float] = Field(default=(0.1, 0.4), description="of the image")
    colour: float = Field(default=0.4, ge=0, lt=1, description="range of brightness, contrast and saturation")
    outputs: int = Field(default=1024, ge=2)
    hidden: int = Field(default=256, ge=4)
    bottleneck: int = Field(default=64, ge=2)
    student_temperature: float = Field(default=0.1, gt=0)
    teacher_temperature: float = Field(default=0.04, gt=0)
    teacher_momentum: float = Field(default=0.99, ge=0, lt=1, description="at the start; rises to 1 by a cosine")
    centre_momentum: float = Field(default=0.9, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, (least, most) in (("global_area", self.global_area), ("local_area", self.local_area)):
            if not 0 < least <= most <= 1:
                raise ValueError(f"{name} must be a range in (0, 1], found {[least, most]}")
        return self


class Head(nn.Module):
    """Three layers, a unit vector, and its cosines with the prototypes: ``B x width`` to ``B x outputs``."""

    def __init__(self, width: int, settings: Distillation) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, settings.hidden), nn.GELU(),
            nn.Linear(settings.hidden, settings.hidden), nn.GELU(),
            nn.Linear(settings.hidden, settings.bottleneck),
        )  # fmt: skip
        self.prototypes = nn.Parameter(torch.empty(settings.outputs, settings.bottleneck))
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.prototypes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        # Weight norm with all norms one; in fp32, since the answers differ by little at first.
        with torch.autocast(features.device.type, enabled=False):
            found = F.normalize(self.mlp(features.float()), dim=-1)
            return F.linear(found, F.normalize(self.prototypes, dim=-1))


class SelfDistillation(EncoderLearner):
    """Trains ``encoder`` against its own average, which is what is kept in the end (``learned``)."""

    centre: torch.Tensor

    def __init__(self, encoder: Encoder, width: int, settings: Distillation, scale_factor: int) -> None:
        super().__init__()
        self.settings = settings
        self.scale_factor = scale_factor
        self.student = nn.ModuleDict({"encoder": encoder, "head": Head(width, settings)})
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(1, settings.outputs))

    @property
    def learned(self) -> Encoder:
        """The teacher's encoder."""
        encoder = self.teacher["encoder"]
        assert isinstance(encoder, Encoder)
        return encoder

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Cross-entropy between the teacher's answer to a large view and the student's to every other view.

        Moves teacher and centre first, so that the same step of a resumed training does the same.
        """
        self._follow(batch.progress)
        large, small = self._views(batch.hr, batch.generator)
        with torch.no_grad():
            said = self._answers(self.teacher, torch.cat(large)).chunk(2)
            targets = [((answer - self.centre) / self.settings.teacher_temperature).softmax(dim=-1) for answer in said]
            self.centre.lerp_(torch.cat(said).mean(dim=0, keepdim=True), 1 - self.settings.centre_momentum)
        answers = [*self._answers(self.student, torch.cat(large)).chunk(2)]
        if small:
            answers += self._answers(self.student, torch.cat(small)).chunk(len(small))
        terms = [
            -(target * (answer / self.settings.student_temperature).log_softmax(dim=-1)).sum(dim=-1).mean()
            for seen, target in enumerate(targets)
            for k, answer in enumerate(answers)
            if k != seen
        ]
        each = torch.cat(targets)
        return {
            "total": torch.stack(terms).mean(),
            "entropy_of_each": share_of_entropy(each).mean(),
            "entropy_of_mean": share_of_entropy(each.mean(dim=0)),
        }

    def _answers(self, network: nn.ModuleDict, views: torch.Tensor) -> torch.Tensor:
        encoder = network["encoder"]
        assert isinstance(encoder, Encoder)
        return network["head"](encoder.embed(views)).float()

    @torch.no_grad()
    def _follow(self, progress: float) -> None:
        rest = (1 - self.settings.teacher_momentum) * 0.5 * (1 + math.cos(math.pi * progress))
        torch._foreach_lerp_(list(self.teacher.parameters()), list(self.student.parameters()), rest)

    def _views(self, images: torch.Tensor, generator: torch.Generator) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        settings = self.settings
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            large = [random_crop(images, settings.global_px, settings.global_area, generator) for _ in range(2)]
            small = [
                random_crop(images, settings.local_px, settings.local_area, generator)
                for _ in range(settings.local_views)
            ]
            # As in DINO: the first large view is mostly blurred, the second hardly ever, but solarised now and then.
            large, small = (
                [recoloured(view, settings.colour, generator) for view in views] for views in (large, small)
            )
            large = [blurred(large[0], 0.8, generator), blurred(large[1], 0.1, generator)]
            large[1] = solarised(large[1], 0.2, generator)
            return large, [blurred(view, 0.5, generator) for view in small]


def share_of_entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Entropy over the last axis as a share of the greatest there can be: 0 (one answer) to 1 (uniform)."""
    entropy = -(probabilities * probabilities.clamp_min(1e-12).log()).sum(dim=-1)
    return entropy / math.log(probabilities.shape[-1])
