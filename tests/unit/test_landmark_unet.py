"""The landmark U-Net: its loss term by term, what of it costs nothing when restoring, and how its rows are wired."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from srledger.ablation_lock import lock_text
from srledger.config import Params
from srledger.encoders import Encoder
from srledger.encoders._self_distillation import Distillation
from srledger.encoders.tiny_dino_resnet import Config as ResnetConfig
from srledger.encoders.tiny_dino_resnet import TinyDinoResnet
from srledger.encoders.tiny_dino_vit import Config as VitConfig
from srledger.encoders.tiny_dino_vit import TinyDinoVit
from srledger.errors import SrledgerError
from srledger.evaluation.complexity import count_macs
from srledger.evaluation.config import EvaluationConfig
from srledger.layout import Layout
from srledger.methods import Batch, landmark_unet
from srledger.methods.bicubic import Config as BicubicConfig
from srledger.methods.landmark_unet import (
    Config,
    LandmarkUnet,
    Vgg16,
    heat_loss,
    heat_schedule,
    heat_weights,
    lpips_distance,
    lpips_schedule,
    perceptual_schedule,
    published_vgg16,
)
from srledger.metrics.squeezenet_distance import layer_distance
from srledger.packs import PackWriter
from srledger.pipeline_encoders import write_encoder
from srledger.seeds import torch_generator
from srledger.settings import Dataset, EncoderSpec, PriorSpec, Row, Task
from srledger.training.batches import Examples, draw_batch
from srledger.training.config import TrainingConfig
from srledger.training.run import load_trained, train_row

TINY = {"width": 8, "up_widths": (8, 6, 4), "refine_blocks": 1}
VIEWS = Distillation(global_px=16, local_px=8, local_views=2, outputs=32, hidden=32, bottleneck=16)
VIT = VitConfig(width=24, depth=2, heads=2, hidden=32, size_px=32, distillation=VIEWS)
RESNET = ResnetConfig(widths=(8, 8, 16, 16), size_px=32, distillation=VIEWS)
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")

# Four steps of AdamW before the loss had more than its first two terms; of the student, a teacher as it was drawn.
AS_IT_WAS = {
    "landmark_unet": [1.6073931455612183, 1.8877010345458984, 2.0522279739379883, 1.9142749309539795],
    "landmark_unet_no_heatmap": [0.7313854098320007, 0.6573922038078308, 0.6845760345458984, 0.6380771398544312],
    "paper": [1.6805307865142822, 1.876347541809082, 2.0750226974487305, 1.8896760940551758],
    "student": [1.8025755882263184, 2.1621322631835938, 2.2778427600860596, 2.1865744590759277],
}
SETTINGS: dict[str, dict[str, object]] = {
    "landmark_unet": {"pixel_loss": "l1"},
    "landmark_unet_no_heatmap": {"pixel_loss": "l1", "lambda_heat": 0.0},
    "paper": {},
    "student": {"pixel_loss": "l1", "width": 4, "up_widths": (4, 4, 4), "refine_blocks": 0},
}


def tiny(encoder: Encoder | None = None, **settings: object) -> LandmarkUnet:
    torch.manual_seed(0)
    return LandmarkUnet(Config.model_validate({**TINY, **settings}), 8, encoder)


def vit() -> TinyDinoVit:
    torch.manual_seed(1)
    return TinyDinoVit(VIT, {})


def batch(step: int = 0, progress: float | None = None, lr_px: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(100 + step)
    lr = torch.rand(2, 3, lr_px, lr_px, generator=rng)
    hr = torch.rand(2, 3, 8 * lr_px, 8 * lr_px, generator=rng)
    prior = torch.rand(2, 1, 8 * lr_px, 8 * lr_px, generator=rng)
    return Batch(lr, hr, prior, step / 4 if progress is None else progress, rng)


def as_it_was(method: LandmarkUnet, given: Batch, teacher: LandmarkUnet | None) -> torch.Tensor:
    """The loss of two terms, written out."""
    sr, hr = method(given.lr * 2 - 1), given.hr * 2 - 1
    total = F.mse_loss(sr, hr) if method.config.pixel_loss == "mse" else F.l1_loss(sr, hr)
    if method.config.lambda_heat:
        heat = heat_loss(sr, hr, heat_weights(given.prior, method.config.gamma, method.config.floor))
        total = total + method.config.lambda_heat * heat_schedule(given.progress) * heat
    if teacher is not None:
        with torch.no_grad():
            taught = teacher(given.lr * 2 - 1)
        total = total + method.config.lambda_distill * F.l1_loss(sr, taught)
    return total


@pytest.mark.parametrize(("row", "precision"), [*((row, "fp32") for row in AS_IT_WAS), ("landmark_unet", "bf16")])
def test_rows_without_new_terms_train_as_before(row: str, precision: str) -> None:
    """The numbers of old to a rounding; to the bit, the weights of a training with the loss written out."""
    teacher = tiny(pixel_loss="l1").eval() if row == "student" else None
    now, old = tiny(**SETTINGS[row]), tiny(**SETTINGS[row])
    optimizers = [torch.optim.AdamW(method.parameters(), lr=1e-3) for method in (now, old)]
    found = []
    for step in range(4):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            terms = now.loss(batch(step)) if teacher is None else now.distill_loss(batch(step), teacher)
            expected = as_it_was(old, batch(step), teacher)
        for method, optimizer, total in zip((now, old), optimizers, (terms["total"], expected), strict=True):
            method.zero_grad()
            total.backward()
            optimizer.step()
        assert torch.equal(terms["total"], expected)
        found.append(float(terms["total"].detach()))
    assert found == pytest.approx(AS_IT_WAS[row], rel=1e-5 if precision == "fp32" else 1e-2)
    assert all(torch.equal(value, old.state_dict()[name]) for name, value in now.state_dict().items())
    assert set(terms) <= {"pixel", "heat", "total", "distill"}


def test_the_schedules_are_the_papers() -> None:
    at = (0.0, 0.15, 0.30, 0.575, 0.85, 0.925, 1.0)
    assert [perceptual_schedule(t) for t in at] == pytest.approx([0, 0.5, 1, 1, 1, 1, 1])
    assert [heat_schedule(t) for t in at] == pytest.approx([0.6, 0.8, 1, 1, 1, 0.875, 0.75])
    assert [lpips_schedule(t) for t in at] == pytest.approx([0, 0, 0, 0.5, 1, 1, 1])


def test_the_total_is_the_scheduled_sum_of_the_terms() -> None:
    method = tiny(vit(), perceptual="encoder", lpips="encoder")
    for progress, factors in ((0.15, (0.8, 0.5, 0)), (0.575, (1, 1, 0.5)), (0.925, (0.875, 1, 1))):
        terms = {name: float(value.detach()) for name, value in method.loss(batch(progress=progress)).items()}
        assert ("lpips" in terms) == (factors[2] > 0)  # what weighs nothing costs nothing
        weights = {"heat": 2.0 * factors[0], "perceptual": 0.02 * factors[1], "lpips": 0.15 * factors[2]}
        total = terms["pixel"] + sum(weight * terms.get(name, 0) for name, weight in weights.items())
        assert terms["total"] == pytest.approx(total, rel=1e-6)


def test_floor_1_is_plain_l1() -> None:
    given, method = batch(), tiny(floor=1.0)
    assert torch.equal(heat_weights(given.prior, 1.3, 1.0), torch.ones_like(given.prior))
    sr = (given.hr * 2 - 1 + torch.randn(given.hr.shape, generator=given.generator)).requires_grad_()
    of_heat, of_l1 = (
        torch.autograd.grad(loss, sr)[0]
        for loss in (heat_loss(sr, given.hr, heat_weights(given.prior, 1.3, 1.0)), F.l1_loss(sr, given.hr))
    )
    assert torch.equal(of_heat, of_l1)
    terms, hr = method.loss(given), given.hr * 2 - 1
    assert float(terms["heat"].detach()) == pytest.approx(
        float(F.l1_loss(method(given.lr * 2 - 1), hr).detach()), rel=1e-6
    )
    assert not torch.equal(method.loss(given)["heat"], tiny(floor=0.1).loss(given)["heat"])


def test_a_heatmap_is_matched_by_id_and_flipped_with_its_image(tmp_path: Path) -> None:
    """Each map is its own image's red; the pack of maps has another order."""
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (16, 16, 3), np.uint8) for name in "abcde"}
    with (
        PackWriter(tmp_path / "task" / "train_hr", np.uint8) as hr,
        PackWriter(tmp_path / "task" / "train_lr", np.uint8) as lr,
    ):
        for name in "abcde":
            hr.add(name, images[name])
            lr.add(name, images[name][::8, ::8].copy())
    with PackWriter(tmp_path / "prior" / "train", np.float16) as prior:
        for name in "cbead":
            prior.add(name, (images[name][..., :1] / 255).astype(np.float16))
    examples = Examples(tmp_path / "task", tmp_path / "prior", "train")
    settings = TrainingConfig(steps=1, batch_size=5, threads=1)
    seen = set()
    for step in range(8):
        lrs, hrs, priors = draw_batch(examples, settings, 8, "row", 0, step)
        assert torch.allclose(priors[:, 0], hrs[:, 0], atol=1e-3)  # float16
        for small, image in zip(lrs, hrs, strict=True):
            pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            names = [
                (name, turned)
                for name, of_name in images.items()
                for turned in (False, True)
                if np.array_equal(pixels[:, ::-1] if turned else pixels, of_name)
            ]
            assert len(names) == 1 and torch.equal(small, image[:, ::8, (7 if names[0][1] else 0) :: 8])
            seen.add(names[0])
    assert seen == {(name, turned) for name in "abcde" for turned in (False, True)}


