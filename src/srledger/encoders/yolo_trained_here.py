"""A small YOLOv8 detector that learns facial parts from the landmarks of the pipeline's training images.

Network, loss (task-aligned assignment, CIoU, distribution focal loss) and non-max suppression are ultralytics'
(AGPL-3.0), the training loop is the pipeline's. ``facial_parts`` states the size rule of its boxes. It stands in for
YOLO-World under a name of its own where that can't be had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from srledger.encoders import Encoder, EncoderLearner
from srledger.encoders._detection import Asked, Detections
from srledger.encoders._facial_boxes import detections_of
from srledger.encoders._ultralytics import NO_TIME_LIMIT_S, prepare_ultralytics, process_kept
from srledger.facial_parts import BOXES, PARTS, boxes_of_landmarks
from srledger.landmark_examples import points_of_maps
from srledger.methods import Batch
from srledger.plugins import PluginConfig

STRIDE_PX = 16  # of the deepest layer: images are multiples of it
MAP_ENDS = (2, 4, 7)  # the last layers of the strides 4, 8 and 16
BATCH_NORM_MOMENTUM = 0.1
GREY = 114 / 255  # what ultralytics fills up with


class Config(PluginConfig):
    """Sizes and jitter; by default 0.4 million parameters."""

    width: int = Field(default=16, ge=8, multiple_of=8, description="channels of the stem; deeper layers have more")
    input_px: int = Field(default=96, ge=32, multiple_of=STRIDE_PX, description="long side that images are brought to")
    shift: float = Field(default=0.2, ge=0, lt=0.5, description="jitter of the place, as a part of the side")
    scale: tuple[float, float] = Field(default=(0.75, 1.3), description="jitter of the size")


def architecture(width: int) -> dict[str, Any]:
    """YOLOv8's layers (ultralytics' form) cut down: three strides, boxes at strides 4 and 8."""
    return {
        "nc": len(PARTS),
        "backbone": [
            [-1, 1, "Conv", [width, 3, 2]],
            [-1, 1, "Conv", [2 * width, 3, 2]],
            [-1, 1, "C2f", [2 * width, True]],  # 2, stride 4
            [-1, 1, "Conv", [4 * width, 3, 2]],
            [-1, 1, "C2f", [4 * width, True]],  # 4, stride 8
            [-1, 1, "Conv", [6 * width, 3, 2]],
            [-1, 1, "C2f", [6 * width, True]],
            [-1, 1, "SPPF", [6 * width, 5]],  # 7, stride 16
        ],
        "head": [
            [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
            [[-1, 4], 1, "Concat", [1]],
            [-1, 1, "C2f", [4 * width]],  # 10, stride 8
            [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
            [[-1, 2], 1, "Concat", [1]],
            [-1, 1, "C2f", [2 * width]],  # 13, stride 4
            [[13, 10], 1, "Detect", ["nc"]],
        ],
    }


class YoloTrainedHere(Encoder):
    """Three maps at strides 4, 8 and 16; boxes of eyes, nose, mouth and its corners."""

    learns = True
    learns_landmarks = True
    detects = True
    config: Config
    network: Any  # ultralytics' DetectionModel

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        prepare_ultralytics()
        with process_kept():
            from ultralytics.nn.tasks import DetectionModel

            self.network = DetectionModel(architecture(config.width), ch=3, nc=len(PARTS), verbose=False)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):  # ultralytics' 0.03 is for trainings of many thousand steps
                module.momentum = BATCH_NORM_MOMENTUM

    @property
    def size_px(self) -> int:
        return self.config.input_px

    @property
    def classes(self) -> tuple[str, ...]:
        return PARTS

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps, found = images, []
        for depth, layer in enumerate(self.network.model[: MAP_ENDS[-1] + 1]):
            maps = layer(maps)
            if depth in MAP_ENDS:
                found.append(maps)
        return found

    @torch.no_grad()
    def detect(
        self, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None], asked: Asked
    ) -> list[Detections]:
        """One image after another, so that a result does not depend on the others."""
        was_training = self.training
        self.eval()
        found = [self._detect(image, asked) for image in images]
        self.train(was_training)
        return found

    def _detect(self, image: np.ndarray, asked: Asked) -> Detections:
        from ultralytics.utils.nms import non_max_suppression

        height, width = image.shape[:2]
        factor = self.config.input_px / max(height, width)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(next(self.parameters()).device)
        shown = resized(pixels.permute(2, 0, 1)[None].float() / 255, size)
        shown = F.pad(shown, (0, -size[1] % STRIDE_PX, 0, -size[0] % STRIDE_PX), value=GREY)
        rows = non_max_suppression(
            self.network(shown), asked.confidence, asked.iou, nc=len(PARTS), max_time_img=NO_TIME_LIMIT_S
        )[0].cpu().numpy().astype(np.float64)  # fmt: skip
        to_image = np.array([width / size[1], height / size[0]] * 2)
        return detections_of(rows[:, :4] * to_image, [PARTS[int(k)] for k in rows[:, 5]], rows[:, 4], (height, width))

    def learner(self, scale_factor: int) -> LandmarkBoxes:
        return LandmarkBoxes(self, scale_factor)


class LandmarkBoxes(EncoderLearner):
    """Learns the boxes of landmark maps on images that are shifted and scaled, lest it learn where faces mostly are."""

    def __init__(self, encoder: YoloTrainedHere, scale_factor: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.scale_factor = scale_factor
        self._criterion: Any = None

    @property
    def learned(self) -> Encoder:
        return self.encoder

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """ultralytics' three terms, each the mean of an image. ``batch.prior`` holds landmark maps.

        Raises:
            SrledgerError: a map does not hold all landmarks.
        """
        images, boxes = self._jittered(batch)
        image, kind = boxes[..., 0].isfinite().nonzero(as_tuple=True)
        sides = boxes[image, kind]
        centres = torch.cat([(sides[:, :2] + sides[:, 2:]) / 2, sides[:, 2:] - sides[:, :2]], dim=1)
        classes = torch.tensor([PARTS.index(name) for name in BOXES], device=images.device, dtype=torch.float32)
        targets = {"batch_idx": image.float(), "cls": classes[kind % len(BOXES)], "bboxes": centres}
        terms, _ = self._loss_of(self.encoder.network(images), targets)
        box, of_class, focal = terms / len(images)
        return {"total": box + of_class + focal, "box": box, "class": of_class, "focal": focal}

    def _loss_of(self, found: Any, targets: Mapping[str, torch.Tensor]) -> Any:
        if self._criterion is None:  # late: it is made for the device that the network has come to
            from ultralytics.utils import DEFAULT_CFG
            from ultralytics.utils.loss import v8DetectionLoss

            self.encoder.network.args = DEFAULT_CFG  # its gains
            self._criterion = v8DetectionLoss(self.encoder.network)
        return self._criterion(found, targets)

    @torch.no_grad()
    def _jittered(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Images ``B x 3 x S x S`` and the boxes ``B x 54 x 4`` on them, as parts of the side; NaN for what isn't seen.

        Past its borders an image goes on mirrored, and so do its boxes: a mirrored eye is an eye.
        """
        config, hr = self.encoder.config, batch.hr.float()
        count, (height, width) = len(hr), hr.shape[-2:]
        points = points_of_maps(batch.prior)
        unit = np.array([width, height, width, height])
        first = torch.from_numpy(np.stack([boxes_of_landmarks(one) / unit for one in points]))
        drawn = torch.rand(count, 3, generator=batch.generator, device=batch.generator.device).to(hr.device)
        low, high = config.scale
        zoom = low * (high / low) ** drawn[:, 0]
        shift = (drawn[:, 1:] * 2 - 1) * config.shift
        # Where an output's pixel is looked up: out = (in - middle) * zoom + middle + shift.
        theta = torch.zeros(count, 2, 3, device=hr.device)
        theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
        theta[:, :, 2] = -2 * shift / zoom[:, None]
        side = config.input_px
        with torch.autocast(hr.device.type, enabled=False):
            grid = F.affine_grid(theta, [count, 3, side, side], align_corners=False)
            images = F.grid_sample(resized(hr, (side, side)), grid, padding_mode="reflection", align_corners=False)
        mirrored = with_mirrored(first.to(hr.device).float())
        zooms, shifts = zoom[:, None, None], shift.repeat(1, 2)[:, None, :]
        return images.clamp(0, 1), seen((mirrored - 0.5) * zooms + 0.5 + shifts)


def resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Images ``B x 3 x H x W`` at another size, bilinear and antialiased."""
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def with_mirrored(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes ``B x K x 4`` in parts of the side, and those of the eight mirrored images around it: ``B x 9 K x 4``."""
    rows = []
    for about_y in (None, 0.0, 1.0):
        for about_x in (None, 0.0, 1.0):
            left, top, right, bottom = boxes.unbind(-1)
            if about_x is not None:
                left, right = 2 * about_x - right, 2 * about_x - left
            if about_y is not None:
                top, bottom = 2 * about_y - bottom, 2 * about_y - top
            rows.append(torch.stack([left, top, right, bottom], dim=-1))
    return torch.cat(rows, dim=1)


def seen(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes cut to the unit square; NaN for those whose middle lies outside."""
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    inside = ((middle > 0) & (middle < 1)).all(dim=-1, keepdim=True)
    return boxes.clamp(0, 1).masked_fill(~inside, float("nan"))
