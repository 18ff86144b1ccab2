"""Comparison grids: LR, every row and HR side by side, one crop of each, and the error of the crop.

Without HR they end with the crops, which then lie where the rows differ most from LR. Integer arithmetic only; the page
itself shows the very PNG files of the rows, these grids are for papers and slides.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LABEL_PX, GAP_PX, PANEL_PX = 18, 6, 128
CROP_SHARE = 3  # a crop is a third of the picture across
ERROR_GAIN = 4  # an error of 64 of 255 is shown as the strongest colour
WHITE, INK = (255, 255, 255), (36, 41, 47)


@dataclasses.dataclass(frozen=True)
class Picture:
    """The PNG files of one image: ``lr``, ``hr`` and one per row that has one, in report order.

    Where the task has no HR images, ``reference`` is False and ``hr`` is LR's file, of the same size: what the rows are
    set against, and never shown as HR.
    """

    task: str
    image_id: str
    lr: Path
    hr: Path
    restored: dict[str, Path]
    reference: bool = True


def find_pictures(folder: Path, task: str, rows: Sequence[str], limit: int, *, reference: bool = True) -> list[Picture]:
    """The first ``limit`` pictures of a task, by image id; none where the folder is absent (restricted data).

    Args:
        reference: whether the task has HR images; without, HR files are not looked for.
    """
    found = []
    large = "hr.png" if reference else "lr.png"
    for path in sorted(
        entry for entry in (folder / task).glob("*") if (entry / large).exists() and (entry / "lr.png").exists()
    ):
        restored = {row: path / f"{row}.png" for row in rows if (path / f"{row}.png").exists()}
        found.append(Picture(task, path.name, path / "lr.png", path / large, restored, reference))
    return found[:limit]


def read_rgb(path: Path) -> np.ndarray:
    """uint8 ``H x W x 3``."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def enlarge(pixels: np.ndarray, times: int) -> np.ndarray:
    """Nearest-neighbour enlargement: no pixel is invented."""
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def error_map(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Mean absolute error of the channels, times ERROR_GAIN, as black - red - yellow - white; uint8 ``H x W x 3``."""
    error = (
        np.abs(sr.astype(np.int32) - hr.astype(np.int32)).sum(axis=2) * ERROR_GAIN
    )  # 3 channels x gain: 0 .. 765 and up
    ramps = [np.clip(error - start, 0, 255) for start in (0, 255, 510)]
    return np.stack(ramps, axis=2).astype(np.uint8)


def hardest_crop(pictures: Sequence[np.ndarray], hr: np.ndarray) -> tuple[int, int, int]:
    """(top, left, side) of the square with the largest summed error of all ``pictures``: a rule, not a taste."""
    side = max(8, min(hr.shape[:2]) // CROP_SHARE)
    side = min(side, *hr.shape[:2])
    error = np.zeros(hr.shape[:2], dtype=np.int64)
    for picture in pictures:
        error += np.abs(picture.astype(np.int64) - hr).sum(axis=2)
    sums = np.pad(error, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(top), int(left), side


def crop_of(picture: Picture) -> tuple[int, int, int]:
    """(top, left, side) of the crop that the grid of ``picture`` and the page begin with."""
    hr = read_rgb(picture.hr)
    return hardest_crop(
        [pixels for path in picture.restored.values() if (pixels := read_rgb(path)).shape == hr.shape], hr
    )


def centre_of(picture: Picture) -> tuple[float, float]:
    """Centre (x, y) of ``crop_of`` in shares of the picture."""
    top, left, side = crop_of(picture)
    height, width = read_rgb(picture.hr).shape[:2]
    return (left + side / 2) / width, (top + side / 2) / height


def draw_grid(picture: Picture) -> bytes:
    """The comparison grid of one image as PNG: whole, crop, error map; one column per row, between LR and HR."""
    hr, lr = read_rgb(picture.hr), read_rgb(picture.lr)
    restored = {row: read_rgb(path) for row, path in picture.restored.items()}
    restored = {row: pixels for row, pixels in restored.items() if pixels.shape == hr.shape}
    top, left, side = crop_of(picture)
    lr_shown = enlarge(lr, max(1, hr.shape[0] // lr.shape[0]))[: hr.shape[0], : hr.shape[1]]
    columns = {"LR (nearest)": lr_shown, **restored, **({"HR": hr} if picture.reference else {})}
    times = max(1, PANEL_PX // hr.shape[1])
    crop_times = max(1, hr.shape[1] * times // side)
    height, width, crop = hr.shape[0] * times, hr.shape[1] * times, side * crop_times
    font = ImageFont.load_default(12)
    column = max([width, crop, *(int(font.getlength(name)) + 2 for name in columns)])
    crops = 2 if picture.reference else 1  # the second line shows errors
    high = LABEL_PX + height + crops * crop + (crops + 2) * GAP_PX
    canvas = Image.new("RGB", (len(columns) * (column + GAP_PX) + GAP_PX, high), WHITE)
    draw = ImageDraw.Draw(canvas)
    for k, (name, pixels) in enumerate(columns.items()):
        x, y = GAP_PX + k * (column + GAP_PX), LABEL_PX
        draw.text((x, 2), name, fill=INK, font=font)
        canvas.paste(Image.fromarray(enlarge(pixels, times)), (x, y))
        draw.rectangle(
            (x + left * times, y + top * times, x + (left + side) * times - 1, y + (top + side) * times - 1),
            outline=(255, 210, 0),
        )
        window = (slice(top, top + side), slice(left, left + side))
        if pixels.shape == hr.shape:
            canvas.paste(Image.fromarray(enlarge(pixels[window], crop_times)), (x, y + height + GAP_PX))
            if picture.reference and name not in ("LR (nearest)", "HR"):
                shown = enlarge(error_map(pixels[window], hr[window]), crop_times)
                canvas.paste(Image.fromarray(shown), (x, y + height + crop + 2 * GAP_PX))
    out = io.BytesIO()
    canvas.save(out, format="PNG", optimize=False)
    return out.getvalue()
