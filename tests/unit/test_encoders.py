"""Encoders of the pipeline: they learn without collapsing, resume to the bit, and are told apart when they change."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from srledger.config import Params
from srledger.data.synthetic_faces import Config as FacesConfig
from srledger.data.synthetic_faces import SyntheticFaces
from srledger.encoders import Encoder
from srledger.encoders._self_distillation import Distillation, SelfDistillation, share_of_entropy
from srledger.encoders._views import blurred, random_crop, recoloured, solarised
from srledger.encoders._vit import VisionTransformer
from srledger.encoders.tiny_dino_resnet import Config as ResnetConfig
from srledger.encoders.tiny_dino_resnet import TinyDinoResnet
from srledger.encoders.tiny_dino_vit import Config as VitConfig
from srledger.encoders.tiny_dino_vit import TinyDinoVit
from srledger.errors import SrledgerError
from srledger.imresize import imresize_uint8
from srledger.layout import Layout, write_inactive
from srledger.metrics._pipeline_encoder import ENCODER
from srledger.packs import PackWriter
from srledger.pipeline_encoders import load_encoder, write_encoder
from srledger.seeds import torch_generator
from srledger.settings import Dataset, EncoderSpec, Task
from srledger.training import loop
from srledger.training.batches import Examples
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch
from srledger.training.loop import Job, train_seed
from srledger.yamlmap import YamlFile

ROOT = Path(__file__).parents[2]
VIEWS = Distillation(global_px=16, local_px=8, local_views=2, outputs=32, hidden=32, bottleneck=16)
VIT = VitConfig(width=24, depth=2, heads=2, hidden=32, size_px=32, distillation=VIEWS)
RESNET = ResnetConfig(widths=(8, 8, 16, 16), size_px=32, distillation=VIEWS)
TRAINING = TrainingConfig(
    steps=10, batch_size=8, threads=1, ema_decay=0.0, flip=False, log_every_steps=5, checkpoint_every_steps=4
)  # fmt: skip


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces of 32 px and their LR images of 8 px, as a task keeps them."""
    folder = tmp_path_factory.mktemp("root") / "data" / "smoke" / "packs" / "faces"
    source = SyntheticFaces(FacesConfig(seed=0, size_px=32, n_identities={"train": 24, "val": 1, "test": 1}))
    with PackWriter(folder / "train_hr", np.uint8) as hrs, PackWriter(folder / "train_lr", np.uint8) as lrs:
        for image in source.images():
            if image.split == "train":
                hrs.add(image.id, image.pixels)
                lrs.add(image.id, imresize_uint8(image.pixels, 8, 8))
    return folder


def built(config: VitConfig | ResnetConfig) -> Encoder:
    torch.manual_seed(0)
    return TinyDinoVit(config, {}) if isinstance(config, VitConfig) else TinyDinoResnet(config, {})


def job(packs: Path, config: VitConfig | ResnetConfig, training: TrainingConfig = TRAINING) -> Job:
    prepare_torch(training.threads, training.device)
    return Job("encoder", built(config).learner(4), None, training, Examples(packs, None, "train"), None)


def test_examples_without_a_prior_have_a_map_of_ones(packs: Path) -> None:
    hr, lr, prior = Examples(packs, None, "train")[3]
    assert hr.shape == (32, 32, 3) and lr.shape == (8, 8, 3) and prior.shape == (32, 32, 1) and (prior == 1).all()


