"""Priors of tokens: what they look at, what their controls keep, and what params.yaml may ask of them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from srledger.config import Params
from srledger.encoders import Encoder
from srledger.errors import SrledgerError
from srledger.methods.rrdb import Rrdb
from srledger.plugins import PluginConfig, plugin_class, plugin_config
from srledger.prior_maps import map_of
from srledger.priors import Prior, PriorInput

FILE = Path(__file__).parents[2] / "params.yaml"
TEXT = re.sub(r"(?m)^scale: \w+", "scale: quick", FILE.read_text(encoding="utf-8"))
PATCH_PX = 4


def image(name: str = "a", height: int = 32, width: int = 32) -> PriorInput:
    lr = np.random.default_rng(ord(name[0])).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return PriorInput(name, "train", np.zeros((height, width, 3), np.uint8), lr, None)


def split(*images: PriorInput) -> dict[str, PriorInput]:
    others: dict[str, PriorInput] = {}
    others |= {one.id: dataclasses.replace(one, others=others) for one in images}
    return others


class MeansOfPatches(Encoder):
    """A token is the mean colour of its patch, twice."""

    tokenises = True
    size_px = 16  # type: ignore[assignment]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]

    @classmethod
    def token_px(cls, config: PluginConfig) -> int:
        return PATCH_PX

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images, PATCH_PX).repeat(1, 2, 1, 1)


def semantics(encoder: type[Encoder] = MeansOfPatches) -> Prior:
    config = plugin_config("priors", "semantic_tokens")(encoder="means")
    return plugin_class("priors", "semantic_tokens")(config, None, encoder(config, {}))


def control(name: str, base: Prior) -> Prior:
    config = plugin_config("priors", name)(of="base")
    return plugin_class("priors", name)(config, base)


def test_a_token_is_of_the_place_that_it_covers_in_lr() -> None:
    given = image()
    lr = np.zeros((8, 8, 3), np.uint8)
    lr[:4, 4:] = 255
    tokens = semantics().map_of(dataclasses.replace(given, lr=lr))
    assert tokens.shape == (4, 4, 6)
    assert tokens[0, 3].min() > 0.95 and tokens[2:].max() < 0.1 and tokens[:, :1].max() < 0.1
    again = dataclasses.replace(given, lr=lr, hr=np.full((32, 32, 3), 200, np.uint8))
    assert np.array_equal(semantics().map_of(again), tokens), "nothing is read of HR but its size"


@pytest.mark.parametrize(
    ("size", "grid"),
    [((32, 32), (4, 4)), ((24, 32), (3, 4)), ((64, 32), (4, 2)), ((8, 128), (1, 4)), ((20, 36), (2, 4))],
)
def test_the_longer_side_is_the_encoders_and_the_grid_covers_the_image(
    size: tuple[int, int], grid: tuple[int, int]
) -> None:
    given = image("a", *size)
    assert semantics().map_of(given).shape == (*grid, 6)
    flat = dataclasses.replace(given, lr=np.full_like(given.lr, 100))
    assert np.allclose(semantics().map_of(flat), 100 / 255), "to its very borders"


def test_an_encoder_without_a_size_looks_at_hrs() -> None:
    class AsLarge(MeansOfPatches):
        size_px = None  # type: ignore[assignment]

    assert semantics(AsLarge).map_of(image("a", 24, 40)).shape == (6, 10, 6)


def test_tokens_are_kept_in_float16_as_they_are() -> None:
    kept = map_of(semantics(), image(), "semantics")
    assert kept.dtype == np.float16 and np.allclose(kept, semantics().map_of(image()), atol=1e-3)

    class Loud(MeansOfPatches):
        def tokens(self, images: torch.Tensor) -> torch.Tensor:
            return super().tokens(images) * -1e6

    loud = map_of(semantics(Loud), image(), "semantics")
    assert np.isneginf(loud).all(), "nothing is clipped in silence: the gate names it"


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (4, 0, 6), (4, 4, 6, 1)])
def test_tokens_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    class Wrong(Prior):
        gives_tokens = True

        def map_of(self, image: PriorInput) -> np.ndarray:
            return np.ones(shape)

    with pytest.raises(SrledgerError, match=r"tokens of a wrong shape\n.*prior mine, image a") as caught:
        map_of(Wrong(PluginConfig()), image(), "mine")
    assert "D above 1" in str(caught.value)


def test_shuffled_hands_every_images_tokens_to_another() -> None:
    others, base = split(*(image(name) for name in "abcde")), semantics()
    prior = control("shuffled", base)
    assert prior.has_tokens
    own = {base.map_of(one).tobytes(): name for name, one in others.items()}
    given = {name: own[prior.map_of(one).tobytes()] for name, one in others.items()}
    assert sorted(given.values()) == sorted(others) and all(name != whose for name, whose in given.items())


def test_tokens_are_not_handed_to_an_image_of_another_size() -> None:
    others = split(image("a"), image("b", 24, 32))
    with pytest.raises(SrledgerError, match="image of another size") as caught:
        control("shuffled", semantics()).map_of(others["a"])
    assert "(24, 32)" in str(caught.value) and "(32, 32)" in str(caught.value)


PRIORS = """priors:
  semantics: { prior: semantic_tokens, tasks: [faces_x4, photos_x4], config: { encoder: tiny_dino_vit } }
  of_others: { prior: shuffled, tasks: [faces_x4], config: { of: semantics } }
  of_chance: { prior: semantic_tokens, tasks: [faces_x4], config: { encoder: of_chance } }
