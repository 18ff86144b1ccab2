"""Do restored images have a colour cast? Their mean error, channel by channel (YODA, section on colour shift)."""

from __future__ import annotations

import numpy as np

from srledger.probes import Look, Measured, Probe, Quantity, RowsConfig, Shown, ShownFigure, ShownLine, ShownTable
from srledger.probes._colour import CHANNELS, brightness_and_cast, mean_error
from srledger.probes._drawing import panels, style, svg
from srledger.probes._tables import arrays, seeds_by_images, table_of
from srledger.probing.source import Source
from srledger.reporting.figures import INK

COLOURS = dict(zip(CHANNELS, ("#c0392b", "#1b7837", "#0072b2"), strict=True))
BINS = 24


class Config(RowsConfig):
    """The rows."""


class ColourShift(Probe):
    """Mean of SR minus HR over the pixels of an image, per channel, in grey levels of 255: 0 is no shift at all.

    The cast is what of it differs between the channels, without what is only too bright or too dark.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        count, lines = self.config.images, []
        for row, seed in source.trained(self.config.seeds):
            images = zip(source.ids(count), source.restored(row, seed, count), source.hr(count), strict=True)
            for image_id, sr, hr in images:
                lines.append((row, seed, image_id, *mean_error(sr, hr).tolist()))
        return Measured(table_of({"row": str, "seed": int, "image_id": str, **dict.fromkeys(CHANNELS, float)}, lines))

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        columns |= brightness_and_cast(columns)
        lines: list[ShownLine] = []
        for row in look.rows:
            here = columns["row"] == row
            means = [Quantity.of(look.mean(seeds_by_images(columns, here, c), row), 2) for c in CHANNELS]
            spreads = [Quantity(float(columns[channel][here].std()), 2) for channel in CHANNELS]
            both = [Quantity.of(look.mean(seeds_by_images(columns, here, c), row), 2) for c in ("brightness", "cast")]
            pairs = [cell for pair in zip(means, spreads, strict=True) for cell in pair]
            lines.append((row, int(here.sum()), *pairs, *both))
        head = (
            "row",
            "n",
            *(f"{c}{what}" for c in CHANNELS for what in (", mean", ", SD")),
            "brightness",
            "cast (RMS)",
        )
        return Shown(
            figures=(ShownFigure("channels", "Mean error of every image, channel by channel", _draw(columns, look)),),
            tables=(ShownTable("shift", "Mean of SR minus HR, in grey levels of 255", head, tuple(lines)),),
            notes=(
                "SD: over images (and seeds), of the shift itself; a method that casts each face in another colour has "
                "a mean near 0 and a large SD, and only the cast shows it.",
            ),
        )


def _draw(columns: dict[str, np.ndarray], look: Look) -> str:
    """One panel per row, one histogram per channel; all on one axis."""
    reach = max(1.0, float(np.abs([columns[channel] for channel in CHANNELS]).max()))
    edges = np.linspace(-reach, reach, BINS + 1)
    with style():
        figure, axes = panels(len(look.rows), 1.3, 0.55, 0.35)
        for k, (panel, row) in enumerate(zip(axes, look.rows, strict=True)):
            here = columns["row"] == row
            for channel, colour in COLOURS.items():
                counts, _ = np.histogram(columns[channel][here], edges)
                panel.stairs(100 * counts / here.sum(), edges, color=colour, linewidth=1.3)
                panel.stairs(100 * counts / here.sum(), edges, color=colour, fill=True, alpha=0.12)
            panel.axvline(0, color=INK, linewidth=0.8)
            panel.set_title(row, loc="left")
            panel.set_xlabel("SR minus HR (grey levels)")
            panel.locator_params(axis="both", nbins=4)
            if k % 4 == 0:
                panel.set_ylabel("% of images")
        return svg(figure, look, "channels")