@pytest.fixture(scope="module")
def trunk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for torchvision's file, with its key names."""
    from torchvision.models import vgg16

    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save({f"features.{key}": value for key, value in vgg16(weights=None).features.state_dict().items()}, file)
    return file


@pytest.fixture
def vgg(trunk_file: Path, monkeypatch: pytest.MonkeyPatch) -> Vgg16:
    """In place of the published one."""
    made = Vgg16(trunk_file)
    monkeypatch.setattr(landmark_unet, "published_vgg16", lambda: made)
    return made


def test_the_perceptual_loss_is_of_three_maps_of_torchvisions_vgg16(vgg: Vgg16, trunk_file: Path) -> None:
    from torchvision.models import vgg16

    features = vgg16(weights=None).features
    features.load_state_dict({key[9:]: value for key, value in torch.load(trunk_file, weights_only=True).items()})
    mean, deviation = (
        torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    method, given = tiny(perceptual="vgg16_imagenet", lambda_heat=0.0), batch(progress=0.5)
    with torch.no_grad():
        method.head.bias.fill_(1.5)  # outside [-1, 1]: the clamp has something to do
        images = [(one.clamp(-1, 1) + 1) / 2 for one in (method(given.lr * 2 - 1), given.hr * 2 - 1)]
        maps = [(one - mean) / deviation for one in images]
        expected = torch.zeros(())
        for start, stop in ((0, 4), (4, 9), (9, 16)):
            maps = [features[start:stop](one) for one in maps]
            expected = expected + F.mse_loss(*maps)
        assert float((method(given.lr * 2 - 1) > 1).float().mean()) > 0.5
    terms = method.loss(given)
    torch.testing.assert_close(terms["perceptual"], expected, rtol=1e-5, atol=0)
    with torch.autocast("cpu", torch.bfloat16):  # of the images of a bf16 network, the network that compares in float32
        half, sr = method.loss(given)["perceptual"], method(given.lr * 2 - 1)
    alone = landmark_unet.feature_distance(*(vgg.maps(one.clamp(-1, 1), 3) for one in (sr, given.hr * 2 - 1)))
    assert half.dtype == torch.float32 and torch.equal(half, alone)


def test_lpips_is_that_of_the_lpips_package(vgg: Vgg16) -> None:
    method, given = tiny(lpips="vgg16_imagenet"), batch(progress=0.9)
    with torch.no_grad():
        expected = vgg.network(method(given.lr * 2 - 1), given.hr * 2 - 1).mean()
    terms = method.loss(given)
    torch.testing.assert_close(terms["lpips"].detach(), expected, rtol=1e-5, atol=0)
    terms["lpips"].backward()
    assert float(method.head.weight.grad.abs().max()) > 0
    assert not any(value.requires_grad or value.grad is not None for value in vgg.network.parameters())


def test_a_feature_vector_of_zeros_gives_a_gradient_that_is_a_number() -> None:
    maps = [torch.zeros(1, 4, 2, 2, requires_grad=True)]
    lpips_distance(maps, [torch.ones(1, 4, 2, 2)]).backward()
    assert torch.isfinite(maps[0].grad).all()


def test_weights_that_are_not_at_hand_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SRLEDGER_CACHE", str(tmp_path))
    monkeypatch.delenv("SRLEDGER_WEIGHTS", raising=False)
    monkeypatch.delenv("SRLEDGER_MIRROR", raising=False)
    published_vgg16.cache_clear()
    method = tiny(lpips="vgg16_imagenet")  # restoring needs none
    assert method.restore(batch().lr, batch().prior, [0, 1]).shape == (2, 3, 48, 48)
    with pytest.raises(SrledgerError, match="weights 'vgg16_imagenet' are not at hand"):
        method.loss(batch(progress=0.5))


@pytest.mark.parametrize("encoder", [vit(), TinyDinoResnet(RESNET, {})], ids=["vit", "resnet"])
def test_the_stand_ins_are_distances_on_the_encoders_maps(encoder: Encoder) -> None:
    method = tiny(encoder, perceptual="encoder", lpips="encoder", pixel_loss="encoder_features")
    given = batch(progress=0.9)
    with torch.no_grad():
        of_sr, of_hr = encoder((method(given.lr * 2 - 1) + 1) / 2), encoder(given.hr)
        squared = sum(float((a - b).square().mean()) for a, b in zip(of_sr, of_hr, strict=True))
        unit = sum(float(layer_distance(a, b)) for a, b in zip(of_sr, of_hr, strict=True))  # the metric enc_lpips'
    calls: list[int] = []
    handle = encoder.register_forward_hook(lambda *_: calls.append(1))
    terms = method.loss(given)
    handle.remove()
    assert len(calls) == 2  # once for SR and once for HR, whatever many terms there are
    assert float(terms["perceptual"].detach()) == float(terms["pixel"].detach()) == pytest.approx(squared, rel=1e-4)
    assert float(terms["lpips"].detach()) == pytest.approx(unit, rel=1e-4)


def test_the_encoder_is_not_part_of_the_network() -> None:
    encoder = vit()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    method, without = tiny(encoder, perceptual="encoder", pixel_loss="encoder_features").train(), tiny()
    assert list(method.state_dict()) == list(without.state_dict())
    assert all(torch.equal(value, without.state_dict()[name]) for name, value in method.state_dict().items())
    assert not encoder.training and not any(value.requires_grad for value in encoder.parameters())
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)
    first = method.loss(batch(progress=0.5))["total"]
    first.backward()
    optimizer.step()
    assert method.loss(batch(progress=0.5))["total"] < first
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_encoder_may_see_smaller_images() -> None:
    sizes: list[tuple[int, ...]] = []
    encoder = vit()
    encoder.register_forward_pre_hook(lambda _, given: sizes.append(tuple(given[0].shape[-2:])))
    tiny(encoder, perceptual="encoder", encoder_px=24).loss(batch(progress=0.5))
    tiny(encoder, perceptual="encoder", encoder_px=20).loss(batch(progress=0.5))
    tiny(encoder, perceptual="encoder", encoder_px=64).loss(batch(progress=0.5))
    assert sizes == [(24, 24)] * 2 + [(16, 16)] * 2 + [(48, 48)] * 2


