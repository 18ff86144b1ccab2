"""The gate of priors on tokens: what is whole passes, and each fault is named by its image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from srledger.config import Params
from srledger.gates import Gate
from srledger.gates.engine import Engine
from srledger.gates.priors import gates_of
from srledger.gates.token_grids import token_gates, token_line
from srledger.io import write_json
from srledger.layout import Layout
from srledger.packs import Pack, PackWriter
from srledger.pipeline_encoders import write_encoder
from srledger.prior_maps import precompute_prior

ENTRIES = {
    "encoders:\n": "  of_chance: { encoder: tiny_dino_vit, task: faces_x8, weights: random, config: "
    "{ patch_px: 8, width: 24, depth: 2, heads: 2, hidden: 32, size_px: 32 } }\n",
    "priors:\n": "  semantics: { prior: semantic_tokens, tasks: [faces_x8], config: { encoder: of_chance } }\n"
    "  of_others: { prior: shuffled, tasks: [faces_x8], config: { of: semantics } }\n",
}
SIZES = {"train": [(32, 32)] * 3, "val": [(32, 32)] * 2, "test": [(32, 32)] * 2}


class Made:
    """A task of noise, an encoder as it was drawn, and the tokens that it and its control give."""

    def __init__(self, root: Path) -> None:
        text = re.sub(r"(?m)^scale: \w+", "scale: smoke", (ROOT / "params.yaml").read_text(encoding="utf-8"))
        for block, entries in ENTRIES.items():
            text = text.replace(f"\n{block}", f"\n{block}{entries}", 1)
        (root / "params.yaml").write_text(text, encoding="utf-8")
        self.params, self.layout = Params.load(root), Layout("smoke", root)
        self.engine, self.runs = Engine(root / "docs"), 0
        rng, packs = np.random.default_rng(0), self.layout.packs("faces_x8")
        for split, sizes in SIZES.items():
            with (
                PackWriter(packs / f"{split}_hr", np.uint8) as hrs,
                PackWriter(packs / f"{split}_lr", np.uint8) as lrs,
            ):
                for k, (height, width) in enumerate(sizes):
                    hrs.add(f"{split}_{k}", rng.integers(0, 256, (height, width, 3), np.uint8))
                    lrs.add(f"{split}_{k}", rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8))
        ids = [f"{split}_{k}" for split, sizes in SIZES.items() for k in range(len(sizes))]
        write_json(packs / "images.json", [{"id": image_id, "landmarks": None} for image_id in ids])
        folder = Layout("smoke", root).encoder("of_chance")
        folder.mkdir(parents=True)
        write_encoder(self.params.encoders["of_chance"], Layout("smoke", ROOT), folder)
        for name in ("semantics", "of_others"):
            precompute_prior(self.params, self.params.priors[name], self.layout, self.layout.prior(name))

    def failures(self, prior: str) -> dict[str, list[str]]:
        """Title of each failed check -> the ids that it names."""
        return self.failures_of(gates_of(f"{prior}/faces_x8", self.params, self.layout))

    def failures_of(self, gates: Iterable[Gate]) -> dict[str, list[str]]:
        """The same of any gates; an engine takes a name once."""
        self.runs += 1
        return _failures([self.engine.run(replace(gate, name=f"{gate.name}/{self.runs}")) for gate in gates])


def _failures(results: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {
        check["title"]: [name for name, _ in check["failing"]]
        for result in results for check in result["checks"] if not check["success"]
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("tokens"))


def test_tokens_and_their_shuffled_control_pass(made: Made) -> None:
    assert made.failures("semantics") == made.failures("of_others") == {}
    own, others = (Pack(made.layout.prior(name) / "faces_x8" / "train") for name in ("semantics", "of_others"))
    assert own.shapes == others.shapes == [(4, 4, 24)] * 3
    assert sorted(tokens.tobytes() for tokens in own) == sorted(tokens.tobytes() for tokens in others)
    assert all(own.by_id(name).tobytes() != others.by_id(name).tobytes() for name in own.ids)


def _edited(edit: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    return lambda tokens: tokens | {"train_1": edit(tokens["train_1"].copy())}


def _with(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def edit(tokens: np.ndarray) -> np.ndarray:
        tokens[1, 2, 3] = value
        return tokens

    return edit


NO_NUMBER = "no value is NaN, infinite or beyond float16 (65,504)"
AGAIN = "drawn tokens come out the same when they are made again (difference as a share of the largest value)"
ONE_GRID = "images of one size have one grid, no finer than their pixels, and all tokens one width"
CELLS = "cells of an image differ (as a share of the largest value)"
IMAGES = "images differ in their tokens"
ALL_THERE = "every image of the task has its map, in the task's order"
FAULTS = {
    "nan": (_edited(_with(np.nan)), {NO_NUMBER, AGAIN}),
    "inf": (_edited(_with(np.inf)), {NO_NUMBER, AGAIN}),
    "another value": (_edited(_with(9.0)), {AGAIN}),
    "mirrored": (_edited(lambda tokens: tokens[:, ::-1]), {AGAIN}),
    "another grid": (_edited(lambda tokens: tokens[:, :2]), {ONE_GRID, AGAIN}),
    "another width": (_edited(lambda tokens: tokens[..., :8]), {ONE_GRID, AGAIN}),
    "one vector everywhere": (_edited(lambda tokens: np.broadcast_to(tokens[:1, :1], tokens.shape)), {CELLS, AGAIN}),
    "zeros": (_edited(np.zeros_like), {CELLS, AGAIN}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_image_is_named(made: Made, fault: str) -> None:
    edit, expected = FAULTS[fault]
    stem = made.layout.prior("semantics") / "faces_x8" / "train"
    whole = dict(Pack(stem).items())
    whole = {name: np.array(tokens) for name, tokens in whole.items()}
    try:
        _write(stem, edit(whole))
        failed = made.failures("semantics")
    finally:
        _write(stem, whole)
    assert set(failed) == expected and all(names == ["train_1"] for names in failed.values())


def test_a_missing_image_and_mixed_up_tokens_are_found(made: Made) -> None:
    stem = made.layout.prior("semantics") / "faces_x8" / "train"
    whole = {name: np.array(tokens) for name, tokens in Pack(stem).items()}
    try:
        _write(stem, {name: tokens for name, tokens in whole.items() if name != "train_1"})
        missing = made.failures("semantics")
        _write(stem, dict(zip(whole, [*list(whole.values())[1:], whole["train_0"]], strict=True)))
        mixed = made.failures("semantics")
    finally:
        _write(stem, whole)
    assert missing == {ALL_THERE: ["train"]}
    assert mixed == {AGAIN: ["train_0", "train_1", "train_2"]}


def _write(stem: Path, tokens: dict[str, np.ndarray]) -> None:
    with PackWriter(stem, np.float16) as pack:
        for name, values in tokens.items():
            pack.add(name, np.ascontiguousarray(values))


def run(made: Made, name: str, *images: tuple[np.ndarray, tuple[int, ...] | None]) -> dict[str, list[str]]:
    lines = [token_line(f"{k}", "test", values, shape, None) for k, (values, shape) in enumerate(images)]
    return made.failures_of(token_gates(name, lines))


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)


def test_images_of_several_sizes_have_a_grid_each(made: Made) -> None:
    wide = (drawn(2, 4, 8), (32, 64, 3))
    square, other = (drawn(4, 4, 8), (64, 64, 3)), (drawn(4, 4, 8, seed=1), (64, 64, 3))
    assert run(made, "several", wide, square, other) == {}
    assert run(made, "odd", wide, square, other, (drawn(3, 4, 8), (64, 64, 3))) == {ONE_GRID: ["3"]}
    assert run(made, "finer", (drawn(4, 4, 8), (2, 8, 3)), other) == {ONE_GRID: ["0"]}
    assert run(made, "foreign", (drawn(4, 4, 8), None), square, other) == {ONE_GRID: ["0"]}


def test_one_answer_to_all_images_is_no_semantics(made: Made) -> None:
    same = (drawn(4, 4, 8), (64, 64, 3))
    assert run(made, "dead", same, same, same) == {IMAGES: ["dead"]}
    assert run(made, "alone", same) == {}, "of one image nothing can be said"
    large = (drawn(4, 4, 8) * np.float16(200), (64, 64, 3))
    assert run(made, "large", large, same) == {}, "tokens have no range of their own"
    assert run(made, "one cell", (drawn(1, 1, 8), (64, 64, 3)), (drawn(1, 1, 8, seed=1), (64, 64, 3))) == {}
