"""How an image comes about, step by step: z, the estimate of the image, and the mask (YODA, Figures 4 and 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from srledger.probes import (
    Look,
    Measured,
    Probe,
    ProbeUnavailable,
    Quantity,
    RowsConfig,
    Shown,
    ShownFigure,
    ShownLine,
    ShownPicture,
    ShownTable,
)
from srledger.probes._colour import CHANNELS, brightness_and_cast, mean_error
from srledger.probes._drawing import panels, style, svg
from srledger.probes._sheets import draw_sheet_of_panels
from srledger.probes._tables import arrays, names_in, seeds_by_images, table_of
from srledger.probing.source import Images, Source, measure_images
from srledger.reporting.pictures import Picture, enlarge, read_rgb

if TYPE_CHECKING:
    import torch

    from srledger.diffusion.sampler import State
    from srledger.probing.source import Chains

METRIC = "psnr_rgb"
KINDS = ("z", "estimate", "mask")
SHEET_PANEL_PX = 96
CURVES = {
    "area": "share of the image in the mask",
    METRIC: "PSNR of the estimate (dB)",
    "cast": "its cast (grey levels)",
}


class Config(RowsConfig):
    """The rows, and how much is shown of them."""

    images: int = Field(default=16, ge=1, description="the first test images, for the numbers")
    pictures: int = Field(default=3, ge=0, description="the first of them, for the pictures")
    shown_steps: int = Field(
        default=6, ge=2, description="steps in table and pictures, evenly spread, first and last in"
    )


class Trajectory(Probe):
    """Every step of a sampler: how much of the image takes part, and how good the estimate of the image is already.

    The estimate is what the network makes of z inside the mask, and the enlarged LR image outside, where nothing has
    been sampled yet. PSNR is that to HR; brightness and cast are of the mean error of its channels, in grey levels.
    Pictures show z, the estimate and the mask (white takes part).
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        count, lines = self.config.images, []
        pictures: dict[str, np.ndarray] = {}
        panel = source.panel((METRIC,))
        hr, lr, ids = source.hr(count), source.lr(count), source.ids(count)
        untraced, not_images = [], set()
        for row, seed in source.trained(self.config.seeds):
            source.say(f"{row}, seed {seed}, step by step")
            batches = list(source.chains(row, seed, count))
            if not batches and row not in untraced:
                untraced.append(row)
            for batch in batches:
                states = batch.states[: batch.states[0].steps]  # of several samples the first
                estimates = _estimates(batch, states, [lr[k] for k in batch.positions])
                if estimates is None:
                    not_images.add(row)
                for n, k in enumerate(batch.positions):
                    areas = [float(state.mask[n].float().mean()) for state in states]
                    values = (
                        _measured([one[n] for one in estimates], hr[k], panel)
                        if estimates
                        else [[np.nan] * 4] * len(areas)
                    )
                    lines += [
                        (row, seed, ids[k], state.steps - state.step + 1, state.steps, area, *numbers)
                        for state, area, numbers in zip(states, areas, values, strict=True)
                    ]
                    if estimates and k < self.config.pictures and seed == source.seeds(row)[0]:
                        at = [done - 1 for done in shown_steps(len(states), self.config.shown_steps)]
                        pictures[f"{row}_{k}"] = _strip([states[t] for t in at], [estimates[t][n] for t in at], n)
        if not lines:
            raise ProbeUnavailable("none of its rows samples in steps that can be seen")
        types = {"row": str, "seed": int, "image_id": str, "done": int, "steps": int, "area": float}
        table = table_of({**types, **dict.fromkeys((METRIC, *CHANNELS), float)}, lines)
        facts = {"untraced": untraced, "not_images": sorted(not_images), "pictured": ids[: self.config.pictures]}
        return Measured(table, facts, pictures)

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        columns |= brightness_and_cast(columns)
        rows = names_in(columns, "row")
        lines: list[ShownLine] = []
        for row in rows:
            steps = int(columns["steps"][columns["row"] == row][0])
            for done in shown_steps(steps, self.config.shown_steps):
                here = (columns["row"] == row) & (columns["done"] == done)
                values = {name: seeds_by_images(columns, here, name) for name in (*CURVES, "brightness")}
                cells = [
                    Quantity.of(look.mean(values[name], row), digits) if np.isfinite(values[name]).all() else None
                    for name, digits in (("area", 3), (METRIC, 2), ("brightness", 2), ("cast", 2))
                ]
                lines.append((row, f"{done} of {steps}", int(values["area"].shape[1]), *cells))
        head = ("row", "steps done", "n", "mask area", f"{METRIC} of the estimate (dB)", "brightness", "cast (RMS)")
        facts = found.facts
        notes = [f"{row}: its method shows no steps." for row in facts["untraced"]]
        notes += [
            f"{row}: what is sampled is no image (or several are averaged), so its mask alone is shown."
            for row in facts["not_images"]
        ]
        title = "What takes part, and what the estimate is worth, after so many steps"
        about = "Means over images, against the share of the steps that are done"
        return Shown(
            figures=(ShownFigure("steps", about, _draw(columns, rows, look)),),
            tables=(ShownTable("steps", title, head, tuple(lines)),),
            pictures=self._pictures(columns, facts["pictured"], look),
            notes=tuple(notes),
        )

    def _pictures(self, columns: Mapping[str, np.ndarray], ids: Sequence[str], look: Look) -> tuple[ShownPicture, ...]:
        beside = {picture.image_id: picture for picture in look.pictures(look.task)}
        found = []
        for k, image_id in enumerate(ids):
            strips = {row: read_rgb(look.own[f"{row}_{k}"]) for row in look.rows if f"{row}_{k}" in look.own}
            if strips:
                of_row = {row: int(columns["steps"][columns["row"] == row][0]) for row in strips}
                done = {row: shown_steps(steps, self.config.shown_steps) for row, steps in of_row.items()}
                labels = {row: [f"{step} of {of_row[row]}" for step in steps] for row, steps in done.items()}
                png = _sheet(strips, labels, beside.get(image_id))
                found.append(ShownPicture(f"image_{k + 1}", f"{image_id}, after so many steps", png))
        return tuple(found)