def test_the_multiscale_loss() -> None:
    given, method = batch(progress=0.5), tiny(multiscale=True)
    terms, sr, hr = method.loss(given), method(given.lr * 2 - 1).detach(), given.hr * 2 - 1
    pixel = heat = 0.0
    for divisor, weight in ((1, 1.0), (2, 0.2), (4, 0.05)):
        small_sr, small_hr, small_map = (
            F.interpolate(one, scale_factor=1 / divisor, mode="area") for one in (sr, hr, given.prior)
        )
        pixel += weight * float(F.mse_loss(small_sr, small_hr))
        heat += weight * float(heat_loss(small_sr, small_hr, heat_weights(small_map, 1.3, 0.1)))
    assert float(terms["pixel"].detach()) == pytest.approx(pixel, rel=1e-5)
    assert float(terms["heat"].detach()) == pytest.approx(heat, rel=1e-5)
    assert list(method.state_dict()) == list(tiny().state_dict())


@pytest.mark.parametrize(("lr_px", "calls"), [(6, 2), (16, 2), (24, 4)])
def test_networks_compare_small_images_from_96_px(lr_px: int, calls: int) -> None:
    """Of 48, 128 and 192 px; the HR size is always compared."""
    counted: list[int] = []
    encoder = vit()
    encoder.register_forward_hook(lambda *_: counted.append(1))
    tiny(encoder, perceptual="encoder", encoder_px=8, multiscale=True).loss(batch(progress=0.5, lr_px=lr_px))
    assert len(counted) == calls


