"""How far a heatmap holds when its detector sees fewer pixels: the three numbers, and the probe on them."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from heatmap_tools import Finds, heatmap, image, noise
from probe_tools import MadeUp, look

from srledger.priors import PriorInput
from srledger.priors._boxes import OfBoxes
from srledger.probes import Quantity
from srledger.probes import heatmap_resolution as module
from srledger.probes._detection import reduced_and_back
from srledger.probes._tables import arrays
from srledger.probes.heatmap_resolution import Config, HeatmapResolution, correlation, near, soft_iou

FACE = np.array([[10.0, 12], [22, 12], [16, 18], [12, 24], [20, 24]])  # eyes 12 px apart
BOXES = (("eye", 0.9, (4, 4, 16, 16)), ("mouth", 0.4, (8, 20, 24, 28)))


def test_the_three_numbers() -> None:
    one = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    assert correlation(one, one) == pytest.approx(1) and correlation(one, 1 - one) == pytest.approx(-1)
    assert correlation(one, 0.25 * one + 0.5) == pytest.approx(1) and math.isnan(correlation(one, np.ones((32, 32))))
    assert correlation(one, one.T) == pytest.approx(np.corrcoef(one.ravel(), one.T.ravel())[0, 1], abs=1e-6)
    assert soft_iou(one, one) == 1 and soft_iou(one, one / 2) == pytest.approx(0.5)
    assert soft_iou(one, 0 * one) == 0 and soft_iou(0 * one, 0 * one) == 1


def test_mass_counts_within_a_quarter_of_the_eyes_distance() -> None:
    heat = np.zeros((32, 32), np.float32)
    heat[12, 13] = 3  # 3 px from the left eye: 0.25 IOD
    heat[8, 10] = 1  # 4 px from it
    assert near(heat, FACE) == pytest.approx(0.75)
    assert math.isnan(near(0 * heat, FACE)) and math.isnan(near(heat, None))


def test_fewer_pixels_tell_on_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    hrs = [noise(32, k) for k in range(3)]
    faces = {f"img_{k:02}": dataclasses.replace(image(hr, f"img_{k:02}"), landmarks=FACE) for k, hr in enumerate(hrs)}
    faces["img_02"] = dataclasses.replace(faces["img_02"], hr=np.zeros((32, 32, 3), np.uint8))  # nothing is found
    prior = heatmap(detector=Finds(*BOXES))

    @contextlib.contextmanager
    def boxed(source: object, name: str) -> Iterator[tuple[OfBoxes, Mapping[str, PriorInput]]]:
        yield prior, faces

    monkeypatch.setattr(module, "boxed_prior", boxed)
    monkeypatch.setattr(module, "has_boxes", lambda source, name: name == "heat")
    source = MadeUp(hrs, {})
    source.priors = ("heat", "flat")
    monkeypatch.setattr(source, "ids", lambda images=None: list(faces))
    probe = HeatmapResolution(Config(task="faces", priors=("heat", "flat"), sides_px=(64, 32, 16, 8)))
    found = probe.measure(source)
    columns = arrays(found.table)
    assert set(columns["prior"]) == {"heat"} and sorted(set(columns["side_px"])) == [8, 16, 32]
    whole = {name: columns[name][columns["side_px"] == 32] for name in columns}
    assert whole["pearson"][:2] == pytest.approx(1) and whole["soft_iou"] == pytest.approx(1)
    assert whole["empty"].tolist() == [0, 0, 1] and math.isnan(whole["pearson"][2]) and math.isnan(whole["near"][2])
    small = columns["pearson"][columns["side_px"] == 8][:2]
    assert (small < 0.99).all()
    seen = dataclasses.replace(faces["img_00"], hr=reduced_and_back(hrs[0], 8))
    assert small[0] == pytest.approx(correlation(prior.map_of(seen), prior.map_of(faces["img_00"])), abs=1e-5)
    (table,) = probe.show(found, look()).tables
    cells = {(line[0], line[1]): line for line in table.lines}
    empty = cells["heat", 32][5]
    assert isinstance(empty, Quantity) and empty.value == pytest.approx(1 / 3)
