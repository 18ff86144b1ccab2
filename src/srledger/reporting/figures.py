"""Figures as SVG text. Text stays text and ids come from the figure's name, so equal rows give equal bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from srledger.evaluation.statistics import finite_images
from srledger.reporting.cells import Cell
from srledger.reporting.comparisons import ColumnComparison
from srledger.reporting.layout import Column, Table
from srledger.reporting.rows import Curve, Rows
from srledger.reporting.views import DOWN, UP, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, LINE = "#24292f", "#d0d7de"  # the page replaces both by its own, for dark mode
# Okabe & Ito (2008), safe for colour-blind readers, then darker shades for longer tables.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#a6761d", "#666666", "#1b7837")
LEFT, RIGHT = "\N{LEFTWARDS ARROW}", "\N{RIGHTWARDS ARROW}"
PERCEPTUAL = ("lpips", "enc_lpips", "dists", "fed", "fid")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": LINE, "xtick.color": INK, "ytick.color": INK,
    "axes.titlesize": 9, "axes.titleweight": "bold", "axes.spines.top": False, "axes.spines.right": False,
    "grid.color": LINE, "grid.linewidth": 0.6, "axes.grid": True, "axes.axisbelow": True, "legend.frameon": False,
    "path.simplify": False,
}  # fmt: skip
COLUMNS = 4
PANEL_WIDTH_IN, RIGHT_IN, TOP_IN, BOTTOM_IN, GAP_IN = 2.15, 0.2, 0.35, 0.55, 0.65
CHARACTER_IN = 0.085  # width of a character of a row's name at 9 pt


def colours_of(rows: Sequence[str]) -> dict[str, str]:
    """Row -> colour: the same in every figure of a report."""
    return {row: PALETTE[k % len(PALETTE)] for k, row in enumerate(rows)}


def _panels(count: int, height_in: float, left_in: float, gap_in: float = 0.4) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, COLUMNS to a line, with fixed margins (a layout engine is slow)."""
    from matplotlib.figure import Figure

    across, down = min(count, COLUMNS), math.ceil(count / COLUMNS)
    width = left_in + across * PANEL_WIDTH_IN + (across - 1) * gap_in + RIGHT_IN
    height = down * (height_in + TOP_IN + BOTTOM_IN)
    figure = Figure(figsize=(width, height))
    axes = []
    for k in range(count):
        line, place = divmod(k, COLUMNS)
        left = left_in + place * (PANEL_WIDTH_IN + gap_in)
        bottom = height - (line + 1) * (height_in + TOP_IN + BOTTOM_IN) + BOTTOM_IN
        box = (left / width, bottom / height, PANEL_WIDTH_IN / width, height_in / height)
        axes.append(figure.add_axes(box))
    return figure, axes