def test_deep_supervision_is_of_the_training_alone() -> None:
    given, plain, deep = batch(progress=0.5), tiny(), tiny(deep_supervision=True)
    extra = deep.state_dict().keys() - plain.state_dict().keys()
    assert {name: tuple(deep.state_dict()[name].shape) for name in extra} == {
        "side_heads.0.weight": (3, 6, 1, 1), "side_heads.0.bias": (3,),
        "side_heads.1.weight": (3, 8, 1, 1), "side_heads.1.bias": (3,),
    }  # fmt: skip
    restored = [method.restore(given.lr, given.prior, [0, 1]) for method in (plain, deep)]
    assert torch.equal(*restored)
    features = [*deep._levels(given.lr * 2 - 1)]
    pixel = float(F.mse_loss(deep(given.lr * 2 - 1), given.hr * 2 - 1).detach())
    for divisor, weight, head in ((2, 0.2, deep.side_heads[0]), (4, 0.05, deep.side_heads[1])):
        side = head(features[{2: 2, 4: 1}[divisor]])
        pixel += weight * float(F.mse_loss(side, F.avg_pool2d(given.hr * 2 - 1, divisor)).detach())
    terms = deep.loss(given)
    assert float(terms["pixel"].detach()) == pytest.approx(pixel, rel=1e-5)
    terms["total"].backward()
    assert all(value.grad is not None for value in deep.parameters())
    halves = LandmarkUnet(Config(width=4, deep_supervision=True), 4)
    assert len(halves.side_heads) == 1 and "pixel" in halves.loss(
        Batch(given.lr, given.hr[..., :24, :24], given.prior[..., :24, :24], 0.5, given.generator)
    )


