"""``bundled_photos``: patches of the real photographs that lie in the wheels of libraries installed anyway.

Nothing is downloaded: the files are opened where scikit-image, scikit-learn and matplotlib keep them, not through
functions that would fetch a missing one. Only photographs whose licence clearly allows to show and alter them are used
(left out, among others: ``moon.png`` and ``page.png``, no licence stated; the Middlebury motorcycle, no licence).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from srledger.data import SPLITS, Source, SourceImage
from srledger.data._decode import decode_rgb
from srledger.errors import SrledgerError
from srledger.io import sha256_bytes
from srledger.plugins import PluginConfig
from srledger.seeds import numpy_generator


class Photo(NamedTuple):
    """A photograph: where it is, which split it belongs to for good, its licence, and the hash of its file."""

    package: str
    file: str
    split: str
    licence: str
    sha256: str


PHOTOS = {
    "astronaut": Photo(
        "skimage", "data/astronaut.png", "train", "public domain (NASA)",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    "brick": Photo(
        "skimage", "data/brick.png", "train", "CC0-1.0 (CC0Textures)",
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    ),
    "camera": Photo(
        "skimage", "data/camera.png", "train", "CC0-1.0 (Lav Varshney)",
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    ),
    "coffee": Photo(
        "skimage", "data/coffee.png", "train", "CC0-1.0 (Rachel Michetti)",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "grass": Photo(
        "skimage", "data/grass.png", "train", "CC0-1.0 (linolafett)",
        "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    ),
    "gravel": Photo(
        "skimage", "data/gravel.png", "train", "CC0-1.0 (CC0Textures)",
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    ),
    "rocket": Photo(
        "skimage", "data/rocket.jpg", "train", "public domain (SpaceX)",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
    "flower": Photo(
        "sklearn", "datasets/images/flower.jpg", "val", "CC-BY-2.0 (vultilion, Flickr photo 6056698931)",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
    "chelsea": Photo(
        "skimage", "data/chelsea.png", "test", "CC0-1.0 (Stefan van der Walt)",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "china": Photo(
        "sklearn", "datasets/images/china.jpg", "test", "CC-BY-2.0 (danielbuechele, Flickr photo 6061409035)",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    "hopper": Photo(
        "matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "test", "public domain (U.S. Navy)",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    ),
}  # fmt: skip


class Config(PluginConfig):
    """Which patches.

    Attributes:
        patch_px: side of the square patches; the grid starts at the photo's upper left corner, a rest is left out.
        seed: other seeds choose other patches where ``max_patches`` leaves a choice.
        max_patches: at most so many patches of a split, taken from its photos in turn. A split that is not named is
            used whole.
        min_detail: patches whose mean absolute difference between neighbouring pixels (luma, in grey levels) is lower
            are left out: any method restores an empty sky.
    """

    patch_px: PositiveInt = 64
    seed: NonNegativeInt = 0
    max_patches: dict[Literal["train", "val", "test"], NonNegativeInt] = Field(default_factory=dict)
    min_detail: float = Field(default=3.0, ge=0)


class BundledPhotos(Source):
    """Patches named ``chelsea_r1_c2``: photo, row and column of the grid. Grey photos have three equal channels."""

    licence = "; ".join(f"{name}: {photo.licence}" for name, photo in PHOTOS.items())
    redistributable = True
    config: Config

    def images(self) -> Iterator[SourceImage]:
        """See ``Source.images``.

        Raises:
            SrledgerError: a photo is missing or is another one; a photo is smaller than a patch.
        """
        for split in SPLITS:
            patches = {name: self._patches(name) for name, photo in PHOTOS.items() if photo.split == split}
            limit = self.config.max_patches.get(split)  # type: ignore[call-overload]
            for image_id, pixels in sorted(self._in_turn(patches)[:limit]):
                yield SourceImage(image_id, split, pixels)

    def _patches(self, name: str) -> list[tuple[str, np.ndarray]]:
        """A photo's detailed patches in a random order that depends on photo and seed alone."""
        pixels, side = read_photo(name), self.config.patch_px
        if min(pixels.shape[:2]) < side:
            raise SrledgerError(
                "a photo is smaller than a patch",
                where=name,
                found=f"{pixels.shape[1]} x {pixels.shape[0]} px",
                expected=f"patch_px of at most {min(pixels.shape[:2])}",
                mend="set a smaller patch_px",
            )
        grid = [(row, column) for row in range(pixels.shape[0] // side) for column in range(pixels.shape[1] // side)]
        cut = {
            f"{name}_r{row}_c{column}": pixels[
                row * side : (row + 1) * side, column * side : (column + 1) * side
            ].copy()
            for row, column in grid
        }
        detailed = [(image_id, patch) for image_id, patch in cut.items() if detail(patch) >= self.config.min_detail]
        order = numpy_generator("bundled_photos", name, self.config.seed).permutation(len(detailed))
        return [detailed[k] for k in order]

    @staticmethod
    def _in_turn(patches: dict[str, list[tuple[str, np.ndarray]]]) -> list[tuple[str, np.ndarray]]:
        """One patch of each photo, then a second of each, ...: so a large photo can't fill a small split."""
        longest = max(map(len, patches.values()))
        return [photo[k] for k in range(longest) for photo in patches.values() if k < len(photo)]


def read_photo(name: str) -> np.ndarray:
    """A photo of PHOTOS: uint8 ``H x W x 3``.

    Raises:
        SrledgerError: its package or file is missing, or the file is not the known one.
    """
    photo = PHOTOS[name]
    mend = f"install the version of {photo.package} that requirements.lock names"
    found = importlib.util.find_spec(photo.package)
    if found is None or not found.submodule_search_locations:
        raise SrledgerError("a package with bundled photos is missing", expected=photo.package, mend=mend)
    path = Path(found.submodule_search_locations[0]) / photo.file
    if not path.is_file():
        raise SrledgerError("a bundled photo is missing", where=path, mend=mend)
    data = path.read_bytes()
    if sha256_bytes(data) != photo.sha256:
        raise SrledgerError(
            "a bundled photo has changed", where=path, found=sha256_bytes(data), expected=photo.sha256, mend=mend
        )
    return decode_rgb(data, path)


def detail(patch: np.ndarray) -> float:
    """Mean absolute difference between neighbouring pixels of the luma (BT.601), in grey levels."""
    luma = patch @ np.array([0.299, 0.587, 0.114])
    return float((np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean()) / 2)
