"""Interaction plots: a line per level of one factor over the levels of another, a panel per metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srledger.reporting.effect_words import EffectsView, cut_words
from srledger.reporting.effects import Profile
from srledger.reporting.figures import GAP_IN, INK, PALETTE, STYLE, _panels, _svg
from srledger.reporting.views import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT_IN, LEFT_IN = 1.7, 0.75
APART = 0.06  # of the distance between two levels: intervals of two lines must not hide each other


def draw_interactions(view: EffectsView) -> dict[str, str]:
    """Name -> SVG text, one figure for each question that has points."""
    import matplotlib

    figures = {}
    with matplotlib.rc_context(STYLE):
        for answer in view.answers:
            profiles = [(one.column, found) for one in view.columns if (found := one.profiles.get(answer.question))]
            if not profiles:
                continue
            figure, panels = _panels(len(profiles), HEIGHT_IN, LEFT_IN, GAP_IN)
            for k, (axes, (column, profile)) in enumerate(zip(panels, profiles, strict=True)):
                _lines(axes, profile)
                axes.set_title(label(column), loc="left")
                axes.set_xlabel(f"{answer.question.within}\n{cut_words(profile.cut)}".strip(), fontsize=7.5)
                if k == 0:
                    axes.legend(title=answer.question.factor, fontsize=7, title_fontsize=7, loc="best")
            figures[answer.figure] = _svg(figure, answer.figure)
    return figures


def _lines(axes: Axes, profile: Profile) -> None:
    levels, places = (list(dict.fromkeys(point[k] for point in profile.points)) for k in (0, 1))
    for k, level in enumerate(levels):
        colour = PALETTE[k % len(PALETTE)]
        aside = (k - (len(levels) - 1) / 2) * APART
        means = []
        for x, place in enumerate(places):
            point = profile.points[level, place]
            means.append(point.value)
            if point.low is not None and point.high is not None:
                axes.plot([x + aside] * 2, [point.low, point.high], color=colour, linewidth=1.6)
        at = [x + aside for x in range(len(places))]
        axes.plot(at, means, color=colour, marker="o", markersize=4, linewidth=1, label=level)
    axes.set_xticks(range(len(places)), places)
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.tick_params(axis="x", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="x")
    axes.locator_params(axis="y", nbins=4)