def _svg(figure: Figure, name: str) -> str:
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(
            text, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def draw_figures(
    rows: Rows,
    tables: Sequence[Table],
    comparisons: dict[str, list[ColumnComparison]],
    cells: Sequence[Cell],
    alpha: float,
) -> dict[str, str]:
    """Name -> SVG text of every figure of a report; figures that would be empty are not there."""
    import matplotlib

    drawn: dict[str, Figure | None] = {}
    colours = colours_of(rows.row_names())
    figures: dict[str, str] = {}
    with matplotlib.rc_context(STYLE):
        for table in tables:
            drawn[f"differences_{table.name}"] = _forest(table, comparisons[table.name], colours, alpha)
            drawn[f"distributions_{table.name}"] = _distributions(rows, table, colours)
            drawn[f"tradeoff_{table.name}"] = _tradeoff(table, cells, colours)
        for task in rows.task_names():
            drawn[f"curves_{task}"] = _curves(rows, task, colours)
        for name, figure in drawn.items():
            if figure is not None:
                figures[name] = _svg(figure, name)
    return figures


def _name_width(names: Sequence[str]) -> float:
    return max(0.5, 0.15 + CHARACTER_IN * max((len(name) for name in names), default=0))


def _row_axis(axes: Axes, names: Sequence[str], first: bool) -> None:
    axes.set_yticks(range(len(names)), names if first else [""] * len(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=3)


def _forest(
    table: Table, comparisons: Sequence[ColumnComparison], colours: dict[str, str], alpha: float
) -> Figure | None:
    """Differences to the baseline with intervals; filled where significant after Holm."""
    shown = [found for found in comparisons if found.against_baseline]
    if not shown:
        return None
    names = [
        row
        for row in table.rows
        if any(comparison.row == row for found in shown for comparison in found.against_baseline)
    ]
    figure, panels = _panels(len(shown), 0.24 * len(names) + 0.25, _name_width(names))
    for k, (axes, found) in enumerate(zip(panels, shown, strict=True)):
        axes.axvline(0, color=INK, linewidth=0.8)
        for comparison in found.against_baseline:
            place, difference = names.index(comparison.row), comparison.difference
            colour = colours[comparison.row]
            if difference.low is not None and difference.high is not None:
                axes.plot([difference.low, difference.high], [place, place], color=colour, linewidth=1.6)
            fill = colour if comparison.p_holm <= alpha else "none"
            axes.plot([difference.value], [place], marker="o", markersize=5, color=colour, markerfacecolor=fill)
        _row_axis(axes, names, k % COLUMNS == 0)
        axes.set_title(label(found.column), loc="left")
        axes.set_xlabel(f"minus {found.baseline}  (better {RIGHT if found.column.higher_is_better else LEFT})")
    return figure


def _distributions(rows: Rows, table: Table, colours: dict[str, str]) -> Figure | None:
    """Boxes of the per-image seed means: median, quartiles, whiskers to 1.5 IQR, and every image beyond."""
    columns = [column for column in table.metrics if column.of == "image" and _samples(rows, table, column)]
    if not columns:
        return None
    names = [row for row in table.rows if (row, table.task) in rows.measured]
    figure, panels = _panels(len(columns), 0.24 * len(names) + 0.25, _name_width(names))
    for k, (axes, column) in enumerate(zip(panels, columns, strict=True)):
        samples = _samples(rows, table, column)
        shown = [row for row in names if row in samples]
        boxes = axes.boxplot(
            [samples[row] for row in shown], positions=[names.index(row) for row in shown], orientation="horizontal",
            widths=0.55, patch_artist=True, manage_ticks=False, medianprops={"color": INK, "linewidth": 1.2},
            flierprops={"marker": ".", "markersize": 3, "markeredgecolor": INK, "alpha": 0.6},
            whiskerprops={"color": INK, "linewidth": 0.8}, capprops={"visible": False}, boxprops={"linewidth": 0},
        )  # fmt: skip
        for row, box in zip(shown, boxes["boxes"], strict=True):
            box.set_facecolor(colours[row])
            box.set_alpha(0.75)
        _row_axis(axes, names, k % COLUMNS == 0)
        axes.set_title(label(column), loc="left")
    return figure


def _samples(rows: Rows, table: Table, column: Column) -> dict[str, np.ndarray]:
    samples = {}
    for row in table.rows:
        measured = rows.measured.get((row, table.task))
        values = measured.values.get(column.metric) if measured else None
        if values is not None and (mask := finite_images(values)).any():
            samples[row] = values[:, mask].mean(axis=0)
    return samples


def _tradeoff(table: Table, cells: Sequence[Cell], colours: dict[str, str]) -> Figure | None:
    """Perception against distortion (Blau & Michaeli 2018): the first PSNR by the first perceptual distance."""
    across = next((column for column in table.metrics if column.metric.startswith("psnr")), None)
    upward = next((column for column in table.metrics if column.metric.startswith(PERCEPTUAL)), None)
    if across is None or upward is None:
        return None
    found = {(cell.row, cell.metric): cell for cell in cells if cell.table == table.name and cell.value is not None}
    shown = [row for row in table.rows if (row, across.metric) in found and (row, upward.metric) in found]
    if len(shown) < 2:
        return None
    figure, (axes,) = _panels(1, 2.6, 0.8)
    width, height = 6.2, figure.get_figheight()  # wider than a panel: the legend stands at the right
    figure.set_figwidth(width)
    axes.set_position((0.8 / width, BOTTOM_IN / height, 3.4 / width, 2.6 / height))
    for row in shown:
        x, y = found[row, across.metric], found[row, upward.metric]
        at_x, at_y = float(x.value or 0), float(y.value or 0)
        if x.ci_low is not None and x.ci_high is not None:
            axes.plot([x.ci_low, x.ci_high], [at_y, at_y], color=colours[row], linewidth=1, alpha=0.6)
        if y.ci_low is not None and y.ci_high is not None:
            axes.plot([at_x, at_x], [y.ci_low, y.ci_high], color=colours[row], linewidth=1, alpha=0.6)
        axes.plot([at_x], [at_y], marker="o", markersize=6, linestyle="none", color=colours[row], label=row)
    axes.set_xlabel(f"{label(across)}   less distortion {RIGHT if across.higher_is_better else LEFT}")
    axes.set_ylabel(f"{upward.metric} {UP if upward.higher_is_better else DOWN}   better perception")
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


def _curves(rows: Rows, task: str, colours: dict[str, str]) -> Figure | None:
    """Total loss, validation metrics and learning rate: a thin line per seed, a thick one for the mean."""
    home = dict(reversed(list(rows.records)))  # curves carry no task: they stand with the row's first one
    curves = [curve for curve in rows.curves if home[curve.row] == task and _is_shown(curve.name)]
    names = sorted(
        {curve.name for curve in curves}, key=lambda name: (name != "loss_total", name == "learning_rate", name)
    )
    if not names:
        return None
    figure, panels = _panels(len(names), 1.7, 0.75, GAP_IN)
    for axes, name in zip(panels, names, strict=True):
        of_name = [curve for curve in curves if curve.name == name]
        for row in dict.fromkeys(curve.row for curve in of_name):
            _curve_lines(axes, [curve for curve in of_name if curve.row == row], colours[row])
        if name.startswith("loss") and all((curve.values > 0).all() for curve in of_name):
            axes.set_yscale("log")
        axes.set_title(name, loc="left")
        axes.set_xlabel("step")
    rows_shown = list(dict.fromkeys(curve.row for curve in curves))
    from matplotlib.lines import Line2D

    height = figure.get_figheight() + 0.22 * math.ceil(len(rows_shown) / 4)
    for axes in panels:
        left, bottom, width, tall = axes.get_position().bounds
        share = figure.get_figheight() / height
        axes.set_position((left, bottom * share + 1 - share, width, tall * share))
    figure.set_figheight(height)
    handles = [Line2D([], [], color=colours[row], linewidth=2, label=row) for row in rows_shown]
    figure.legend(
        handles=handles, loc="lower left", ncols=min(4, len(handles)) if len(names) > 1 else 2, bbox_to_anchor=(0, 0)
    )
    return figure


def _is_shown(name: str) -> bool:
    return name in ("loss_total", "learning_rate") or name.endswith("_val")


def _curve_lines(axes: Axes, seeds: Sequence[Curve], colour: str) -> None:
    for curve in seeds:
        axes.plot(curve.steps, curve.values, color=colour, linewidth=0.7, alpha=0.55 if len(seeds) > 1 else 0)
    common = sorted(set.intersection(*(set(curve.steps.tolist()) for curve in seeds)))
    if common:
        mean = np.mean([curve.values[np.isin(curve.steps, common)] for curve in seeds], axis=0)
        axes.plot(common, mean, color=colour, linewidth=1.8)
