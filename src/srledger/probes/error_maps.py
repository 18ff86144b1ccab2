"""Where restored images are wrong (YODA, error maps)."""

from __future__ import annotations

import numpy as np

from srledger.probes import Look, Measured, Probe, Quantity, RowsConfig, Shown, ShownLine, ShownPicture, ShownTable
from srledger.probes._sheets import draw_sheet_of_panels
from srledger.probes._tables import arrays, seeds_by_images, table_of
from srledger.probing.source import Source
from srledger.reporting.pictures import ERROR_GAIN, Picture, error_map, read_rgb

SHARES = {"median": 50, "p95": 95, "worst": 100}


class Config(RowsConfig):
    """The rows."""


class ErrorMaps(Probe):
    """Mean over RGB of the absolute difference to HR, pixel by pixel, with one scale of colours for all rows.

    The numbers are of all images that were looked at; maps are drawn where the licence lets the pictures stand.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        count, lines = self.config.images, []
        for row, seed in source.trained(self.config.seeds):
            images = zip(source.ids(count), source.restored(row, seed, count), source.hr(count), strict=True)
            for image_id, sr, hr in images:
                error = absolute_error(sr, hr)
                lines.append((row, seed, image_id, error.mean(), *np.percentile(error, list(SHARES.values()))))
        types = {"row": str, "seed": int, "image_id": str, **dict.fromkeys(("mean", *SHARES), float)}
        return Measured(table_of(types, lines))

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        lines: list[ShownLine] = []
        for row in look.rows:
            here = columns["row"] == row
            numbers = [look.mean(seeds_by_images(columns, here, name), row) for name in ("mean", *SHARES)]
            lines.append((row, numbers[0].n, *(Quantity.of(number, 2) for number in numbers)))
        head = ("row", "n", "mean error", *(f"{name} pixel" for name in SHARES))
        title = "Absolute error of a pixel, in grey levels of 255: means over images"
        shown = [picture for picture in look.pictures(look.task) if any(row in picture.restored for row in look.rows)]
        pictures: tuple[ShownPicture, ...] = ()
        if shown:
            caption = f"Absolute error, black to white at {255 // ERROR_GAIN} of 255 and more; left: HR"
            pictures = (ShownPicture("maps", caption, _draw(shown, look.rows)),)
        return Shown(tables=(ShownTable("errors", title, head, tuple(lines)),), pictures=pictures)


def absolute_error(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Mean over the channels of |SR - HR|, in grey levels; float64 ``H x W``."""
    return np.abs(sr.astype(np.float64) - hr).mean(axis=2)


def _draw(pictures: list[Picture], rows: tuple[str, ...]) -> bytes:
    """A line per picture: HR, then a map per row."""
    lines = []
    for picture in pictures:
        hr = read_rgb(picture.hr)
        panels = [hr]
        for row in rows:
            sr = read_rgb(picture.restored[row]) if row in picture.restored else None
            panels.append(error_map(sr, hr) if sr is not None and sr.shape == hr.shape else np.full_like(hr, 200))
        lines.append(("", panels))
    return draw_sheet_of_panels(("HR", *rows), lines)
