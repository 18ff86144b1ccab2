"""The charts of the data page: how a dataset's images are spread, split over split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srledger.data import SPLITS
from srledger.reporting.figures import GAP_IN, PALETTE, STYLE, _panels, _svg

SPLIT_COLOURS = dict(zip(SPLITS, (PALETTE[0], PALETTE[8], PALETTE[1]), strict=True))
HEIGHT_IN, LEFT_IN = 1.6, 0.75
MOST_IMAGES_EACH = 30  # an identity with more images stands in the last bar


def draw_distributions(facts: Mapping[str, Any]) -> str:
    """SVG text: a panel per descriptor, and one for images per identity where the set has identities."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        panels = len(facts["descriptors"]) + (facts["identities"] is not None)
        figure, axes = _panels(panels, HEIGHT_IN, LEFT_IN, GAP_IN)
        for panel, (name, descriptor) in zip(axes, sorted(facts["descriptors"].items()), strict=False):
            for split, of_split in _in_order(descriptor["splits"]):
                shares = [100 * count / of_split["n"] for count in of_split["counts"]]
                _steps(panel, shares, descriptor["edges"], split)
            panel.set_title(name, loc="left")
            panel.set_xlabel(descriptor["about"], fontsize=7.5)
            panel.set_ylabel("% of images")
        if facts["identities"] is not None:
            _identities(axes[-1], facts["identities"]["splits"])
        for panel in axes:
            panel.set_ylim(bottom=0)
        return _svg(figure, f"distributions_{facts['dataset']}")


def _in_order(splits: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(split, splits[split]) for split in SPLITS if split in splits]


def _steps(panel: Any, shares: list[float], edges: list[float], split: str) -> None:
    colour = SPLIT_COLOURS[split]
    panel.stairs(shares, edges, color=colour, linewidth=1.4, zorder=2)
    if split == "train":  # the ground that the others are seen against
        panel.stairs(shares, edges, color=colour, fill=True, alpha=0.18, zorder=1)
    panel.locator_params(axis="both", nbins=4)


def _identities(panel: Any, splits: Mapping[str, Any]) -> None:
    """Percent of identities with 1, 2, ... images."""
    most = max(int(images) for of_split in splits.values() for images in of_split["images_each"])
    bars = min(most, MOST_IMAGES_EACH)
    for split, of_split in _in_order(splits):
        shares = [0.0] * bars
        for images, count in of_split["images_each"].items():
            shares[min(int(images), bars) - 1] += 100 * count / of_split["identities"]
        _steps(panel, shares, [k + 0.5 for k in range(bars + 1)], split)
    panel.locator_params(axis="x", integer=True)
    panel.set_title("identities", loc="left")
    panel.set_xlabel("images of one identity" + (f" (last: {bars} or more)" if most > bars else ""), fontsize=7.5)
    panel.set_ylabel("% of identities")
