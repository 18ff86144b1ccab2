"""Probes of prior maps: steps of pixels, areas of masks, on maps whose answers can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from probe_tools import MadeUp, flat, look

from srledger.probes._masks import MaskConfig, area_by_step, steps_of
from srledger.probes._tables import arrays
from srledger.probes.diffused_ratio import Config as RatioConfig
from srledger.probes.diffused_ratio import DiffusedRatio
from srledger.probes.mask_area import Config as AreaConfig
from srledger.probes.mask_area import MaskArea


def config(**more: object) -> MaskConfig:
    return MaskConfig(task="faces", priors=("a",), **more)


@pytest.mark.parametrize("rule", ["max", "sum"])
@pytest.mark.parametrize(("steps", "bound"), [(1, 0.0), (10, 0.3), (50, 0.29), (100, 0.29), (500, 1.0)])
def test_steps_are_those_of_the_masks_taken_one_by_one(rule: str, steps: int, bound: float) -> None:
    attention = np.round(np.random.default_rng(0).random((7, 9)), 2)
    settings = config(steps=steps, lower_bound=bound, rule=rule)
    raised = np.maximum(attention, bound) if rule == "max" else attention + bound
    masks = np.array([steps * raised + 1e-6 >= t for t in range(steps, 0, -1)])
    assert np.array_equal(steps_of(attention, settings), masks.sum(axis=0))
    assert np.allclose(area_by_step(attention, settings), masks.mean(axis=(1, 2)))


def test_no_pixel_has_fewer_steps_than_l_and_the_mask_only_grows() -> None:
    attention = np.linspace(0, 1, 64).reshape(8, 8)
    settings = config(steps=100, lower_bound=0.29)
    assert steps_of(attention, settings).min() == 29  # 100 x 0.29 is 28.999999999999996
    area = area_by_step(attention, settings)
    assert (np.diff(area) >= 0).all() and area[0] == 1 / 64 and area[-1] == 1


def test_a_pixel_of_attention_0_7_is_refined_in_70_percent_of_the_steps() -> None:
    assert steps_of(np.full((1, 1), 0.7), config(steps=500))[0, 0] == 350
    assert steps_of(np.full((1, 1), 0.7), config(steps=500, rule="sum"))[0, 0] == 500
    assert steps_of(np.full((1, 1), 0.1), config(steps=500, rule="sum"))[0, 0] == 200


def half_and_half() -> np.ndarray:
    return np.concatenate([np.ones((4, 8)), np.zeros((4, 8))])


def source(*priors: str) -> MadeUp:
    """Three images with the maps of ``priors``: what a scale makes."""
    maps = {"uniform": [np.ones((8, 8))] * 3, "half": [half_and_half()] * 3}
    return MadeUp([flat(0, 8)] * 3, {}, maps={prior: maps[prior] for prior in priors})


def test_ratio_of_made_up_maps() -> None:
    probe = DiffusedRatio(
        RatioConfig(task="faces", priors=("uniform", "made_elsewhere", "half"), steps=10, lower_bound=0.3)
    )
    found = probe.measure(source("uniform", "half"))
    columns = arrays(found.table)
    assert columns["ratio"][columns["prior"] == "half"] == pytest.approx([0.65] * 3)
    shown = probe.show(found, look())
    assert [line[0] for line in shown.tables[0].lines] == ["uniform", "half"]
    assert shown.tables[0].lines[0][2].value == 1 and shown.tables[0].lines[1][2].value == pytest.approx(0.65)
    assert "<svg" in shown.figures[0].svg and "half" in shown.figures[0].svg


def test_area_and_ideal_saving_of_made_up_maps() -> None:
    probe = MaskArea(AreaConfig(task="faces", priors=("half",), steps=10, lower_bound=0.3, looked_at=(0.5, 0.8)))
    found = probe.measure(source("half"))
    columns = arrays(found.table)
    assert columns["mean"].tolist() == [0.5] * 7 + [1.0] * 3 and columns["deviation"].tolist() == [0] * 10
    line = probe.show(found, look()).tables[0].lines[0]
    assert [line[1].value, line[2].value, line[3].value] == pytest.approx([0.5, 1.0, 0.65])
    assert line[4].value == pytest.approx(1 / 0.65)


def test_a_map_that_never_lets_a_pixel_in_has_no_saving() -> None:
    probe = MaskArea(AreaConfig(task="faces", priors=("none",), steps=10, lower_bound=0.0))
    found = probe.measure(MadeUp([flat(0, 8)], {}, maps={"none": [np.zeros((8, 8))]}))
    line = probe.show(found, look()).tables[0].lines[0]
    assert line[4].value == 0 and line[5] is None
