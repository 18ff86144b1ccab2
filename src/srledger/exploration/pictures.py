"""Small pictures for looking at a dataset: mean faces, thumbnails, and what a degradation does to an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from srledger.exploration.token_colours import coloured, enlarged_cells
from srledger.imresize import imresize_uint8
from srledger.io import read_json
from srledger.packs import Pack

THUMBNAIL_PX = 96
SAMPLES, SAMPLE_PX = 4, 128
DEVIATION_GAIN = 2  # no 8-bit value deviates by more than 127.5: white is the largest deviation there can be
DIFFERENCE_GAIN = 2  # grey is equal, black and white are 64 grey levels and more apart
CHUNK_BYTES, CHUNK_IMAGES = 16 << 20, 4096  # sums of 4096 squares of 8-bit values stay below 2 ** 32


class Thumbnails:
    """Thumbnails of a dataset, each written when it is first asked for."""

    def __init__(self, packs: Mapping[str, Pack], place: Path) -> None:
        self._packs, self._place = packs, place

    def save(self, split: str, image_id: str) -> str:
        """Write an image, at most THUMBNAIL_PX on its longer side; returns its path below ``place``'s parent."""
        path = self._place / "thumbnails" / f"{image_id}.png"
        if not path.exists():
            picture = Image.fromarray(np.array(self._packs[split].by_id(image_id)))
            picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
            _save(path, picture)
        return path.relative_to(self._place.parent).as_posix()


def save_aligned(packs: Mapping[str, Pack], place: Path) -> dict[str, Any] | None:
    """Write mean and standard deviation of every pixel by split; None unless all images are one square size.

    The deviation is the root mean square over the three channels, times DEVIATION_GAIN, in grey; a split of one image
    has none.
    """
    shapes = {shape for pack in packs.values() for shape in pack.shapes}
    if len(shapes) != 1:
        return None
    height, width, _ = shapes.pop()
    if height != width:
        return None
    facts: dict[str, Any] = {"size_px": height, "mean": {}, "deviation": {}}
    for split, pack in packs.items():
        mean, deviation = pixel_moments(pack)
        pictures = {"mean": np.rint(mean)}
        if len(pack) > 1:
            pictures["deviation"] = np.rint(np.sqrt((deviation**2).mean(axis=2)) * DEVIATION_GAIN)
        for kind, pixels in pictures.items():
            path = place / f"{kind}_{split}.png"
            _save(path, Image.fromarray(pixels.astype(np.uint8)))
            facts[kind][split] = path.relative_to(place.parent).as_posix()
    return facts


