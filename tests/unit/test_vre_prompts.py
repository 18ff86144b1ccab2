"""Prompts as a prior: one column that no flip disturbs, of LR unless it is the oracle, and what params.yaml may ask."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from srledger.config import Params
from srledger.encoders.vre import Config as VreConfig
from srledger.encoders.vre import Vre
from srledger.errors import SrledgerError
from srledger.gates.token_grids import token_line
from srledger.methods.rrdb import Rrdb
from srledger.packs import PackWriter
from srledger.plugins import PluginConfig
from srledger.prior_maps import map_of
from srledger.priors import PriorInput
from srledger.priors.shuffled import Config as ShuffledConfig
from srledger.priors.shuffled import Shuffled
from srledger.priors.vre_prompts import Config, VrePrompts
from srledger.training.batches import Examples, draw_batch, to_tensor
from srledger.training.config import TrainingConfig

FILE = Path(__file__).parents[2] / "params.yaml"
TEXT = re.sub(r"(?m)^scale: \w+", "scale: quick", FILE.read_text(encoding="utf-8"))


def embedder() -> Vre:
    torch.manual_seed(0)
    config = VreConfig(widths=(8, 8), codes=32, code_channels=5, prompts=6, norm_groups=4)
    made = Vre(config, {}).eval().requires_grad_(False)
    for codebook in (made.hq.codebook, made.lq.codebook):
        codebook.codes.normal_(std=0.3)
    return made


def prompts(source: str = "lq") -> VrePrompts:
    return VrePrompts(Config(encoder="vre", source=source), None, embedder())  # type: ignore[arg-type]


def image(name: str = "a", side_px: int = 16) -> PriorInput:
    rng = np.random.default_rng(ord(name[0]))
    hr, lr = (rng.integers(0, 256, (side_px, side_px, 3), np.uint8) for _ in range(2))
    return PriorInput(name, "train", hr, lr, None)


def test_prompts_are_a_column_in_the_embedders_order() -> None:
    given = image()
    found = prompts().map_of(given)
    assert found.shape == (6, 1, 5)
    expected = embedder().prompts_of(to_tensor([given.lr]), "lq")[0]
    assert np.allclose(found[:, 0], expected.numpy(), atol=1e-5)
    kept = map_of(prompts(), given, "vre_prompts")
    assert kept.dtype == np.float16 and kept.shape == (6, 1, 5) and prompts().has_tokens


def test_hr_is_read_by_the_oracle_alone() -> None:
    given = image()
    other_hr = dataclasses.replace(given, hr=image("b").hr)
    other_lr = dataclasses.replace(given, lr=image("b").lr)
    lq, hq = prompts(), prompts("hq")
    assert np.array_equal(lq.map_of(given), lq.map_of(other_hr))
    assert not np.array_equal(lq.map_of(given), lq.map_of(other_lr))
    assert np.array_equal(hq.map_of(given), hq.map_of(other_lr))
    assert not np.array_equal(hq.map_of(given), hq.map_of(other_hr))
    expected = embedder().prompts_of(to_tensor([given.hr]), "hq")[0]
    assert np.allclose(hq.map_of(given)[:, 0], expected.numpy(), atol=1e-5)
    assert "oracle" in str(Config.model_fields["source"].description)


def test_lr_of_another_scale_factor_is_looked_at_in_hrs_size() -> None:
    given = image()
    small = dataclasses.replace(given, lr=np.full((4, 4, 3), 90, np.uint8))
    same = dataclasses.replace(given, lr=np.full((16, 16, 3), 90, np.uint8))
    assert np.allclose(prompts().map_of(small), prompts().map_of(same), atol=1e-5)


def test_shuffled_hands_on_anothers_prompts() -> None:
    others: dict[str, PriorInput] = {}
    others |= {name: dataclasses.replace(image(name), others=others) for name in "abcd"}
    base = prompts()
    control = Shuffled(ShuffledConfig(of="vre_prompts"), base)
    assert control.has_tokens
    own = {base.map_of(one).tobytes(): name for name, one in others.items()}
    given = {name: own[control.map_of(one).tobytes()] for name, one in others.items()}
    assert sorted(given.values()) == sorted(others) and all(name != whose for name, whose in given.items())


def test_a_flip_leaves_the_order_alone_and_a_crop_is_refused(tmp_path: Path) -> None:
    images = {name: image(name) for name in "abcd"}
    made = {name: map_of(prompts(), one, "vre_prompts") for name, one in images.items()}
    with (
        PackWriter(tmp_path / "task" / "train_hr", np.uint8) as hrs,
        PackWriter(tmp_path / "task" / "train_lr", np.uint8) as lrs,
        PackWriter(tmp_path / "prior" / "train", np.float16) as priors,
    ):
        for name, one in images.items():
            hrs.add(name, one.hr)
            lrs.add(name, one.lr)
            priors.add(name, made[name])
    examples = Examples(tmp_path / "task", tmp_path / "prior", "train")
    flipped = 0
    for step in range(6):
        _, hr, prior = draw_batch(examples, TrainingConfig(batch_size=4), 1, "row", 0, step)
        assert prior.shape == (4, 5, 6, 1)
        for k in range(4):
            whose = [name for name, values in made.items() if np.array_equal(prior[k, :, :, 0].numpy().T, values[:, 0])]
            assert len(whose) == 1
            plain = to_tensor([images[whose[0]].hr])[0]
            flipped += not torch.equal(hr[k], plain)
            assert torch.equal(hr[k], plain) or torch.equal(hr[k].flip(2), plain)
    assert 0 < flipped < 24
    with pytest.raises(SrledgerError, match="whole cells"):
        draw_batch(examples, TrainingConfig(batch_size=4, crop_px=8), 1, "row", 0, 0)


def test_the_gate_takes_prompts_for_tokens_of_a_whole_image() -> None:
    values = map_of(prompts(), image(), "vre_prompts")
    line = token_line("a", "train", values, (16, 16, 3), values)
    assert line["shape"] == (6, 1, 5) and line["not_finite"] == 0 and line["difference"] == 0 and line["share"] > 1e-3


def load(tmp_path: Path, *edits: tuple[str, str], row: str = "") -> Params:
    text = TEXT
    for old, new in (("\nvariants:\n", f"\nvariants:\n{row}"), *edits):
        assert old in text, old
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params.load(tmp_path)


ROW = "  tried: {{ method: rrdb, task: faces_blind, prior: {}, encoder: none{} }}\n"
CONTROL = (
    "\npriors:\n",
    "\npriors:\n  of_others: { prior: shuffled, tasks: [faces_blind], config: { of: vre_prompts } }\n"
    "  oracle: { prior: vre_prompts, tasks: [faces_blind], config: { encoder: vre, source: hq } }\n",
)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """RRDB, as if it read tokens of 64 channels."""

    def check_tokens(cls: type[Rrdb], config: PluginConfig, width: int) -> None:
        if width != 64:
            raise ValueError("made for 64 channels")

    monkeypatch.setattr(Rrdb, "reads_tokens", True)
    monkeypatch.setattr(Rrdb, "check_tokens", classmethod(check_tokens))


@pytest.mark.usefixtures("reading")
def test_a_method_that_reads_tokens_is_told_the_width_of_prompts(tmp_path: Path) -> None:
    for name in ("vre_prompts", "of_others", "oracle"):
        prior = load(tmp_path, CONTROL, row=ROW.format(name, "")).rows["tried"].prior
        assert prior.has_tokens and prior.has_prompts and prior.token_width == 64
        assert prior.token_encoder is not None and prior.token_encoder.name == "vre"
    wider = ("code_channels: 64", "code_channels: 48")
    with pytest.raises(SrledgerError, match="made for 64 channels") as caught:
        load(tmp_path, wider, row=ROW.format("vre_prompts", ""))
    assert "tokens of 48 channels" in str(caught.value) and "variants.tried.prior" in str(caught.value)


def test_tokens_with_places_are_no_prompts() -> None:
    params = Params.load(scale="quick")
    tokens = params.priors["dino_tokens"]
    assert tokens.has_tokens and not tokens.has_prompts and tokens.token_width == 96
    assert not params.priors["dino_max"].has_prompts and params.priors["dino_max"].token_width is None


@pytest.mark.usefixtures("reading")
def test_a_crop_of_an_image_has_not_its_prompts(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="prompts are of the whole image") as caught:
        load(tmp_path, row=ROW.format("vre_prompts", ", training: { crop_px: 16 }"))
    for words in ("crop_px 16", "vre_prompts", "training.crop_px: null", "variants.tried"):
        assert words in str(caught.value), str(caught.value)


def test_a_method_of_maps_is_given_no_prompts(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="reads no tokens"):
        load(tmp_path, row=ROW.format("vre_prompts", ""))


def test_an_encoder_without_prompts_is_refused(tmp_path: Path) -> None:
    of_vre = "cartoon_blind], config: { encoder: vre }"
    edit = (of_vre, of_vre.replace("vre", "tiny_dino_vit"))
    with pytest.raises(SrledgerError, match="'tiny_dino_vit' has no prompts") as caught:
        load(tmp_path, edit)
    for words in ("one that gives prompts: vre", "priors.vre_prompts.config.encoder"):
        assert words in str(caught.value), str(caught.value)


def test_an_embedder_of_a_task_of_another_factor_is_refused_with_its_line(tmp_path: Path) -> None:
    edit = ("    encoder: vre\n    task: faces_blind\n", "    encoder: vre\n    task: faces_x4\n")
    with pytest.raises(SrledgerError, match="learns from LR and HR of one size") as caught:
        load(tmp_path, edit)
    for words in ("encoders.vre.task", "faces_x4, of scale factor 4", "params.yaml:"):
        assert words in str(caught.value), str(caught.value)


def test_tokens_of_an_embedder_are_not_asked_for(tmp_path: Path) -> None:
    edit = ("vre_prompts: { tasks", "vre_prompts: { prior: semantic_tokens, tasks")
    with pytest.raises(SrledgerError, match="'vre' has no tokens"):
        load(tmp_path, edit)
