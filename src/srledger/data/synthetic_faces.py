"""``synthetic_faces``: drawn faces with exact landmarks and identities, made from a seed alone.

No data set can be shipped or downloaded everywhere; these can. A face is a shaded relief with strands, lashes, irises,
pores and cloth, drawn at twice its size and reduced, so that 8x super-resolution has detail to find. Eyes, nose and
mouth stand where aligned CelebA crops have them. They are not photographs: numbers measured on them say whether
a pipeline works, not how well a method restores real faces.

The style ``cartoon`` draws the same people, poses and landmarks (one id is one face in both) with flat colours,
outlines and large eyes: faces unlike all that was learnt from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from srledger.data import SPLITS, Source, SourceImage
from srledger.data._face_canvas import Canvas, open_canvas
from srledger.data._face_cartoon import paint_cartoon
from srledger.data._face_features import paint_features
from srledger.data._face_geometry import aim_camera, model_landmarks
from srledger.data._face_hair import paint_back_hair, paint_beard, paint_front_hair
from srledger.data._face_people import Identity, Look, draw_identity, draw_look
from srledger.data._face_scene import paint_backdrop, paint_clothes, paint_glasses
from srledger.data._face_skin import paint_ears, paint_head, paint_neck
from srledger.imresize import imresize
from srledger.plugins import PluginConfig
from srledger.seeds import numpy_generator

Style = Literal["photo", "cartoon"]


class Config(PluginConfig):
    """How many faces, and how large.

    Attributes:
        seed: other seeds give other people.
        size_px: side of the square images.
        n_identities: people in each split; no one is in two splits.
        images_per_identity: images of each person, which differ in pose, light, expression, clothes and background.
        supersampling: pixels are drawn this many times finer in each direction, then reduced.
        pose_deg: standard deviation of the yaw in degrees (of the pitch: half of it).
        grain: standard deviation of the camera's noise in grey levels.
        style: how faces are rendered: shaded as a photograph is, or flat as a cartoon.
    """

    seed: NonNegativeInt = 0
    size_px: int = Field(default=64, ge=16, le=1024)
    n_identities: dict[Literal["train", "val", "test"], NonNegativeInt]
    images_per_identity: PositiveInt = 4
    supersampling: int = Field(default=2, ge=1, le=4)
    pose_deg: float = Field(default=8.0, ge=0, le=20)
    grain: float = Field(default=0.8, ge=0)
    style: Style = "photo"


class SyntheticFaces(Source):
    """Images ``test_p0003_i1`` of person ``test_p0003``."""

    licence = "CC0-1.0, generated"
    redistributable = True
    config: Config

    def images(self) -> Iterator[SourceImage]:
        """See ``Source.images``."""
        for split in SPLITS:
            for number in range(self.config.n_identities.get(split, 0)):  # type: ignore[call-overload]
                person = f"{split}_p{number:04d}"
                who = draw_identity(numpy_generator("synthetic_faces", "identity", person, self.config.seed))
                for k in range(self.config.images_per_identity):
                    image_id = f"{person}_i{k}"
                    rng = numpy_generator("synthetic_faces", "look", image_id, self.config.seed)
                    look = draw_look(rng, self.config.pose_deg)
                    pixels, landmarks = draw_face(
                        who, look, self.config.size_px, self.config.supersampling, self.config.style
                    )
                    grain = self.config.grain * rng.standard_normal(pixels.shape)
                    pixels = np.floor(np.clip(pixels + grain, 0, 255) + 0.5).astype(np.uint8)
                    yield SourceImage(image_id, split, pixels, person, landmarks)


def draw_face(
    who: Identity, look: Look, size_px: int, supersampling: int, style: Style = "photo"
) -> tuple[np.ndarray, np.ndarray]:
    """One face.

    Returns:
        sRGB float ``size_px x size_px x 3`` in [0, 255], and its five landmarks, float64 ``5 x 2`` in pixels
        (pixel centres at whole numbers).
    """
    points = model_landmarks(who, look)
    camera = aim_camera(points, look)
    canvas = open_canvas(who, camera, look.roll, size_px * supersampling)
    paint_cartoon(canvas, who, look) if style == "cartoon" else _paint_photo(canvas, who, look)
    light = np.clip(imresize(canvas.light, size_px, size_px), 0, None)
    return 255 * np.moveaxis(_tone(light), 0, -1), camera.project(points) * size_px - 0.5


def _paint_photo(canvas: Canvas, who: Identity, look: Look) -> None:
    paint_backdrop(canvas, look)
    paint_back_hair(canvas, who, look)
    paint_neck(canvas, who, look)
    paint_clothes(canvas, who, look)
    paint_ears(canvas, who, look)
    paint_head(canvas, who, look)
    paint_features(canvas, who, look)
    paint_beard(canvas, who, look)
    paint_front_hair(canvas, who, look)
    paint_glasses(canvas, who, look)


def _tone(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB in [0, 1], with a soft shoulder above 0.7 as cameras have it."""
    light = np.where(light > 0.7, 0.7 + 0.3 * (1 - np.exp(-(light - 0.7) / 0.3)), light)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