def shown_steps(steps: int, count: int) -> list[int]:
    """At most ``count`` of the numbers 1 to ``steps``, evenly spread, both ends among them."""
    return np.unique(np.round(np.linspace(1, steps, min(steps, count))).astype(int)).tolist()


def _estimates(batch: Chains, states: Sequence[State], lr: Images) -> list[Images] | None:
    """Step by step the estimates of a batch's images, uint8; None where what is sampled is not the image itself."""
    import torch

    from srledger.diffusion.images import symmetric, upsample
    from srledger.training.batches import to_tensor

    last = states[-1].z
    if len(batch.states) > len(states) or last.shape != batch.restored.shape:
        return None
    if not torch.equal(_picture(last), batch.restored):
        return None
    fill = symmetric(upsample(to_tensor(lr), last.shape[-1] // lr[0].shape[1]))
    found = [_picture(torch.where(state.mask, state.z0, fill)) for state in states]
    return [[image.permute(1, 2, 0).numpy() for image in step] for step in found]


def _picture(z: torch.Tensor) -> torch.Tensor:
    """Images in [-1, 1] as 8 bits."""
    from srledger.evaluation.restore import to_8_bits

    return to_8_bits((z + 1) / 2)


def _measured(estimates: Images, hr: np.ndarray, panel: Any) -> list[list[float]]:
    """Of each estimate of one image: its PSNR, and the mean error of its channels."""
    values = measure_images(panel, estimates, [hr] * len(estimates))[METRIC]
    return [[value, *mean_error(one, hr).tolist()] for value, one in zip(values, estimates, strict=True)]


def _strip(states: Sequence[State], estimates: Images, n: int) -> np.ndarray:
    """z, estimate and mask of one image under each other, the steps side by side."""
    z = [_picture(state.z[n]).permute(1, 2, 0).numpy() for state in states]
    masks = [
        np.repeat(np.where(state.mask[n, 0].numpy(), 255, 0).astype(np.uint8)[..., None], 3, axis=2) for state in states
    ]
    return np.concatenate([np.concatenate(line, axis=1) for line in (z, estimates, masks)])


def _sheet(strips: Mapping[str, np.ndarray], labels: Mapping[str, list[str]], beside: Picture | None) -> bytes:
    """Three lines per row; at the right LR and HR, where they are at hand."""
    lines: list[tuple[str, list[np.ndarray]]] = []
    for row, strip in strips.items():
        for k, line in enumerate(np.split(strip, len(KINDS))):
            lines.append((f"{row}: {KINDS[k]}", np.split(line, len(labels[row]), axis=1)))
    steps = list(labels.values())
    head = steps[0] if all(one == steps[0] for one in steps) else [""] * max(map(len, steps))
    if beside is not None:
        lr, hr = read_rgb(beside.lr), read_rgb(beside.hr)
        for (_, shown), panel in zip(lines, (enlarge(lr, max(1, hr.shape[0] // lr.shape[0])), hr), strict=False):
            shown.append(panel)
        head = [*head, "LR, HR"]
    return draw_sheet_of_panels(head, lines, SHEET_PANEL_PX)


def _draw(columns: Mapping[str, np.ndarray], rows: Sequence[str], look: Look) -> str:
    """A panel per curve, a line per row; steps of one share of all are means over seeds and images."""
    with style():
        figure, axes = panels(len(CURVES), 2.0)
        for axis, (name, words) in zip(axes, CURVES.items(), strict=True):
            for row in rows:
                here = columns["row"] == row
                done, where = np.unique(columns["done"][here], return_inverse=True)
                means = np.bincount(where, weights=columns[name][here]) / np.bincount(where)
                share = done / columns["steps"][here][0]
                axis.plot(share, means, color=look.colours[row], linewidth=1.6, label=row)
            axis.set_title(words, loc="left")
            axis.set_xlabel("share of the steps done")
            axis.set_xlim(0, 1)
        axes[0].legend(loc="lower right")
        return svg(figure, look, "steps")
