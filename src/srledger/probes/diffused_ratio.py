"""How much of an image attention-guided diffusion refines, per prior (YODA, Figure 3, left)."""

from __future__ import annotations

import numpy as np

from srledger.probes import Look, Measured, Probe, Quantity, Shown, ShownFigure, ShownTable
from srledger.probes._drawing import colours, style, svg, wide_plot
from srledger.probes._masks import MaskConfig, steps_of
from srledger.probes._tables import arrays, names_in, table_of
from srledger.probing.source import Source


class Config(MaskConfig):
    """The priors, and the mask rule."""


class DiffusedRatio(Probe):
    """Mean of the mask over all pixels and steps, image by image: the share of the work that is really needed."""

    config: Config

    def measure(self, source: Source) -> Measured:
        lines = []
        for prior in source.priors:
            maps = source.maps(prior, self.config.images)
            for image_id, attention in zip(source.ids(self.config.images), maps, strict=True):
                ratio = steps_of(attention, self.config).mean() / self.config.steps
                lines.append((prior, image_id, ratio, attention.mean()))
        return Measured(table_of({"prior": str, "image_id": str, "ratio": float, "mean_attention": float}, lines))

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        ratios = {prior: columns["ratio"][columns["prior"] == prior] for prior in names_in(columns, "prior")}
        lines = []
        for prior, values in ratios.items():
            mean = look.mean(values[None], prior)
            attention = float(columns["mean_attention"][columns["prior"] == prior].mean())
            lines.append((
                prior, len(values), Quantity.of(mean), Quantity(float(np.median(values))),
                Quantity(float(values.min())), Quantity(float(values.max())), Quantity(attention),
            ))  # fmt: skip
        head = ("prior", "images", "diffused ratio, mean", "median", "least", "most", "mean attention")
        title = "Share of all pixel steps that lie inside the mask"
        return Shown(
            figures=(
                ShownFigure("ratio", "Diffused ratio per image: quartiles, and every image", _draw(ratios, look)),
            ),
            tables=(ShownTable("ratio", title, head, tuple(lines)),),
            notes=(self.config.words(),),
        )


def _draw(ratios: dict[str, np.ndarray], look: Look) -> str:
    colour = colours(tuple(ratios))
    with style():
        figure, axes = wide_plot(0.34 * len(ratios) + 0.5)
        for k, (prior, values) in enumerate(ratios.items()):
            axes.boxplot(
                [values], positions=[k], orientation="horizontal", widths=0.6, manage_ticks=False, showfliers=False,
                whis=(0, 100), medianprops={"color": colour[prior], "linewidth": 1.6},
                boxprops={"color": colour[prior]}, whiskerprops={"color": colour[prior]}, capprops={"visible": False},
            )  # fmt: skip
            # Spread by rank, not by chance: the same numbers give the same picture.
            spread = 0.22 * ((np.arange(len(values)) * 7 % 13) / 6 - 1)
            axes.plot(values, k + spread, ".", color=colour[prior], markersize=2.5, alpha=0.5)
            axes.text(1.02, k, prior, va="center", transform=axes.get_yaxis_transform())
        axes.set_yticks([])
        axes.set_ylim(len(ratios) - 0.4, -0.6)
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("diffused ratio: mean of the mask over pixels and steps")
        return svg(figure, look, "ratio")
