"""The probe of intermediate states: on real samplers with untrained networks, whose steps can be worked out."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from probe_tools import look, noise

from srledger.diffusion.images import upsample
from srledger.evaluation.config import EvaluationConfig
from srledger.evaluation.restore import to_8_bits
from srledger.layout import Layout
from srledger.methods import Method
from srledger.packs import PackWriter
from srledger.plugins import plugin_class, plugin_config
from srledger.probes import ProbeUnavailable
from srledger.probes._tables import arrays
from srledger.probes.trajectory import Config, Trajectory, shown_steps
from srledger.probing.source import Images, Source
from srledger.reporting.pictures import Picture
from srledger.training.batches import Examples, to_tensor

SIDE, STEPS, COUNT = 16, 4, 5
DIFFUSION = {"train_steps": 8, "sampling_steps": STEPS, "lower_bound": 0.5}
SR3 = {"width": 8, "multipliers": (1,), "blocks": 1, "attention_levels": (), "norm_groups": 4, "dropout": 0.0}
SRDIFF = {"width": 8, "multipliers": (1, 1), "encoder_width": 4, "encoder_blocks": 1, "encoder_growth": 4}
METHODS = {
    "sr3": ("sr3", SR3 | DIFFUSION, "ones"),
    "sr3_yoda": ("sr3", SR3 | DIFFUSION, "half"),
    "srdiff": ("srdiff", SRDIFF | DIFFUSION, "ones"),
    "averaged": ("sr3", SR3 | DIFFUSION | {"samples": 2}, "ones"),
    "bicubic": ("bicubic", {}, "ones"),
}


class Untrained(Source):
    """Rows with weights as they are drawn; packs, batches, noise and samplers are the pipeline's."""

    def __init__(self, root: Path, rows: tuple[str, ...]) -> None:
        layout = Layout("test", root)
        params: Any = types.SimpleNamespace(evaluation=EvaluationConfig(batch_size=3, threads=1))
        super().__init__(params, layout, "faces", {row: row for row in rows}, lambda words: None)
        packs = layout.packs("faces")
        half = np.zeros((SIDE, SIDE, 1), np.float16)
        half[:, : SIDE // 2] = 1
        with PackWriter(packs / "test_hr", np.uint8) as hrs, PackWriter(packs / "test_lr", np.uint8) as lrs:
            for k in range(COUNT):
                hrs.add(f"img_{k}", noise(k, SIDE))
                lrs.add(f"img_{k}", noise(k, SIDE)[::4, ::4])
        for name, values in (("ones", np.ones((1, 1, 1), np.float16)), ("half", half)):
            with PackWriter(layout.prior(name) / "faces" / "test", np.float16) as maps:
                for k in range(COUNT):
                    maps.add(f"img_{k}", values)

    def result(self, row: str) -> dict[str, Any]:
        return {"n_test": COUNT, "seeds": [0]}

    def _evaluation(self, row: str) -> Any:
        return types.SimpleNamespace(row=types.SimpleNamespace(trained=types.SimpleNamespace(name=row)))

    def _saved(self, row: str, ids: Any) -> Images | None:
        return None

    def _ready(self, row: str, seed: int) -> tuple[Method, Examples]:
        name, settings, prior = METHODS[row]
        torch.manual_seed(seed)
        method = plugin_class("methods", name)(plugin_config("methods", name)(**settings), 4).eval()
        return method, Examples(self.layout.packs("faces"), self.layout.prior(prior) / "faces", "test")

    def panel(self, metrics: Any) -> Any:
        from srledger.evaluation.measure import Panel

        return Panel(metrics, (), self.layout)


@pytest.fixture
def source(tmp_path: Path) -> Untrained:
    return Untrained(tmp_path, tuple(METHODS))


def test_what_is_traced_is_what_the_evaluation_made(source: Untrained) -> None:
    chains = list(source.chains("sr3_yoda", 0, 4))
    assert [one.positions for one in chains] == [[0, 1, 2], [3]], "whole batches of three, cut to the first four"
    assert all([state.step for state in one.states] == [4, 3, 2, 1] for one in chains)
    assert [tuple(one.states[0].z.shape) for one in chains] == [(3, 3, SIDE, SIDE), (1, 3, SIDE, SIDE)]
    traced = np.concatenate([one.restored.permute(0, 2, 3, 1).numpy() for one in chains])
    assert np.array_equal(traced, source.restored("sr3_yoda", 0, 4))
    assert list(source.chains("bicubic", 0, 4)) == []


def test_numbers_of_every_step(source: Untrained) -> None:
    found = Trajectory(Config(rows=tuple(METHODS), images=4)).measure(source)
    columns = arrays(found.table)
    assert found.facts["untraced"] == ["bicubic"] and found.facts["not_images"] == ["averaged", "srdiff"]
    areas = {
        row: columns["area"][(columns["row"] == row) & (columns["image_id"] == "img_3")].tolist() for row in METHODS
    }
    assert areas["sr3"] == areas["srdiff"] == areas["averaged"] == [1, 1, 1, 1] and areas["sr3_yoda"] == [
        0.5,
        0.5,
        1,
        1,
    ]
    assert np.isnan(columns["psnr_rgb"][np.isin(columns["row"], found.facts["not_images"])]).all()
    for row in ("sr3", "sr3_yoda"):
        last = (columns["row"] == row) & (columns["done"] == STEPS)
        for k, sr in enumerate(source.restored(row, 0, 4)):
            error = sr.astype(float) - source.hr(4)[k]
            assert columns["psnr_rgb"][last][k] == pytest.approx(10 * np.log10(255**2 / (error**2).mean()), abs=1e-3)
            assert columns["green"][last][k] == pytest.approx(error[..., 1].mean(), abs=1e-3), "the last estimate is it"


def test_pictures_hold_the_mask_and_the_lr_image_where_nothing_was_sampled(source: Untrained) -> None:
    found = Trajectory(Config(rows=("sr3_yoda", "srdiff"), images=4, pictures=2, shown_steps=3)).measure(source)
    assert set(found.pictures) == {"sr3_0", "sr3_1", "sr3_yoda_0", "sr3_yoda_1"}, (
        "of the first two images, where there are any"
    )
    assert found.facts["pictured"] == ["img_0", "img_1"]
    strip = found.pictures["sr3_yoda_1"]
    assert strip.shape == (3 * SIDE, 3 * SIDE, 3) and strip.dtype == np.uint8
    estimate, mask = strip[SIDE : 2 * SIDE, :SIDE], strip[2 * SIDE :]
    assert (
        (mask[:, : SIDE // 2] == 255).all()
        and not mask[:, SIDE // 2 : SIDE].any()
        and (mask[:, 2 * SIDE :] == 255).all()
    )
    enlarged = to_8_bits(upsample(to_tensor(source.lr(2)[1:]), 4))[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(estimate - enlarged)[:, SIDE // 2 :].max() <= 1 < np.abs(estimate - enlarged)[:, : SIDE // 2].max()
    assert np.array_equal(strip[SIDE : 2 * SIDE, 2 * SIDE :], source.restored("sr3_yoda", 0, 2)[1])


def test_what_a_report_shows(source: Untrained, tmp_path: Path) -> None:
    probe = Trajectory(Config(rows=tuple(METHODS), images=4, pictures=1, shown_steps=3))
    found = probe.measure(source)
    bare = probe.show(found, look(list(METHODS)))
    assert bare.pictures == (), "without leave there are numbers alone"
    lines = {(line[0], line[1]): line for line in bare.tables[0].lines}
    assert list(lines)[:3] == [("sr3", "1 of 4"), ("sr3", "2 of 4"), ("sr3", "4 of 4")]
    assert lines["sr3_yoda", "1 of 4"][3].value == 0.5 and lines["srdiff", "4 of 4"][4:] == (None, None, None)
    assert lines["sr3", "4 of 4"][2] == 4 and "bicubic: its method shows no steps." in bare.notes
    assert "<svg" in bare.figures[0].svg and any(note.startswith("srdiff: ") for note in bare.notes)

    own = {}
    for name, pixels in found.pictures.items():
        own[name] = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(own[name])
    for name, pack in (("lr", source.lr(1)[0]), ("hr", source.hr(1)[0])):
        Image.fromarray(pack).save(tmp_path / f"{name}.png")
    beside = Picture("faces", "img_0", tmp_path / "lr.png", tmp_path / "hr.png", {})
    (alone,) = probe.show(found, look(list(METHODS), own=own)).pictures
    (picture,) = probe.show(found, look(list(METHODS), own=own, pictures=lambda task: [beside])).pictures
    (tmp_path / "a.png").write_bytes(alone.png)
    (tmp_path / "b.png").write_bytes(picture.png)
    with Image.open(tmp_path / "a.png") as a, Image.open(tmp_path / "b.png") as b:
        assert b.width > a.width and b.height == a.height > 2 * 3 * 96, (
            "two rows of three lines, LR and HR at the right"
        )


def test_rows_without_steps_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ProbeUnavailable, match="samples in steps"):
        Trajectory(Config(rows=("bicubic",))).measure(Untrained(tmp_path, ("bicubic",)))


def test_steps_are_spread_evenly_with_both_ends() -> None:
    assert shown_steps(20, 6) == [1, 5, 9, 12, 16, 20] and shown_steps(3, 6) == [1, 2, 3] and shown_steps(1, 6) == [1]