def test_no_term_of_the_loss_costs_anything_when_restoring(tmp_path: Path) -> None:
    with (
        PackWriter(tmp_path / "task" / "test_hr", np.uint8) as hr,
        PackWriter(tmp_path / "task" / "test_lr", np.uint8) as lr,
        PackWriter(tmp_path / "prior" / "test", np.float16) as prior,
    ):
        hr.add("a", np.zeros((48, 48, 3), np.uint8))
        lr.add("a", np.zeros((6, 6, 3), np.uint8))
        prior.add("a", np.ones((48, 48, 1), np.float16))
    examples = Examples(tmp_path / "task", tmp_path / "prior", "test")

    def cost(method: LandmarkUnet) -> tuple[int, int | None]:
        macs = count_macs(method.eval(), examples, EvaluationConfig(threads=1))
        return sum(value.numel() for value in method.parameters()), macs

    plain = cost(tiny(lambda_heat=0.0))
    assert plain[1] and plain == cost(tiny()) == cost(
        tiny(vit(), perceptual="encoder", lpips="encoder", multiscale=True)
    )
    heads = 3 * (6 + 1) + 3 * (8 + 1)
    assert cost(tiny(deep_supervision=True)) == (plain[0] + heads, plain[1])  # heads that restoring does not run


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pixel_loss": "encoder_features", "multiscale": True}, "not with multiscale"),
        ({"encoder_px": 64}, "no term of the loss has an encoder"),
        ({"perceptual": "vgg19"}, "vgg16_imagenet"),
    ],
)
def test_settings_that_make_no_loss_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config.model_validate(settings)