@pytest.mark.parametrize("config", [VIT, RESNET])
def test_a_stopped_self_distillation_ends_in_the_same_bits(
    packs: Path, tmp_path: Path, config: VitConfig | ResnetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train_seed(job(packs, config), 0, tmp_path / "straight")
    draw = loop.draw_batch

    def draw_then_signal(examples, config, factor, row, seed, step):  # type: ignore[no-untyped-def]
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(examples, config, factor, row, seed, step)

    monkeypatch.setattr(loop, "draw_batch", draw_then_signal)
    with pytest.raises(KeyboardInterrupt):
        train_seed(job(packs, config), 0, tmp_path / "stopped")
    monkeypatch.setattr(loop, "draw_batch", draw)
    resumed = train_seed(job(packs, config), 0, tmp_path / "stopped")
    assert resumed.weights.read_bytes() == straight.weights.read_bytes()
    assert resumed.curves == straight.curves
    assert {name for _, name, _ in straight.curves} >= {"loss_total", "loss_entropy_of_each", "loss_entropy_of_mean"}
    assert not any(name.startswith("psnr") for _, name, _ in straight.curves)


def last_of(packs: Path, folder: Path, config: VitConfig | ResnetConfig = VIT, **settings: float) -> dict[str, float]:
    """The last value of each curve of a short training."""
    config = config.model_copy(update={"distillation": VIEWS.model_copy(update=settings)})
    training = TRAINING.model_copy(update={"steps": 60, "batch_size": 24, "learning_rate": 2e-3, "warmup_steps": 10})
    return {name: value for _, name, value in train_seed(job(packs, config, training), 0, folder).curves}


@pytest.mark.parametrize("config", [VIT, RESNET])
def test_it_collapses_neither_to_one_answer_nor_to_the_uniform_one(
    packs: Path, tmp_path: Path, config: VitConfig | ResnetConfig
) -> None:
    last = last_of(packs, tmp_path, config)
    assert last["loss_entropy_of_mean"] > 0.7, "not all images get one answer"
    assert last["loss_entropy_of_each"] < last["loss_entropy_of_mean"] - 0.1, "an answer is not the uniform one"


def test_a_collapse_to_one_answer_shows_in_the_curves(packs: Path, tmp_path: Path) -> None:
    assert last_of(packs, tmp_path, teacher_momentum=0.9, centre_momentum=0.99)["loss_entropy_of_mean"] < 0.1


def test_entropy_is_a_share_of_the_greatest() -> None:
    one = torch.zeros(8, 16).index_fill(1, torch.tensor([3]), 1.0)
    assert share_of_entropy(one.mean(dim=0)) == pytest.approx(0, abs=1e-6)
    assert share_of_entropy(torch.full((8, 16), 1 / 16)).mean() == pytest.approx(1)
    apart = torch.eye(16)
    assert share_of_entropy(apart).max() < 1e-6 and share_of_entropy(apart.mean(dim=0)) == pytest.approx(1)


def test_the_teacher_follows_the_student_and_learns_nothing_itself(packs: Path) -> None:
    learner = built(VIT).learner(4)
    assert isinstance(learner, SelfDistillation)
    before = [value.clone() for value in learner.teacher.parameters()]
    with torch.no_grad():
        for value in learner.student.parameters():
            value.add_(1.0)
    learner._follow(0.0)
    moved = [(after - old).abs().max() for after, old in zip(learner.teacher.parameters(), before, strict=True)]
    assert all(value == pytest.approx(1 - VIEWS.teacher_momentum, rel=1e-3) for value in moved)
    learner._follow(1.0)  # at the end it stands still
    assert all(not value.requires_grad for value in learner.teacher.parameters())


def test_views_are_drawn_from_the_generator_alone() -> None:
    images = torch.rand(6, 3, 32, 40, generator=torch_generator("views"))
    for view in (
        lambda generator: random_crop(images, 16, (0.2, 0.5), generator),
        lambda generator: recoloured(images, 0.4, generator),
        lambda generator: blurred(images, 0.5, generator),
        lambda generator: solarised(images, 0.5, generator),
    ):
        first, second, other = view(torch_generator(1)), view(torch_generator(1)), view(torch_generator(2))
        assert torch.equal(first, second) and not torch.equal(first, other)
        assert first.min() >= 0 and first.max() <= 1


def test_a_crop_is_a_part_of_its_own_image() -> None:
    x = torch.linspace(0, 1, 64).expand(4, 3, 64, 64)
    crops = random_crop(x, 16, (0.1, 0.1), torch_generator("part"))
    assert crops.shape == (4, 3, 16, 16)
    widths = (crops[:, 0, 8, -1] - crops[:, 0, 8, 0]).abs()
    assert (widths > 0.2).all() and (widths < 0.42).all()  # sqrt(0.1), its aspect between 3/4 and 4/3
    assert len({round(float(crop[0, 8, 0]), 3) for crop in crops}) == 4


def test_the_transformer_is_timms() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(
        "vit_small_patch8_224.dino", pretrained=False, depth=2, embed_dim=24, num_heads=2, num_classes=0, img_size=32,
    ).eval()  # fmt: skip
    ours = VisionTransformer(8, 24, 2, 2, 96, 4).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 32, 32, generator=torch_generator("timm"))
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs(images), atol=1e-5)
        found = ours.attention(images)
    theirs.blocks[-1].attn.fused_attn = False
    seen: list[torch.Tensor] = []
    theirs.blocks[-1].attn.attn_drop.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        theirs(images)
    assert torch.allclose(found, seen[0][:, :, 0, 1:].unflatten(2, (4, 4)), atol=1e-6)