"""
ENCODERS = "encoders:\n  of_chance: { encoder: tiny_dino_vit, task: faces_x4, weights: random }\n"
ROW = "  tried: {{ method: {}, task: {}, prior: {}, encoder: none{} }}\n"


def load(
    tmp_path: Path, method: str = "bicubic", prior: str = "uniform", *edits: tuple[str, str], task: str = "faces_x4",
    more: str = "",
) -> Params:  # fmt: skip
    row = ROW.format(method, task, prior, more)
    text = TEXT
    for old, new in (("priors:\n", PRIORS), ("encoders:\n", ENCODERS), ("variants:\n", f"variants:\n{row}"), *edits):
        assert f"\n{old}" in text or old in text, old
        text = text.replace(f"\n{old}", f"\n{new}", 1) if f"\n{old}" in text else text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params.load(tmp_path)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """RRDB, as if it read tokens of 96 channels."""

    def check_tokens(cls: type[Rrdb], config: PluginConfig, width: int) -> None:
        if width != 96:
            raise ValueError("made for 96 channels")

    monkeypatch.setattr(Rrdb, "reads_tokens", True)
    monkeypatch.setattr(Rrdb, "check_tokens", classmethod(check_tokens))


@pytest.mark.usefixtures("reading")
def test_tokens_their_controls_and_none_go_to_a_method_that_reads_them(tmp_path: Path) -> None:
    named = ("semantics", "of_others", "uniform")
    semantic, shuffled, none = (load(tmp_path, "rrdb", prior).rows["tried"].prior for prior in named)
    assert semantic.has_tokens and shuffled.has_tokens and not none.has_tokens and none.token_encoder is None
    for spec in (semantic, shuffled):
        assert spec.token_encoder is not None and spec.token_encoder.name == "tiny_dino_vit"
    assert shuffled.resolved()["of"] == semantic.resolved()


@pytest.mark.usefixtures("reading")
def test_the_random_control_differs_by_its_weights_alone(tmp_path: Path) -> None:
    config = "{ width: 96, depth: 3, hidden: 192, size_px: 32, distillation: { global_px: 32, outputs: 256 } }"
    assert f"config: &small_vit {config}" in TEXT, "of tiny_dino_vit at this scale"
    same = ("weights: random }", f"weights: random, config: {config} }}")
    params = load(tmp_path, "rrdb", "of_chance", same)
    chance, learnt = params.rows["tried"].prior.token_encoder, params.priors["semantics"].token_encoder
    assert chance is not None and learnt is not None
    assert (chance.weights, learnt.weights) == ("random", "trained") and chance.config == learnt.config


DINOV2 = (
    ("encoders:\n", "encoders:\n  large_vit: { encoder: dinov2_vitb14, task: faces_x4, weights: published }\n"),
    ("config: { encoder: tiny_dino_vit } }", "config: { encoder: large_vit } }"),
)


def test_a_row_on_dinov2_is_unavailable_without_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rrdb, "reads_tokens", True)
    params = load(tmp_path, "rrdb", "semantics", *DINOV2)
    assert params.why_unavailable("tried") == (
        "weights 'dinov2_vitb14' are not among scales.quick.weights (make weights)"
    )
    assert params.rows["tried"].prior.token_encoder is not None and not params.is_active("tried")


MISTAKES = {
    "tokens to a method of maps": (
        ("landmark_unet", "semantics"), {},
        ["'landmark_unet' reads no tokens", "semantics, which gives tokens", "a prior of maps", "dino_max"],
    ),
    "another's tokens to a method of maps": (("sr3", "of_others"), {}, ["reads no tokens", "of_others"]),
    "a map to a method of tokens": (
        ("rrdb", "dino_max"), {},
        ["'rrdb' reads tokens and no map", "dino_max, which gives maps", "semantics, of_others, of_chance"],
    ),
    "tokens of another width": (
        ("rrdb", "of_chance"), {},
        ["do not go with the tokens of 'of_chance'", "made for 96 channels", "tokens of 192 channels", "'of_chance'"],
    ),
}  # fmt: skip


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_a_method_cannot_read_is_refused_with_its_line(tmp_path: Path, mistake: str) -> None:
    given, more, said = MISTAKES[mistake]
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, *given, **more)
    for words in (*said, "params.yaml:", "variants.tried.prior"):
        assert words in str(caught.value), str(caught.value)


@pytest.mark.usefixtures("reading")
def test_a_crop_of_whole_cells_is_asked_for_before_anything_runs(tmp_path: Path) -> None:
    size = "hidden: 192, size_px: 32,"
    coarse, odd = ((size, size.replace("32", side)) for side in ("16", "20"))
    for edit, said in ((coarse, "a multiple of 8"), (odd, "cells that are whole pixels wide")):
        with pytest.raises(SrledgerError) as caught:
            load(tmp_path, "rrdb", "semantics", edit, more=", training: { crop_px: 12 }")
        for words in (said, "can't be whole cells", "crop_px 12", "on 32 px", "params.yaml:", "encoders.tiny_dino_vit"):
            assert words in str(caught.value), str(caught.value)
    for edits, crop in (([coarse], "16"), ([], "12"), ([odd], "null")):
        row = load(tmp_path, "rrdb", "semantics", *edits, more=f", training: {{ crop_px: {crop} }}").rows["tried"]
        assert row.prior.has_tokens
    own_sizes = load(tmp_path, "rrdb", "semantics", task="photos_x4", more=", training: { crop_px: 12 }")
    assert own_sizes.rows["tried"].training.crop_px == 12, "only their images can say"


@pytest.mark.usefixtures("reading")
def test_a_transfer_brings_what_its_row_reads(tmp_path: Path) -> None:
    entry = "  tried_elsewhere: {{ row: tried, task: faces_x4, prior: {} }}\n"
    for prior in ("uniform", "of_others"):
        edit = ("transfers:\n", "transfers:\n" + entry.format(prior))
        assert load(tmp_path, "rrdb", "semantics", edit).evaluations["tried_elsewhere"].prior.name == prior
    edit = ("transfers:\n", "transfers:\n" + entry.format("dino_max"))
    with pytest.raises(SrledgerError, match="reads tokens and no map") as caught:
        load(tmp_path, "rrdb", "semantics", edit)
    assert "transfers.tried_elsewhere.prior" in str(caught.value)


@pytest.mark.parametrize("plugin", ["constant", "inverted", "random_smooth", "mean_map"])
def test_what_is_made_of_maps_is_not_made_of_tokens(tmp_path: Path, plugin: str) -> None:
    edit = ("of_others: { prior: shuffled", f"of_others: {{ prior: {plugin}")
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, "bicubic", "uniform", edit)
    for words in (f"'{plugin}' makes no sense of tokens", "'semantics' gives tokens", "priors.of_others.config.of"):
        assert words in str(caught.value), str(caught.value)
    assert "take shuffled" in str(caught.value)


def test_an_encoder_without_tokens_is_refused(tmp_path: Path) -> None:
    edit = ("config: { encoder: tiny_dino_vit } }", "config: { encoder: tiny_dino_resnet } }")
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, "bicubic", "uniform", edit)
    for words in ("'tiny_dino_resnet' has no tokens", "tiny_dino_vit", "priors.semantics.config.encoder"):
        assert words in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ("{ title: t, probe: mask_area, config: { task: faces_x4, priors: [dino_max, semantics] } }", "config.priors"),
        ("{ title: t, probe: attention_bins, config: { rows: [sr3], prior: of_others } }", "config.prior"),
    ],
)
def test_a_probe_of_maps_is_given_no_tokens(tmp_path: Path, entry: str, key: str) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, "bicubic", "uniform", ("probes:\n", f"probes:\n  mine: {entry}\n"))
    for words in ("gives tokens, and a map is looked at here", f"probes.mine.{key}", "one of uniform"):
        assert words in str(caught.value), str(caught.value)


def test_a_factor_of_the_grid_is_checked_like_a_row(tmp_path: Path) -> None:
    table = '  tried: { base: sr3, title: "t", factors: { map: { path: prior, values: [semantics] } } }\n'
    with pytest.raises(SrledgerError, match="'sr3' reads no tokens") as caught:
        load(tmp_path, "bicubic", "uniform", ("ablations:\n", f"ablations:\n{table}"))
    assert "ablations.tried.factors.map" in str(caught.value)


def test_entries_of_tokens_change_no_other_settings(tmp_path: Path) -> None:
    """What decides a row that reads none is what it was: nothing is trained again."""
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "params.yaml").write_text(TEXT, encoding="utf-8")
    before, after = Params.load(tmp_path / "before"), load(tmp_path)
    assert {name: row.resolved() for name, row in before.rows.items()} == {
        name: row.resolved() for name, row in after.rows.items() if name != "tried"
    }
    for name, spec in before.priors.items():
        assert spec.resolved() == after.priors[name].resolved() and spec.has_tokens == (
            "tokens" in name or "prompts" in name
        )