def test_what_can_not_be_built_is_said() -> None:
    with pytest.raises(ValueError, match="the row names none"):
        tiny(perceptual="encoder")
    with pytest.raises(ValueError, match="a scale factor of at least 4, found 2"):
        LandmarkUnet(Config(width=4, deep_supervision=True), 2)


ROW_OF_PARAMS = "pixel_loss: l1, lambda_heat: 0.0 }"
BARE = "    encoder: none\n    config: { width: 40, up_widths: [64, 32, 16], refine_blocks: 1, " + ROW_OF_PARAMS
ENCODED = BARE.replace("none", "tiny_dino_vit").replace("0.0 }", "0.0, perceptual: encoder }")
TABLE = """ablations:
  judged:
    base: landmark_unet
    title: networks in the loss
    factors:
      networks:
        levels:
          encoder: { encoder: tiny_dino_vit, config.perceptual: encoder, config.lpips: encoder }
          vgg16: { config.perceptual: vgg16_imagenet }
"""


def load(tmp_path: Path, *edits: tuple[str, str], scale: str = "quick") -> Params:
    text = PARAMS
    for old, new in edits:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params.load(tmp_path, scale)


def test_a_row_names_the_encoder_of_its_loss(tmp_path: Path) -> None:
    params = load(tmp_path, (BARE, ENCODED))
    row = params.rows["landmark_unet_no_heatmap"]
    assert row.task.name == "faces_x8" and row.encoder is not None and row.encoder.task.name == "faces_x4"
    assert row.active and row.resolved()["encoder_name"] == "tiny_dino_vit"
    assert "encoder" not in params.rows["landmark_unet"].resolved()
    assert not load(tmp_path, (BARE, ENCODED), scale="smoke").is_active(
        "landmark_unet_no_heatmap"
    )  # it is not made there


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ((BARE, ENCODED.replace("tiny_dino_vit", "none")), ["can't build on the encoder 'none'", "tiny_dino_vit, "]),
        ((BARE, BARE.replace("none", "tiny_dino_vit")), ["builds on no encoder with these settings", "expected: none"]),
        ((BARE, ENCODED.replace("dino_vit", "dino_vti")), ["unknown encoder", "nearest:  tiny_dino_vit"]),
    ],
)
def test_an_encoder_too_many_or_too_few_is_named(tmp_path: Path, edit: tuple[str, str], said: list[str]) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, edit)
    for words in ("params.yaml:", *said):
        assert words in str(caught.value), str(caught.value)


def test_a_row_whose_networks_are_not_at_hand_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRLEDGER_CACHE", str(tmp_path))
    monkeypatch.delenv("SRLEDGER_WEIGHTS", raising=False)
    monkeypatch.delenv("SRLEDGER_MIRROR", raising=False)
    edit = (ROW_OF_PARAMS, ROW_OF_PARAMS.replace("0.0 }", "0.0, lpips: vgg16_imagenet }"))
    params = load(tmp_path, edit)
    name = "landmark_unet_no_heatmap"
    assert not params.is_active(name) and params.is_active("landmark_unet")
    assert params.why_unavailable(name) == params.evaluations[name].unavailable
    assert "weights 'vgg16_imagenet' are not among scales.quick.weights" in str(params.why_unavailable(name))
    at_scale = load(tmp_path, edit, scale="paper")  # where they are named
    assert at_scale.why_unavailable(name) == "weights 'vgg16_imagenet' are not at hand (make weights)"