def pixel_moments(pack: Pack) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each pixel and channel over a pack of one size: float64 ``H x W x 3``, 0 to 255.

    Sums are whole numbers, so the chunks that they are made in can't be seen in them.
    """
    total = np.zeros(pack.shapes[0], dtype=np.uint64)
    squares = np.zeros_like(total)
    for images in _chunks(pack):
        total += images.sum(axis=0, dtype=np.uint32)
        squares += np.einsum("nk,nk->k", *[images.reshape(len(images), -1).astype(np.uint32)] * 2).reshape(total.shape)
    mean = total / len(pack)
    return mean, np.sqrt(np.maximum(squares / len(pack) - mean**2, 0))


def _chunks(pack: Pack) -> Iterator[np.ndarray]:
    """The images of a pack of one size, ``N x H x W x 3`` at a time; a map is let go before the next is made."""
    image_bytes = int(np.prod(pack.shapes[0]))
    count = min(CHUNK_IMAGES, max(1, CHUNK_BYTES // image_bytes))
    for start in range(0, len(pack), count):
        shape = (min(count, len(pack) - start), *pack.shapes[0])
        yield np.memmap(pack.stem.with_suffix(".bin"), np.uint8, "r", offset=start * image_bytes, shape=shape)


def save_samples(
    packs: Path, place: Path, priors: Mapping[str, Path], *, reference: bool = True
) -> list[dict[str, Any]]:
    """Write HR, LR, their difference and every prior's map or tokens for SAMPLES images, spread over the test split.

    Without test images they come from the next split that has some. Of large images the middle is shown; a constant
    map is no picture and stands as its value.

    Args:
        reference: whether the task has HR images; without, LR is all that is shown of an image.
    """
    drawn = {image["id"]: image["drawn"] for image in read_json(packs / "images.json")}
    split = next(split for split in ("test", "val", "train") if Pack(packs / f"{split}_hr").ids)
    hrs, lrs = Pack(packs / f"{split}_hr"), Pack(packs / f"{split}_lr")
    maps = {name: Pack(folder / split) for name, folder in priors.items()}
    positions = np.unique(np.linspace(0, len(hrs) - 1, SAMPLES).round().astype(int)).tolist()
    coloured = _coloured_tokens(maps, [hrs.ids[k] for k in positions])
    samples = []
    for k in positions:
        image_id = hrs.ids[k]
        pictures = degradation_pictures(np.array(hrs[k]), np.array(lrs.by_id(image_id)))
        pictures = pictures if reference else {"lr": pictures["lr"]}
        files = {}
        for name, pixels in pictures.items():
            path = place / image_id / f"{name}.png"
            _save(path, Image.fromarray(pixels))
            files[name] = path.relative_to(place.parents[2]).as_posix()
        shown = {
            name: _show_map(pack.by_id(image_id), place / image_id, name)
            for name, pack in maps.items() if name not in coloured
        }  # fmt: skip
        tokens = {
            name: _show_tokens(grids[image_id], hrs.shapes[k], place / image_id, name)
            for name, grids in coloured.items()
        }  # fmt: skip
        sample = {"id": image_id, "split": split, "drawn": drawn[image_id], "pictures": files, "maps": shown}
        samples.append(sample | ({"tokens": tokens} if tokens else {}))
    return samples


def _coloured_tokens(maps: Mapping[str, Pack], ids: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Of priors that give tokens: image -> its grid in colours. One colour means one thing in all images."""
    of_tokens = (name for name, pack in maps.items() if pack.shapes[0][2] > 1)
    return {
        name: dict(zip(ids, coloured([maps[name].by_id(image_id) for image_id in ids]), strict=True))
        for name in of_tokens
    }


def _show_tokens(colours: np.ndarray, hr_shape: tuple[int, ...], place: Path, prior: str) -> str:
    """Write the middle of an image's tokens, as large as its pixels: a flat square is a cell; returns its path."""
    path = place / f"tokens_{prior}.png"
    _save(path, Image.fromarray(_middle(enlarged_cells(colours, hr_shape[0], hr_shape[1]))))
    return path.relative_to(place.parents[3]).as_posix()


def _show_map(values: np.ndarray, place: Path, prior: str) -> str | float:
    """Write the middle of a map in grey (white is 1); returns its path, or the value of a constant map."""
    if values.size == 1:
        return float(f"{values.item():.3g}")
    middle = _middle(values[..., 0]).astype(np.float32)
    path = place / f"map_{prior}.png"
    _save(path, Image.fromarray(np.rint(np.clip(middle, 0, 1) * 255).astype(np.uint8)))
    return path.relative_to(place.parents[3]).as_posix()


def _middle(values: np.ndarray) -> np.ndarray:
    """The middle of an image, at most SAMPLE_PX a side."""
    top, left = (max(0, (length - SAMPLE_PX) // 2) for length in values.shape[:2])
    return values[top:, left:][:SAMPLE_PX, :SAMPLE_PX]


def degradation_pictures(hr: np.ndarray, lr: np.ndarray) -> dict[str, np.ndarray]:
    """``hr``, ``lr`` and ``difference``: the middle of each, at most SAMPLE_PX of HR, the same place in all.

    The difference is LR enlarged by the bicubic kernel minus HR, times DIFFERENCE_GAIN, around grey (128).

    Args:
        hr: uint8 ``H x W x 3``. lr: uint8 ``h x w x 3``, a whole number of times smaller.
    """
    factor = hr.shape[0] // lr.shape[0]
    enlarged = imresize_uint8(lr, *hr.shape[:2])
    difference = 128 + DIFFERENCE_GAIN * (enlarged.astype(np.int32) - hr)
    side = SAMPLE_PX // factor  # in LR pixels
    tops = [max(0, (length - side) // 2) for length in lr.shape[:2]]
    small = tuple(slice(top, top + side) for top in tops)
    large = tuple(slice(top * factor, (top + side) * factor) for top in tops)
    return {"hr": hr[large], "lr": lr[small], "difference": np.clip(difference, 0, 255).astype(np.uint8)[large]}


def _save(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)
