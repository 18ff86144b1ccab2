"""The probe of networks (YODA's Table 5), and the throughput that stands apart from it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from probe_tools import MadeUp, flat, look

from srledger.config import Params
from srledger.io import read_json, write_json
from srledger.layout import Layout
from srledger.packs import PackWriter
from srledger.plugins import plugin_config
from srledger.prior_maps import precompute_prior
from srledger.probes import Quantity
from srledger.probes.backbones import Backbones, Config
from srledger.reporting.published import read_published
from srledger.settings import PriorSpec
from srledger.tracking.machine import write_machine_table

PUBLISHED = Path(__file__).parents[2] / "published"


@pytest.fixture(scope="module")
def quick() -> Params:
    return Params.load(scale="quick")


def test_sizes_are_counted_and_papers_stand_beside(quick: Params) -> None:
    probe = Backbones(
        Config(task="faces_x4", encoders=("tiny_dino_vit", "random_vit", "tiny_dino_resnet", "dino_vits8"))
    )
    source = MadeUp([flat(0, 32)], {})
    source.params = quick
    shown = probe.show(probe.measure(source), look(published=read_published(PUBLISHED)))
    lines = {str(line[0]): line for line in shown.tables[0].lines}
    kind, learned, weights, parameters, printed, side, tokens, rate = lines["tiny_dino_vit"][1:]
    assert (kind, weights, side, tokens) == ("transformer", "at hand", 32, 64) and printed == rate == ()
    assert "self-distillation" in str(learned)
    width, hidden, depth = 96, 192, 3  # of a block: attention, MLP, two norms; then patches, tokens, the last norm
    block = 4 * width * width + 4 * width + 2 * width * hidden + hidden + width + 4 * width
    assert isinstance(parameters, Quantity)
    assert (
        round(parameters.value * 1e6) == depth * block + 3 * 16 * width + width + (1 + 64) * width + width + 2 * width
    )
    assert lines["random_vit"][2] == "nothing: weights as they were drawn"
    assert lines["random_vit"][3] == "at hand"
    assert lines["tiny_dino_resnet"][3] == "unavailable: scale quick has no encoder 'tiny_dino_resnet'"
    _, learned, weights, parameters, printed, *sizes, rate = lines["dino_vits8"][1:]
    assert str(weights).startswith("unavailable: weights 'dino_vits8'") and parameters is None and sizes == [None, None]
    assert [one.value for one in (*printed, *rate)] == ["21", "180"] and "ImageNet" in str(learned)
    assert any("A100" in note for note in shown.tables[0].notes)


def test_the_stage_notes_its_throughput_and_the_machine_table_takes_it(quick: Params, tmp_path: Path) -> None:
    layout = Layout("quick", tmp_path)
    for split in ("train", "val", "test"):
        with (
            PackWriter(layout.packs("faces_x4") / f"{split}_hr", np.uint8) as hrs,
            PackWriter(layout.packs("faces_x4") / f"{split}_lr", np.uint8) as lrs,
        ):
            hrs.add(split, flat(0, 16))
            lrs.add(split, flat(0, 4))
    write_json(
        layout.packs("faces_x4") / "images.json", [{"id": name, "landmarks": None} for name in ("train", "val", "test")]
    )
    spec = PriorSpec("gaussian", "gaussian", plugin_config("priors", "gaussian")(), ("faces_x4",))
    assert precompute_prior(quick, spec, layout, layout.prior("gaussian")) == (3, 0)
    noted = read_json(layout.machine() / "gaussian.precompute_priors.json")
    assert noted["images_per_s"] > 0 and noted["threads"] is None
    write_json(layout.machine() / "gone.precompute_priors.json", noted | {"row": "gone"})
    write_json(layout.machine() / "sr3.train.seed0.json", noted | {"row": "sr3", "stage": "train", "seed": 0})
    assert write_machine_table(quick, layout) == 2
    with (layout.report() / "machine.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["row"], line["stage"], line["threads"]) for line in lines] == [
        ("gaussian", "precompute_priors", ""), ("sr3", "train", "")
    ]  # fmt: skip
    assert float(lines[0]["images_per_s"]) == noted["images_per_s"]
