"""Heatmaps after they were made: what the gate says of those that are empty, and the probe from image to weight."""

from __future__ import annotations

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heatmap_tools import Finds, detections, heatmap, noise
from PIL import Image
from probe_tools import look

from srledger.gates import Gate
from srledger.gates import priors as gate
from srledger.gates.engine import Engine
from srledger.io import write_json
from srledger.layout import Layout
from srledger.packs import Pack, PackWriter
from srledger.plugins import plugin_class, plugin_config
from srledger.prior_maps import precompute_prior
from srledger.priors import Prior
from srledger.probes._tables import arrays
from srledger.probes.heatmaps import Config, Heatmaps, draw_boxes
from srledger.probing.source import Source
from srledger.settings import PriorSpec

SIDE = 32
BOXES = (("eye", 0.9, (4, 4, 16, 12)), ("eye", 0.2, (18, 4, 30, 12)), ("mouth", 0.4, (8, 20, 24, 28)))


class Made:
    """Images of one task, some of them black, and the heatmaps that the stage's own function makes of them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, black: Sequence[str] = ()) -> None:
        self.layout = Layout("test", root)
        packs, records = self.layout.packs("faces"), []
        for split in ("train", "val", "test"):
            with PackWriter(packs / f"{split}_hr", np.uint8) as hrs, PackWriter(packs / f"{split}_lr", np.uint8) as lrs:
                for k in range(3):
                    name = f"{split}_{k}"
                    pixels = noise(SIDE, k) * (name not in black)
                    hrs.add(name, pixels)
                    lrs.add(name, pixels[::4, ::4])
                    records.append({"id": name, "landmarks": None})
        write_json(packs / "images.json", records)
        self.heat = heatmap(detector=Finds(*BOXES))
        self.priors: dict[str, Prior] = {"heat": self.heat, "random": _on(self.heat, "random_boxes")}
        self.priors["shuffled"] = _on(self.heat, "shuffled")
        specs = {name: PriorSpec(name, _plugin(made), made.config, ("faces",)) for name, made in self.priors.items()}
        task = types.SimpleNamespace(active=True)
        self.params: Any = types.SimpleNamespace(scale="test", priors=specs, tasks={"faces": task})
        for module in ("srledger.prior_maps", "srledger.gates.priors"):  # the detector is no plug-in
            monkeypatch.setattr(f"{module}.build_prior", lambda spec, layout: self.priors[spec.name])
        self.counts = {
            name: precompute_prior(self.params, spec, self.layout, self.layout.prior(name))
            for name, spec in specs.items()
        }

    def gates(self, prior: str) -> dict[str, Gate]:
        found = gate.gates_of(f"{prior}/faces", self.params, self.layout)
        return {one.name.rpartition("/")[2]: one for one in found}


def _on(base: Prior, name: str) -> Prior:
    return plugin_class("priors", name)(plugin_config("priors", name)(of="heat"), base)


def _plugin(made: Prior) -> str:
    return type(made).__module__.rpartition(".")[2]


def results(engine: Engine, gate: Gate) -> dict[str, dict[str, Any]]:
    return {check["title"]: check for check in engine.run(gate)["checks"]}


def test_empty_maps_are_counted_and_told_and_stop_only_where_all_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path / "docs")
    made = Made(tmp_path / "some", monkeypatch, black=("train_1", "test_2"))
    assert made.counts == {"heat": (9, 2), "random": (9, 2), "shuffled": (9, 2)}
    for name in made.priors:
        gates = made.gates(name)
        told = results(engine, gates["maps"])
        empty = told.pop("something was found in every image")
        assert not empty["success"] and empty["severity"] == "note"
        assert (empty["unexpected_count"], empty["element_count"]) == (2, 9)
        assert all(check["success"] for check in told.values()) and "no map is constant" not in told
        whole = results(engine, gates["whole"])
        assert whole["something was found in some image"]["success"]
        rare = whole["something was found in more than 95% of the images"]
        assert not rare["success"] and rare["severity"] == "note"
        assert rare["unexpected"] == [[f"{name}/faces", pytest.approx(2 / 9, abs=1e-6)]]
    assert {name for name, _ in empty["unexpected"]} != {"train_1", "test_2"}, "shuffled hands them on to others"
    nothing = Made(
        tmp_path / "none", monkeypatch, [f"{split}_{k}" for split in ("train", "val", "test") for k in (0, 1, 2)]
    )
    assert nothing.counts["heat"] == (9, 9)
    stopped = results(Engine(tmp_path / "other_docs"), nothing.gates("heat")["whole"])[
        "something was found in some image"
    ]
    assert not stopped["success"] and stopped["severity"] == "stop" and "confidence" in stopped["mend"]


class Seen(Source):
    """A source without rows."""

    def __init__(self, made: Made, priors: Sequence[str]) -> None:
        super().__init__(made.params, made.layout, "faces", {}, lambda words: None, priors=priors)


def test_the_probe_shows_boxes_heatmap_and_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(tmp_path, monkeypatch, black=("test_1",))
    priors = ("heat", "random", "shuffled")
    probe = Heatmaps(Config(task="faces", priors=priors, images=3, pictures=2))
    found = probe.measure(Seen(made, priors))
    columns = arrays(found.table)
    of_heat = {name: values[columns["prior"] == "heat"] for name, values in columns.items()}
    assert of_heat["image_id"].tolist() == ["test_0", "test_1", "test_2"]
    assert of_heat["boxes"].tolist() == [3, 0, 3] and of_heat["classes"].tolist() == [2, 0, 2]
    assert of_heat["alike"].tolist() == [0, 1, 0]
    maps = Pack(made.layout.prior("heat") / "faces" / "test")
    heat = maps.by_id("test_0")[..., 0].astype(float)
    assert heat.min() == 0 and heat.max() == 1
    assert of_heat["heat"][0] == pytest.approx(heat.mean()) and of_heat["heat"][1] == 0
    assert of_heat["weight"].tolist()[:2] == [pytest.approx((0.1 + 0.9 * heat**1.3).mean()), 1.0]
    assert set(columns["boxes"][columns["prior"] == "shuffled"]) == {-1}

    expected = {"hr_0", "hr_1"}
    expected |= {f"{prior}_{k}_{kind}" for prior in priors for k in (0, 1) for kind in ("map", "weight")}
    expected |= {f"{prior}_{k}_seen" for prior in ("heat", "random") for k in (0, 1)}
    assert set(found.pictures) == expected
    assert np.array_equal(found.pictures["heat_0_map"][..., 0], np.rint(heat * 255))
    weight = np.rint((0.1 + 0.9 * heat**1.3) * 255)
    assert np.abs(found.pictures["heat_0_weight"][..., 1] - weight).max() <= 1
    assert (found.pictures["heat_1_weight"] == 255).all() and not found.pictures["heat_1_map"].any()

    own = {}
    for name, pixels in found.pictures.items():
        own[name] = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(own[name])
    shown = probe.show(found, look(own=own))
    lines = {line[0]: line for line in shown.tables[0].lines}
    assert lines["heat"][1] == 3 and lines["heat"][2].value == pytest.approx(2)  # type: ignore[union-attr]
    assert lines["heat"][4].value == pytest.approx(1 / 3)  # type: ignore[union-attr]
    assert lines["shuffled"][2] is None and lines["shuffled"][3] is None
    assert [picture.name for picture in shown.pictures] == ["image_1", "image_2"]
    assert "test_0" in shown.pictures[0].caption and shown.pictures[0].png.startswith(b"\x89PNG")
    assert not probe.show(found, look()).pictures, "where pictures may not be shown, numbers alone are"


def test_boxes_are_drawn_where_they_are() -> None:
    seen = np.full((SIDE, SIDE, 3), 90, np.uint8)
    drawn = draw_boxes(seen, detections(*BOXES))
    assert drawn.shape == (256, 256, 3)
    orange, blue = (213, 94, 0), (0, 114, 178)  # eyes are blue, mouths orange
    assert tuple(drawn[12 * 8 - 1, 5 * 8]) == blue and tuple(drawn[28 * 8 - 1, 12 * 8]) == orange
    assert tuple(drawn[12 * 8 - 2, 10 * 8]) == blue, "the surest eye is thick"
    assert tuple(drawn[12 * 8 - 2, 26 * 8]) == (90, 90, 90) and tuple(drawn[12 * 8 - 1, 26 * 8]) == blue
    assert (drawn[30 * 8 :] == 90).all() and (seen == 90).all()
    edge = detections(("moustache", 0.5, (31.9, 31.9, 32, 32)), ("head", 0.5, (0, 0, 0.01, 32)))
    assert draw_boxes(seen, edge).shape == (256, 256, 3)
    assert np.array_equal(draw_boxes(seen, detections()), np.full((256, 256, 3), 90))
