"""What would be left of the differences without the colour shift (YODA, Table 2)?"""

from __future__ import annotations

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
    ShownCell,
    ShownLine,
    ShownTable,
)
from srledger.probes._tables import arrays, seeds_by_images, table_of
from srledger.probing.source import Source, measure_images

MATCHED_TO = {"": "as it is", "_mean_matched": "means of HR", "_lr_mean_matched": "means of LR"}


class Config(RowsConfig):
    """The rows, and the metrics that are measured again."""

    metrics: tuple[str, ...] = Field(
        default=("psnr_rgb", "ssim_rgb", "lpips_alex", "squeezenet_distance"), description="metrics of single images"
    )


class MeanMatched(Probe):
    """The channel means of every restored image are set to those of another image, and it is measured again.

    Means of HR: SR' = SR - mean(SR) + mean(HR) per image and channel, as the paper has it. This reads the answer, so
    no method could do it. Means of LR: the same with the LR image, which every method has.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        count, lines = self.config.images, []
        panel = source.panel(self.config.metrics)
        per_image = [name for name, (_, metric) in panel.metrics.items() if metric.of == "image"]
        if not per_image:
            raise ProbeUnavailable("none of its metrics can be had: " + "; ".join(panel.unavailable.values()))
        hr, lr, ids = source.hr(count), source.lr(count), source.ids(count)
        for row, seed in source.trained(self.config.seeds):
            sr = source.restored(row, seed, count)
            source.say(f"{row}, seed {seed}, matched")
            for matched, target in (("", None), ("_mean_matched", hr), ("_lr_mean_matched", lr)):
                images = sr if target is None else [match_means(a, b) for a, b in zip(sr, target, strict=True)]
                values = measure_images(panel, images, hr)
                columns = [values.get(name, [np.nan] * len(ids)) for name in per_image]
                lines += [(row, matched, seed, *line) for line in zip(ids, *columns, strict=True)]
        kept = [name for name in per_image if name in panel.metrics]
        types = {"row": str, "matched": str, "seed": int, "image_id": str, **dict.fromkeys(per_image, float)}
        from srledger.evaluation.measure import metric_info

        facts = {"metrics": {name: metric_info(name) for name in kept}, "unavailable": dict(panel.unavailable)}
        return Measured(table_of(types, lines).select([name for name in types if name not in per_image] + kept), facts)

    def show(self, found: Measured, look: Look) -> Shown:
        columns, infos = arrays(found.table), found.facts["metrics"]
        lines: list[ShownLine] = []
        for row in look.rows:
            for matched, words in MATCHED_TO.items():
                here = (columns["row"] == row) & (columns["matched"] == matched)
                cells: list[ShownCell] = []
                for name, info in infos.items():
                    values = seeds_by_images(columns, here, name)
                    cells += [Quantity.of(look.mean(values, row), info["digits"]), look.printed(row + matched, name)]
                lines.append((row, words, len(set(columns["image_id"][here].tolist())), *cells))
        head: list[str] = ["row", "channel means", "n"]
        for name, info in infos.items():
            unit = f" ({info['unit']})" if info["unit"] else ""
            head += [name + unit, f"{name}, published"]
        empty = {
            k for k, name in enumerate(head) if name.endswith(", published") and not any(line[k] for line in lines)
        }
        shown = [tuple(cell for k, cell in enumerate(line) if k not in empty) for line in lines]
        notes = [f"{name}: {info['protocol']}." for name, info in infos.items()]
        notes += [f"{name}: unavailable: {why}" for name, why in found.facts["unavailable"].items()]
        table = ShownTable(
            "metrics", "Metrics before and after the channel means are matched",
            tuple(name for k, name in enumerate(head) if k not in empty), tuple(shown), tuple(notes),
        )  # fmt: skip
        return Shown(tables=(table,), notes=(_gain(columns, infos, look),))


def match_means(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``image`` with the channel means of ``target`` (of any size), clipped and rounded; uint8 ``H x W x 3``."""
    shift = target.mean(axis=(0, 1)) - image.mean(axis=(0, 1))
    return np.round(np.clip(image + shift, 0, 255)).astype(np.uint8)


def _gain(columns: dict[str, np.ndarray], infos: dict[str, object], look: Look) -> str:
    """In words: by how much each row gains in the first metric."""
    name = next(iter(infos))
    gains = []
    for row in look.rows:
        of_row = columns["row"] == row
        before, after = (
            seeds_by_images(columns, of_row & (columns["matched"] == matched), name)
            for matched in ("", "_mean_matched")
        )
        gain = Quantity.of(look.mean(after - before, row), 2)
        ends = f" [{gain.low:+.2f}, {gain.high:+.2f}]" if gain.low is not None and gain.high is not None else ""
        gains.append(f"{row} {gain.value:+.2f}{ends}")
    return f"What matching the means of HR brings in {name}: {', '.join(gains)}."