def test_attention_and_maps_at_another_size() -> None:
    encoder = built(VIT).eval()
    with torch.no_grad():
        attention = encoder.attention(torch.rand(2, 3, 48, 32))
        maps = encoder(torch.rand(2, 3, 48, 32))
    assert attention.shape == (2, 2, 12, 8) and (attention.sum(dim=(2, 3)) <= 1 + 1e-5).all()
    assert [tuple(values.shape) for values in maps] == [(2, 24, 12, 8)] * 2


def test_gradients_reach_the_image_through_both_kernels() -> None:
    encoder = built(VIT).eval().requires_grad_(False)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    with_gradient = encoder(images)[-1]
    with_gradient.sum().backward()
    with torch.no_grad():
        assert torch.allclose(encoder(images)[-1], with_gradient, atol=1e-5)
    assert images.grad is not None and images.grad.abs().sum() > 0


def spec(packs: Path, weights: str = "trained") -> EncoderSpec:
    task = Task("faces", Dataset("faces", "synthetic_faces", None), "bicubic", VIT, 4, 32, ())
    return EncoderSpec("tiny", "tiny_dino_vit", weights, VIT, TRAINING, task)  # type: ignore[arg-type]


def written(packs: Path, folder: Path, weights: str = "trained") -> dict[str, object]:
    root = packs.parents[3]
    if not (root / "dvc.yaml").exists():
        for name in ("dvc.yaml", "src", "stages"):
            (root / name).symlink_to(ROOT / name)
    folder.mkdir()
    return write_encoder(spec(packs, weights), Layout("smoke", root), folder)


def test_an_encoder_is_read_as_it_was_written(packs: Path, tmp_path: Path) -> None:
    record = written(packs, tmp_path / "tiny")
    assert {path.name for path in (tmp_path / "tiny").iterdir()} == {
        "encoder.json",
        "weights.safetensors",
        "curves.csv",
    }
    encoder = load_encoder(tmp_path / "tiny")
    assert sum(value.numel() for value in encoder.parameters()) == record["parameters"]
    assert not encoder.training and not any(value.requires_grad for value in encoder.parameters())
    assert written(packs, tmp_path / "again")["weights_sha256"] == record["weights_sha256"]


def test_the_random_control_is_where_training_began(packs: Path, tmp_path: Path) -> None:
    assert (
        written(packs, tmp_path / "a", "random")["weights_sha256"] != written(packs, tmp_path / "b")["weights_sha256"]
    )
    first, second = (load_encoder(tmp_path / name).state_dict() for name in "ab")
    assert not torch.equal(first["vit.pos_embed"], second["vit.pos_embed"])
    again = written(packs, tmp_path / "c", "random")
    assert again["weights_sha256"] == written(packs, tmp_path / "d", "random")["weights_sha256"]


def test_an_encoder_that_is_not_there_or_not_the_same_is_refused(packs: Path, tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="an encoder was not made"):
        load_encoder(tmp_path / "none")
    write_inactive(tmp_path / "off", "scale smoke has no encoder 'off'")
    with pytest.raises(SrledgerError, match="scale smoke has no encoder 'off'"):
        load_encoder(tmp_path / "off")
    written(packs, tmp_path / "tiny", "random")
    weights = tmp_path / "tiny" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(SrledgerError, match="have changed since"):
        load_encoder(tmp_path / "tiny")


def test_sizes_of_the_default_encoders() -> None:
    sizes = {type(encoder).__name__: sum(value.numel() for value in encoder.parameters())
             for encoder in (built(VitConfig()), built(ResnetConfig()))}  # fmt: skip
    assert sizes == {"TinyDinoVit": 1_210_560, "TinyDinoResnet": 886_304}


def test_the_encoder_of_the_metrics_is_what_their_stages_wait_for() -> None:
    params = Params.load(ROOT, "quick")
    assert params.encoders[ENCODER].training.seeds == (0,) and params.encoders[ENCODER].training.ema_decay == 0
    for file, stages in (
        ("dvc.yaml", ("evaluate", "evaluate_transfers")),
        ("ablations/dvc.yaml", ("evaluate", "evaluate_sampled")),
    ):
        of_file = YamlFile.read(ROOT / file).values["stages"]
        for stage in stages:
            assert f"data/${{scale}}/encoders/{ENCODER}" in of_file[stage]["do"]["deps"]