def test_a_row_of_the_grid_may_change_its_encoder(tmp_path: Path) -> None:
    start, stop = PARAMS.index("ablations:\n  landmark"), PARAMS.index("\nmetrics:")
    probe = PARAMS[PARAMS.index("  yoda_factorial_colour_shift:") : PARAMS.index("  yoda_error_maps:")]
    steps = PARAMS[PARAMS.index("  frontier_steps:") : PARAMS.index("  trajectory:")]
    rows = PARAMS[
        PARAMS.index("      rows:\n        - landmark_unet_heatmap\n") : PARAMS.index("      training: { steps: 150")
    ]
    smoke = "rows: [landmark_unet__base, landmark_unet__heatmap_off, landmark_unet__gamma_0_5]"
    referee = PARAMS[PARAMS.index("referee:\n") : PARAMS.index("\n# Defaults of every row.")]
    edits = [
        (PARAMS[start:stop], TABLE), (probe, ""), (steps, ""), (referee, ""), (rows, "      rows: all\n"),
        (smoke, "rows: []"),
    ]  # fmt: skip
    params = load(tmp_path, *edits).ablations
    judged, vgg = "landmark_unet__networks_encoder", "landmark_unet__networks_vgg16"
    assert params.active_rows() == ("landmark_unet__base", judged)
    assert params.rows[judged].resolved()["encoder_name"] == "tiny_dino_vit"
    assert params.rows["landmark_unet__base"].encoder is None
    assert "are not among scales.quick.weights" in str(params.why_unavailable(vgg))
    lines = {line.strip().partition(":")[0]: line for line in lock_text(params).splitlines()}
    assert '"encoder": "tiny_dino_vit"' in lines[judged] and '"encoder": "none"' in lines["landmark_unet__base"]
    assert f'{judged}: encoder "tiny_dino_vit"' in params.table_configs["judged"].note
    assert 'encoder "none"' in params.table_configs["judged"].note
    with pytest.raises(SrledgerError, match="nearest:  tiny_dino_vit"):
        load(tmp_path, *edits, ("{ encoder: tiny_dino_vit, config.p", "{ encoder: tiny_dino_vitt, config.p"))


TASK = Task("faces", Dataset("faces", "synthetic_faces", None), "bicubic", BicubicConfig(), 8, 32, ())
TRAINING = TrainingConfig(steps=6, batch_size=2, threads=1, validation_images=1, learning_rate=1e-3)
ENCODER = EncoderSpec("vit", "tiny_dino_vit", "random", VIT, TRAINING, TASK)
SETTINGS_OF_ROW = {**TINY, "perceptual": "encoder", "lpips": "encoder", "deep_supervision": True}
ROW = Row(
    "judged", "variant", "landmark_unet", Config.model_validate(SETTINGS_OF_ROW), TRAINING, TASK,
    PriorSpec("map", "uniform", BicubicConfig(), ("faces",)), None, True, ENCODER,
)  # fmt: skip


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project with a task of faces, their maps, and an encoder."""
    for name in ("dvc.yaml", "src", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    made, rng = Layout("smoke", tmp_path), np.random.default_rng(0)
    for split in ("train", "val"):
        with (
            PackWriter(made.packs("faces") / f"{split}_hr", np.uint8) as hr,
            PackWriter(made.packs("faces") / f"{split}_lr", np.uint8) as lr,
            PackWriter(made.prior("map") / "faces" / split, np.float16) as prior,
        ):
            for name in "abcd":
                hr.add(split + name, rng.integers(0, 256, (32, 32, 3), np.uint8))
                lr.add(split + name, rng.integers(0, 256, (4, 4, 3), np.uint8))
                prior.add(split + name, rng.random((32, 32, 1)).astype(np.float16))
    made.encoder("vit").mkdir(parents=True)
    write_encoder(ENCODER, made, made.encoder("vit"))
    return made


def test_a_run_holds_nothing_of_the_encoder_of_its_loss(layout: Layout) -> None:
    run = layout.run("judged")
    run.mkdir(parents=True)
    record = train_row("judged", ROW.resolved(), layout, run, "code")
    assert "encoder_sha256" in record and "loss_lpips" in (run / "seed0" / "curves.csv").read_text()
    saved = load_file(run / "seed0" / "weights.safetensors")
    assert set(saved) == set(tiny(deep_supervision=True).state_dict())
    assert record["parameters"] == sum(value.numel() for value in saved.values())
    shutil.rmtree(layout.encoder("vit"))
    method = load_trained(run, 0)
    assert (
        method.restore(torch.rand(1, 3, 4, 4, generator=torch_generator("lr")), torch.ones(1, 1, 32, 32), [0])
        .isfinite()
        .all()
    )
    assert isinstance(method, nn.Module) and not any("encoder." in name for name in method.state_dict())
