"""The speed and quality frontier: costs are counted, curves join what differs in steps alone, and who is dominated."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from probe_tools import MadeUp, flat, look

from srledger.methods import Method
from srledger.plugins import plugin_class, plugin_config
from srledger.probes import ProbeUnavailable
from srledger.probes.frontier import Config, Frontier, curves_of, not_dominated

INFOS = {
    "psnr_rgb": {"unit": "dB", "higher_is_better": True, "digits": 2, "protocol": "RGB", "of": "image"},
    "gmsd": {"unit": "", "higher_is_better": False, "digits": 4, "protocol": "grey", "of": "image"},
    "fed": {"unit": "", "higher_is_better": False, "digits": 2, "protocol": "encoder", "of": "set"},
}
SEEDS = {"sr3": [0, 1], "sr3__steps_4": [0, 1], "student": [0], "rrdb": [0], "bicubic": [0]}
QUALITY = {"sr3": 30.0, "sr3__steps_4": 28.0, "student": 27.0, "rrdb": 29.0, "bicubic": 25.0}
MACS = {"sr3": 50_000, "sr3__steps_4": 8_000, "student": 2_000, "rrdb": 9_000, "bicubic": None}


def result(row: str) -> dict[str, Any]:
    method = "sr3" if row.startswith(("sr3", "student")) else row
    changed = {"sr3": {"sampling_steps": 25}, "sr3__steps_4": {"sampling_steps": 4}, "student": {"sampling_steps": 1}}
    config = plugin_config("methods", method)(**changed.get(row, {}))
    sets = {"fed": {str(seed): {"value": 50 - QUALITY[row], "standard_error": 0.5, "n": 6} for seed in SEEDS[row]}}
    return {
        "method": method,
        "config": config.model_dump(mode="json"),
        "seeds": SEEDS[row],
        "macs": MACS[row],
        "teacher": "sr3" if row == "student" else None,
        "weights_of": "sr3" if "__" in row else None,
        "metric_info": INFOS,
        "image_metrics": ["psnr_rgb"] if row == "rrdb" else ["psnr_rgb", "gmsd"],
        "set_metrics": sets if row != "bicubic" else {},
        "n_test": 6,
    }


class Measured(MadeUp):
    """Rows with results as the evaluation writes them: six images, two seeds where the network was trained twice."""

    def __init__(self, rows: tuple[str, ...] = tuple(SEEDS)) -> None:
        super().__init__([flat(0)] * 6, {row: [] for row in rows})

    def result(self, row: str) -> dict[str, Any]:
        return result(row)

    def seeds(self, row: str, count: int = 1) -> list[int]:
        return SEEDS[row][:count]

    def values(self, row: str) -> pa.Table:
        lines = [(seed, f"img_{k}", QUALITY[row] + k - 2.5 + seed) for seed in SEEDS[row] for k in range(6)]
        seeds, ids, psnr = zip(*lines, strict=True)
        columns = {"seed": seeds, "image_id": ids, "psnr_rgb": psnr}
        if "gmsd" in result(row)["image_metrics"]:
            columns["gmsd"] = [1 / value for value in psnr]
        return pa.table(columns)


def shown_of(source: MadeUp, **config: Any) -> tuple[Any, dict[str, dict[str, Any]]]:
    probe = Frontier(Config(rows=source.rows, **config))
    shown = probe.show(probe.measure(source), look(source.rows))
    lines = {line[0]: dict(zip(shown.tables[0].head, line, strict=True)) for line in shown.tables[0].lines}
    return shown, lines


METRICS = ("psnr_rgb", "gmsd", "fed")


def test_costs_are_counted_and_qualities_are_means_over_seeds_and_images() -> None:
    shown, lines = shown_of(Measured(), metrics=METRICS)
    assert [lines[row]["network evaluations"] for row in SEEDS] == [25, 4, 1, 1, 0]
    assert [lines[row]["sampling steps"] for row in SEEDS] == [25, 4, 1, None, None]
    assert lines["sr3"]["multiply-adds (G)"].value == pytest.approx(5e-5)
    assert lines["bicubic"]["multiply-adds (G)"] is None
    assert lines["sr3"]["psnr_rgb (dB)"].value == pytest.approx(30.5)
    assert lines["rrdb"]["psnr_rgb (dB)"].value == pytest.approx(29)
    assert lines["rrdb"]["gmsd"] is None and lines["bicubic"]["fed"] is None
    assert lines["sr3"]["fed"].value == pytest.approx(20) and lines["sr3"]["fed"].low < 20 < lines["sr3"]["fed"].high
    assert lines["student"]["taught by"] == "sr3" and lines["sr3"]["taught by"] == ""
    assert [figure.name for figure in shown.figures] == [
        f"{name}_by_{cost}" for name in METRICS for cost in ("evaluations", "macs")
    ]


def test_fewer_images_and_seeds_may_be_asked_for() -> None:
    _, lines = shown_of(Measured(("sr3",)), metrics=("psnr_rgb",), images=2, seeds=1)
    assert lines["sr3"]["psnr_rgb (dB)"].value == pytest.approx(30 - 2)


def test_a_row_is_dominated_by_what_is_better_for_less() -> None:
    _, lines = shown_of(Measured(), metrics=METRICS)
    best = {row: lines[row]["not dominated in"] for row in SEEDS}
    assert best == {
        "sr3": "psnr_rgb, gmsd, fed", "sr3__steps_4": "psnr_rgb, gmsd, fed", "student": "psnr_rgb, gmsd, fed",
        "rrdb": "psnr_rgb, fed", "bicubic": "psnr_rgb, gmsd",
    }  # fmt: skip
    costs, means = {"a": 1.0, "b": 2.0, "c": 2.0, "d": 3.0}, {"a": 5.0, "b": 5.0, "c": 7.0, "d": 6.0}
    assert not_dominated(costs, means, True) == ["a", "c"]
    assert not_dominated(costs, means, False) == ["a"]
    assert not_dominated({"a": 1.0, "b": 1.0}, {"a": 5.0, "b": 5.0}, True) == ["a", "b"]


def test_a_curve_joins_rows_of_the_same_weights_that_differ_in_steps_alone() -> None:
    found = Frontier(Config(rows=tuple(SEEDS), metrics=METRICS)).measure(Measured())
    assert curves_of(found.facts["rows"], list(SEEDS)) == [["sr3__steps_4", "sr3"], ["student"], ["rrdb"], ["bicubic"]]


def test_figures_are_the_same_bytes_and_a_row_without_cost_is_a_line_across() -> None:
    first, _ = shown_of(Measured(), metrics=("psnr_rgb",))
    second, _ = shown_of(Measured(), metrics=("psnr_rgb",))
    assert [figure.svg for figure in first.figures] == [figure.svg for figure in second.figures]
    names = [name for name in ("sr3, 4, 25 steps", "bicubic") if name in first.figures[0].svg]
    assert names == ["sr3, 4, 25 steps", "bicubic"]
    alone, _ = shown_of(Measured(("bicubic",)), metrics=("psnr_rgb",))
    assert alone.figures == () and len(alone.tables[0].lines) == 1


def test_metrics_that_nobody_has_are_named_and_without_any_the_probe_is_unavailable() -> None:
    shown, _ = shown_of(Measured(), metrics=("psnr_rgb", "lpips_alex"))
    assert "lpips_alex: no row was measured by it" in shown.tables[0].notes
    with pytest.raises(ProbeUnavailable, match="by any of its metrics"):
        shown_of(Measured(), metrics=("lpips_alex",))


@pytest.mark.parametrize(
    ("method", "settings", "expected"),
    [
        ("bicubic", {}, 0),
        ("rrdb", {}, 1),
        ("landmark_unet", {}, 1),
        ("sr3", {"sampling_steps": 7, "samples": 3}, 21),
        ("srdiff", {"sampling_steps": 5}, 5),
        ("diffbir", {"sampling_steps": 50}, 50),
    ],
)
def test_network_evaluations_follow_from_the_settings(method: str, settings: dict[str, int], expected: int) -> None:
    plugin: type[Method] = plugin_class("methods", method)
    assert plugin.network_evaluations(plugin_config("methods", method)(**settings)) == expected


def test_a_sampler_evaluates_its_network_so_often() -> None:
    """What is said of SR3 is what it does."""
    import torch

    config = plugin_config("methods", "sr3")(
        sampling_steps=3, samples=2, width=8, multipliers=(1,), attention_levels=(), norm_groups=4
    )
    method = plugin_class("methods", "sr3")(config, 4).eval()
    seen: list[int] = []
    method.unet.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    with torch.inference_mode():
        method.restore(torch.rand(1, 3, 4, 4), torch.ones(1, 1, 16, 16), [1])
    assert sum(seen) == type(method).network_evaluations(config) == 6
