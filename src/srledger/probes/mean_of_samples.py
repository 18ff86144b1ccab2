"""What a stochastic method would score if its noise were averaged away."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from srledger.probes import Look, Measured, Probe, ProbeUnavailable, Quantity, RowsConfig, Shown, ShownTable
from srledger.probes._tables import arrays, seeds_by_images, table_of
from srledger.probing.source import Source, measure_images


class Config(RowsConfig):
    """The rows, how many samples, and the metrics of their mean."""

    images: int = Field(default=50, ge=1, description="the first test images; each is restored `samples` times")
    samples: int = Field(default=8, ge=2)
    metrics: tuple[str, ...] = Field(default=("psnr_rgb", "ssim_rgb"), description="metrics of single images")


class MeanOfSamples(Probe):
    """Every image is restored several times, each time with new noise; the mean of the samples has a name of its own.

    The mean of samples nears the conditional mean: it gains PSNR and loses texture, and is no result of the method.
    Spread: standard deviation over samples, in grey levels; 0 is a deterministic method.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        count, lines = self.config.images, []
        panel = source.panel(self.config.metrics)
        names = [name for name in self.config.metrics if name in panel.metrics]
        if not names:
            raise ProbeUnavailable("none of its metrics can be had: " + "; ".join(panel.unavailable.values()))
        hr = source.hr(count)
        for row, seed in source.trained(self.config.seeds):
            samples = [source.restored(row, seed, count, sample) for sample in range(self.config.samples)]
            means = [np.mean(one, axis=0) for one in zip(*samples, strict=True)]
            spreads = [np.std(np.array(one, np.float64), axis=0).mean() for one in zip(*samples, strict=True)]
            single = measure_images(panel, samples[0], hr)
            of_mean = measure_images(panel, [np.round(image).astype(np.uint8) for image in means], hr)
            values = [column[name] for name in names for column in (single, of_mean)]
            lines += [(row, seed, *line) for line in zip(source.ids(count), spreads, *values, strict=True)]
        types = {"row": str, "seed": int, "image_id": str, "spread": float}
        types |= {f"{name}{what}": float for name in names for what in ("", self._suffix)}
        from srledger.evaluation.measure import metric_info

        return Measured(table_of(types, lines), {"metrics": {name: metric_info(name) for name in names}})

    @property
    def _suffix(self) -> str:
        return f"_of_mean_of_{self.config.samples}_samples"

    def show(self, found: Measured, look: Look) -> Shown:
        columns, infos = arrays(found.table), found.facts["metrics"]
        shown = {"spread": 2} | {
            f"{name}{what}": info["digits"] for name, info in infos.items() for what in ("", self._suffix)
        }  # fmt: skip
        lines = []
        for row in look.rows:
            here = columns["row"] == row
            values = {name: seeds_by_images(columns, here, name) for name in shown}
            cells = [Quantity.of(look.mean(values[name], row), digits) for name, digits in shown.items()]
            lines.append((row, values["spread"].shape[1], *cells))
        head = ("row", "n", "spread (grey levels)", *list(shown)[1:])
        notes = tuple(f"{name}: {info['protocol']}." for name, info in infos.items())
        title = f"One sample, and the mean of {self.config.samples}"
        return Shown(tables=(ShownTable("samples", title, head, tuple(lines), notes),))
