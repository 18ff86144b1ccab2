"""YOLO-World (small) with published weights and a baked vocabulary: the detector of the landmark U-Net's authors.

ultralytics reads numpy images as BGR, and the authors hand it RGB: their detector sees red and blue exchanged. By
default (``channel_order: rgb_as_is``) so does this one; ``bgr`` hands it what it expects. Confidences are low by
nature, and no threshold but the asked one is laid on them. At most 300 boxes an image, ultralytics' own limit.
Source: Cheng et al., CVPR 2024; ultralytics 8.4, AGPL-3.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from srledger.encoders import Encoder
from srledger.encoders._detection import Asked, Detections
from srledger.encoders._facial_boxes import detections_of
from srledger.encoders._inert_checkpoint import read_pickled_model
from srledger.encoders._ultralytics import prepare_ultralytics, process_kept
from srledger.encoders._vocabulary import bake_vocabulary, load_vocabulary
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig

ARCHITECTURE = "yolov8s-world.yaml"
VOCABULARY = "vocabulary.safetensors"
WEIGHTS, CLIP = "yolo_world", "clip_vit_b32"
BACKBONE_ENDS = (2, 4, 6, 9)  # the last layers of the strides 4, 8, 16 and 32
STRIDE_PX = 32


class Config(PluginConfig):
    """What is looked for, and how large and in which order of colours the image is shown."""

    prompts: tuple[str, ...] = Field(
        default=("eye", "mouth", "ear", "nose", "nosetip", "face", "chin", "head", "eyebrows"),
        min_length=1, description="the vocabulary; a change has it baked again",
    )  # fmt: skip
    imgsz_px: int = Field(
        default=640, ge=32, multiple_of=STRIDE_PX, description="long side that images are enlarged to"
    )
    channel_order: Literal["rgb_as_is", "bgr"] = Field(
        default="rgb_as_is", description="rgb_as_is: as its authors do, red and blue exchanged; bgr: as is meant"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.prompts)) < len(self.prompts) or not all(prompt.strip() for prompt in self.prompts):
            raise ValueError(f"prompts must be words, each once, found {list(self.prompts)}")
        return self


class YoloWorld(Encoder):
    """The backbone's four maps, 64 to 512 channels, at strides 4 to 32; boxes of the prompts."""

    weights = (WEIGHTS, CLIP)  # CLIP for baking alone
    bakes = (VOCABULARY,)
    detects = True
    config: Config
    network: Any  # ultralytics' WorldModel

    def __init__(self, config: Config, weight_files: Mapping[str, Path]) -> None:
        super().__init__(config, weight_files)
        features = load_vocabulary(weight_files[VOCABULARY], config.prompts)
        tensors = read_pickled_model(weight_files[WEIGHTS], f"rm {weight_files[WEIGHTS]} && make weights")
        prepare_ultralytics()
        with process_kept(), torch.random.fork_rng(devices=[]):  # layers start at random before the weights are read
            from ultralytics import YOLOWorld

            api: Any = YOLOWorld(ARCHITECTURE)
        self.network = api.model
        wrong = set(tensors) ^ set(self.network.state_dict())
        try:
            self.network.load_state_dict(tensors)
        except RuntimeError as error:
            raise SrledgerError(
                "weights of another architecture", where=weight_files[WEIGHTS],
                found=", ".join(sorted(wrong)[:4]) or error,
                expected=f"those of {ARCHITECTURE}", mend=f"rm {weight_files[WEIGHTS]} && make weights",
            ) from error  # fmt: skip
        # What YOLOWorld.set_classes does, with the features from the file in the place of CLIP's.
        self.network.txt_feats = features[None]
        self.network.model[-1].nc = len(config.prompts)
        self.network.names = dict(enumerate(config.prompts))
        self._api = (api,)  # in a tuple: ultralytics' handle is a module too, and would hold the network twice
        self.eval().requires_grad_(False)

    @classmethod
    def bake(cls, config: PluginConfig, weight_files: Mapping[str, Path], folder: Path) -> None:
        """Bake the vocabulary with CLIP. Raises SrledgerError when CLIP can't be had."""
        assert isinstance(config, Config)
        if CLIP not in weight_files:
            raise SrledgerError(
                "a vocabulary can't be baked without CLIP", found=f"no weights '{CLIP}'", mend="make weights"
            )
        bake_vocabulary(config.prompts, weight_files[CLIP], folder / VOCABULARY)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.config.prompts

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The maps of what the detector sees: colours as ``channel_order`` has them, the images' own size."""
        maps, found = images.flip(1) if self.config.channel_order == "rgb_as_is" else images, []
        for depth, layer in enumerate(self.network.model[: BACKBONE_ENDS[-1] + 1]):
            maps = layer(maps)
            if depth in BACKBONE_ENDS:
                found.append(maps)
        return found

    def detect(
        self, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None], asked: Asked
    ) -> list[Detections]:
        """Through ``YOLOWorld.predict``, one image a call: of a batch it drops what its suppression has no time for."""
        return [self._detect(image, asked) for image in images]

    def _detect(self, image: np.ndarray, asked: Asked) -> Detections:
        shown = image if self.config.channel_order == "rgb_as_is" else image[..., ::-1]
        device = next(self.network.parameters()).device
        with process_kept():
            found = self._api[0].predict(
                np.ascontiguousarray(shown), conf=asked.confidence, iou=asked.iou, imgsz=self.config.imgsz_px,
                device=str(device), verbose=False, save=False,
            )[0].boxes  # fmt: skip
        boxes, numbers, confidences = (values.cpu().numpy() for values in (found.xyxy, found.cls, found.conf))
        return detections_of(boxes, [self.classes[int(k)] for k in numbers], confidences, image.shape[:2])
