"""What the figures of probes share: the report's style, a wide plot with its legend, panels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from srledger.probes import Look
from srledger.reporting.figures import BOTTOM_IN, PALETTE, STYLE, TOP_IN, _panels, _svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#666666"
WIDTH_IN, PLOT_IN, LEFT_IN = 7.4, 4.4, 0.8


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The report's look for everything that is drawn in the block."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def wide_plot(height_in: float = 2.6) -> tuple[Figure, Axes]:
    """A plot with room for a legend at its right: ``axes.legend(**BESIDE)``."""
    figure, (axes,) = _panels(1, height_in, LEFT_IN)
    figure.set_figwidth(WIDTH_IN)
    height = height_in + TOP_IN + BOTTOM_IN
    figure.set_figheight(height)
    axes.set_position((LEFT_IN / WIDTH_IN, BOTTOM_IN / height, PLOT_IN / WIDTH_IN, height_in / height))
    return figure, axes


def panels(count: int, height_in: float, left_in: float = LEFT_IN, gap_in: float = 0.65) -> tuple[Figure, list[Axes]]:
    """Panels of one size, four to a line."""
    return _panels(count, height_in, left_in, gap_in)


def legend_beside(axes: Axes) -> None:
    """The legend at the right of a wide plot."""
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))


def svg(figure: Figure, look: Look, name: str) -> str:
    """SVG text: the same numbers give the same bytes."""
    return _svg(figure, f"probe_{look.name}_{name}")


def colours(names: tuple[str, ...]) -> dict[str, str]:
    """Colours of things that are no rows: priors, channels."""
    return {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(names)}
