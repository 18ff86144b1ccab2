"""The probes stage without its networks: priors that a scale lacks, and pictures that a licence keeps at home."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srledger.config import Params
from srledger.io import read_json, write_json
from srledger.layout import Layout
from srledger.packs import PackWriter
from srledger.probes import INDEX, Look, MapsConfig, Measured, Probe, Shown
from srledger.probes._tables import table_of
from srledger.probing import run
from srledger.probing.source import Source
from srledger.reporting.probes_page import collect_probes
from srledger.settings import ProbeSpec


@pytest.fixture(scope="module")
def smoke() -> Params:
    return Params.load(scale="smoke")


def layout_with(root: Path, *priors: str) -> Layout:
    layout = Layout("smoke", root)
    for stem in (layout.packs("faces_x4") / "test_hr", *(layout.prior(name) / "faces_x4" / "test" for name in priors)):
        with PackWriter(stem, np.float16) as pack:
            pack.add("a", np.zeros((1, 1, 1), np.float16))
    return layout


def spec_of(*priors: str) -> ProbeSpec:
    return ProbeSpec("maps", "Maps", "mask_area", MapsConfig(task="faces_x4", priors=priors))


def test_priors_that_a_scale_does_not_make_are_passed_over(smoke: Params, tmp_path: Path) -> None:
    layout = layout_with(tmp_path, "uniform")
    record = run._prepare(smoke, layout, spec_of("dino_max", "uniform"))
    assert record is not None and record["priors"] == ["uniform"] and record["missing"] == {}
    assert set(record["inputs"]) == {"hr", "uniform/faces_x4"}
    assert run._prepare(smoke, layout, spec_of("dino_max")) is None


def test_a_prior_whose_weights_cannot_be_had_says_so(
    smoke: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "why_no_prior", lambda params, name: "no weights" if name == "landmark_gauss" else None)
    layout = layout_with(tmp_path, "uniform")
    record = run._prepare(smoke, layout, spec_of("landmark_gauss", "uniform"))
    assert record is not None and record["missing"] == {"landmark_gauss": "unavailable: no weights"}
    alone = run._prepare(smoke, layout, spec_of("landmark_gauss"))
    assert alone is not None and run._why_not(spec_of("landmark_gauss"), alone) == "none of its priors has maps"


class Pictured(Probe):
    """A probe that leaves a picture."""

    def measure(self, source: Source) -> Measured:
        return Measured(table_of({"x": int}, [(1,)]), {}, {"a_0": np.full((2, 3, 3), 7, np.uint8)})

    def show(self, found: Measured, look: Look) -> Shown:
        return Shown()


@pytest.mark.parametrize("may_stand", [True, False])
def test_pictures_go_where_the_licence_lets_them(
    smoke: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_stand: bool
) -> None:
    monkeypatch.setattr(run, "plugin_class", lambda kind, name: Pictured)
    layout = layout_with(tmp_path, "uniform")
    write_json(layout.packs("faces_x4") / "task.json", {"dataset": {"redistributable": may_stand}})
    record = run._prepare(smoke, layout, spec_of("uniform"))
    assert record is not None
    source: Any = types.SimpleNamespace(params=smoke)
    found = layout.probes()
    found.mkdir(parents=True)
    run._ask(spec_of("uniform"), source, record, layout, found)
    write_json(found / INDEX, [record])
    assert read_json(found / INDEX)[0]["status"] == "ok"
    committed, private = tmp_path / "committed", tmp_path / "private"
    collect_probes(layout, committed)
    collect_probes(layout, private, private=True)
    pictures = {folder: [path.name for path in folder.rglob("*.png")] for folder in (committed, private)}
    assert pictures == {committed: ["a_0.png"] if may_stand else [], private: ["a_0.png"]}
    assert (private / "probes" / "pictures" / "maps" / "a_0.png").exists()
    assert not list(private.rglob("restricted")) and not list(committed.rglob("restricted"))
