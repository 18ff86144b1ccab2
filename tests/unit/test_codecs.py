"""Codecs of latents: principal components in closed form, a KL autoencoder of the pipeline, Stable Diffusion's."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from pydantic import ValidationError
from safetensors.torch import save_file
from scipy import ndimage

from srledger.config import Params
from srledger.encoders import Encoder
from srledger.encoders import kl_vae as kl
from srledger.encoders import pca_codec as pca
from srledger.encoders import sd21_vae as sd
from srledger.encoders._sd_autoencoder import SdAutoencoder, named_as_now
from srledger.errors import SrledgerError
from srledger.io import read_json, write_json
from srledger.layout import Layout
from srledger.methods import Batch
from srledger.packs import PackWriter
from srledger.pipeline_encoders import load_encoder, write_encoder
from srledger.prior_config import why_no_encoder
from srledger.priors import PriorInput
from srledger.seeds import torch_generator
from srledger.settings import Dataset, EncoderSpec, Task
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch
from srledger.yamlmap import YamlFile

SIZES_PX = [(16, 24), (17, 22), (3, 5), (1, 1)]


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(128, 120, (height, width, 3))
    return ndimage.gaussian_filter(noise, (1.5, 1.5, 0)).clip(0, 255).astype(np.uint8)


def given(images: Sequence[np.ndarray]) -> list[PriorInput]:
    return [PriorInput(str(k), "train", image, image, None) for k, image in enumerate(images)]


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None] / 255


def patches_of(images: Sequence[np.ndarray], factor: int) -> np.ndarray:
    """float64 ``N x 3 factor^2`` of whole patches in [0, 1]: channel, row, column."""
    found = []
    for image in images:
        rows, columns = image.shape[0] // factor, image.shape[1] // factor
        cut = image[: rows * factor, : columns * factor].astype(np.float64) / 255
        found.append(cut.reshape(rows, factor, columns, factor, 3).transpose(0, 2, 4, 1, 3).reshape(rows * columns, -1))
    return np.concatenate(found)


def fitted(images: Sequence[np.ndarray], **config: int) -> pca.PcaCodec:
    codec = pca.PcaCodec(pca.Config(**config), {})
    codec.fit(given(images))
    return codec.eval()


IMAGES = [picture(k) for k in range(6)] + [picture(9, 26, 19)]


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    codec, patches = fitted(IMAGES, factor=2, channels=5), patches_of(IMAGES, 2)
    mean = patches.mean(axis=0)
    _, singular, vectors = np.linalg.svd(patches - mean, full_matrices=False)
    np.testing.assert_allclose(codec.mean.numpy(), mean, atol=1e-6)
    np.testing.assert_allclose(codec.deviation.numpy(), singular[:5] / np.sqrt(len(patches)), rtol=1e-5)
    along = codec.components.numpy() @ vectors[:5].T
    np.testing.assert_allclose(np.abs(along), np.eye(5), atol=1e-4)
    assert (codec.components.gather(1, codec.components.abs().argmax(dim=1, keepdim=True)) > 0).all()


def test_latents_of_the_training_images_are_white() -> None:
    codec = fitted([image[:24] for image in IMAGES[:6]], factor=4, channels=8)
    latents = torch.cat([codec.encode(tensor(image)) for image in IMAGES[:6]]).transpose(0, 1).flatten(1).double()
    assert latents.mean(dim=1).abs().max() < 1e-4
    torch.testing.assert_close(latents @ latents.T / latents.shape[1], torch.eye(8).double(), atol=2e-3, rtol=0)


def test_the_error_is_the_variance_of_what_is_left_out() -> None:
    """Eckart and Young: no linear codec of this size has less on these images."""
    images = IMAGES[:6]
    _, singular, _ = np.linalg.svd(patches_of(images, 4) - patches_of(images, 4).mean(axis=0), full_matrices=False)
    variances = singular**2 / len(patches_of(images, 4))
    for channels in (3, 12, 48):
        codec = fitted(images, factor=4, channels=channels)
        errors = [((codec.decode(codec.encode(x)) - x) ** 2).mean() for x in map(tensor, images)]
        assert float(torch.stack(errors).mean()) == pytest.approx(variances[channels:].sum() / 48, abs=1e-7, rel=1e-3)


def test_a_fit_hangs_on_neither_the_order_of_images_nor_on_threads() -> None:
    straight, threads = fitted(IMAGES), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        back = fitted(IMAGES[::-1])
    finally:
        torch.set_num_threads(threads)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, back.state_dict()[name]), name


def test_images_of_one_colour_make_latents_that_are_finite() -> None:
    codec = fitted([np.full((8, 8, 3), 90, np.uint8)], factor=4, channels=6)
    latents = codec.encode(tensor(picture(1)))
    assert torch.isfinite(latents).all() and codec.deviation.min() >= 1 / 255 / 12**0.5 * 0.999
    flat = tensor(np.full((8, 8, 3), 90, np.uint8))
    torch.testing.assert_close(codec.decode(codec.encode(flat)), flat, atol=1e-6, rtol=0)


def test_images_smaller_than_a_patch_say_so() -> None:
    with pytest.raises(SrledgerError, match="images of 8 px and more"):
        fitted([picture(0, 7, 30)], factor=8, channels=4)


@pytest.mark.parametrize(
    ("config", "wrong", "said"),
    [
        (pca.Config, {"factor": 2, "channels": 13}, "has 12 numbers"),
        (kl.Config, {"patch_px": 3}, "power of 2"),
        (kl.Config, {"widths": (8, 0)}, "must be positive"),
        (kl.Config, {"decoder_share": 1.0}, "decoder_share"),
        (sd.Config, {"widths": (8, 12), "norm_groups": 8}, "must divide widths"),
        (sd.Config, {"chanels": 4}, "chanels"),
    ],
)
def test_settings_that_make_no_codec_are_refused(config: type, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config.model_validate(wrong)


# ------------------------------------------------------------------- what all codecs have in common

SMALL_SD = sd.Config(widths=(8, 16, 16), blocks=1, norm_groups=4)


def waves(shapes: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Weights by a formula: sines, so that no random generator of any version has a say."""
    found = {}
    for k, (name, shape) in enumerate(sorted(shapes.items())):
        wave = torch.sin(torch.arange(shape.numel(), dtype=torch.float64) * 0.7 + k).reshape(shape)
        offset = 1 if name.endswith("weight") else 0
        found[name] = (wave / shape[1:].numel() ** 0.5 if len(shape) > 1 else offset + 0.1 * wave).float()
    return found


@pytest.fixture(scope="module")
def sd_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small autoencoder of Stable Diffusion's architecture, as a file of the catalogue."""
    with torch.device("meta"):
        network = SdAutoencoder(SMALL_SD.widths, SMALL_SD.blocks, SMALL_SD.channels, SMALL_SD.norm_groups)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(waves({name: value.shape for name, value in network.state_dict().items()}), path)
    return path


@pytest.fixture(params=["pca_codec", "kl_vae", "sd21_vae"])
def codec(request: pytest.FixtureRequest, sd_file: Path) -> Encoder:
    if request.param == "pca_codec":
        return fitted(IMAGES)
    if request.param == "sd21_vae":
        return sd.Sd21Vae(SMALL_SD, {"sd21_vae": sd_file})
    torch.manual_seed(0)
    return kl.KlVae(kl.Config(widths=(8, 8, 16), norm_groups=4), {}).eval()


@pytest.mark.parametrize("size_px", SIZES_PX)
def test_images_of_any_size_are_continued_and_cut_back(codec: Encoder, size_px: tuple[int, int]) -> None:
    height, width = size_px
    images = torch.rand(2, 3, height, width, generator=torch_generator("any", height))
    with torch.no_grad():
        latents = codec.encode(images)
        decoded = codec.decode(latents)
        continued = np.pad(images.numpy(), ((0, 0), (0, 0), (0, -height % 4), (0, -width % 4)), mode="edge")
        assert torch.equal(codec.encode(torch.from_numpy(continued)), latents)
        alone = codec.encode(images[1:])
    assert codec.factor == 4 and latents.dtype == decoded.dtype == torch.float32
    assert latents.shape == (2, codec.latent_channels, -(-height // 4), -(-width // 4))
    assert decoded.shape == (2, 3, 4 * latents.shape[2], 4 * latents.shape[3])
    assert decoded[..., :height, :width].shape == images.shape
    torch.testing.assert_close(alone, latents[1:], atol=1e-5, rtol=1e-5)


def test_gradients_reach_latents_and_images(codec: Encoder) -> None:
    codec.requires_grad_(False)
    images = torch.rand(1, 3, 16, 16, generator=torch_generator("gradient")).requires_grad_()
    latents = codec.encode(images)
    latents.retain_grad()
    codec.decode(latents).square().sum().backward()
    assert latents.grad is not None and images.grad is not None
    assert latents.grad.abs().sum() > 0 and images.grad.abs().sum() > 0


# ----------------------------------------------------------------------------------------- kl_vae


def tiny(**config: object) -> kl.KlVae:
    torch.manual_seed(0)
    return kl.KlVae(kl.Config.model_validate({"widths": (16, 16), "norm_groups": 4, **config}), {}).eval()


def batch(progress: float, seed: int = 0) -> Batch:
    hr = torch.cat([tensor(picture(k, 16, 16)) for k in range(8)])
    return Batch(hr, hr, hr[:, :1], progress, torch_generator("kl", seed))


def test_the_terms_of_the_loss_are_l1_gradients_and_divergence() -> None:
    codec = tiny(kl_weight=0.3, gradient_weight=0.7)
    found = codec.learner(1).loss(batch(0.0))
    hr = batch(0.0).hr * 2 - 1
    with torch.no_grad():
        mean, log_variance = codec.autoencoder.posterior(hr)
        posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
        noise = torch.randn(mean.shape, generator=torch_generator("kl", 0))
        wrong = codec.autoencoder.decode(posterior.mean + posterior.stddev * noise) - hr
    kl_term = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).mean()
    across = (wrong[..., 1:] - wrong[..., :-1]).abs().mean() + (wrong[..., 1:, :] - wrong[..., :-1, :]).abs().mean()
    torch.testing.assert_close(found["pixel"].detach(), wrong.abs().mean())
    torch.testing.assert_close(found["kl"].detach(), kl_term, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["total"].detach(), wrong.abs().mean() + 0.7 * across + 0.3 * kl_term)


def test_at_the_end_the_decoder_learns_alone_and_latents_become_unit() -> None:
    learner = tiny().learner(1)
    learner.loss(batch(0.85))["total"].backward()
    autoencoder = learner.encoder.autoencoder
    assert all(value.grad is None for value in [*autoencoder.levels.parameters(), *autoencoder.to_latent.parameters()])
    assert all(value.grad is not None for value in autoencoder.decoder.parameters())
    with torch.no_grad():
        latents = learner.encoder.encode(batch(0.85).hr)
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    torch.testing.assert_close(latents.std(dim=(0, 2, 3), correction=0), torch.ones(4), atol=1e-4, rtol=0)


def test_measured_statistics_move_latents_and_not_images() -> None:
    codec, images = tiny(), batch(0.0).hr
    with torch.no_grad():
        own, plain = codec.encode(images), codec.decode(codec.encode(images))
        codec.latent_mean += torch.tensor([1.0, -2.0, 3.0, 0.5])
        codec.latent_std *= 4.0
        torch.testing.assert_close(codec.encode(images)[:, 1], (own[:, 1] + 2) / 4, atol=1e-6, rtol=0)
        torch.testing.assert_close(codec.decode(codec.encode(images)), plain, atol=1e-5, rtol=0)


def test_a_few_steps_lower_the_error() -> None:
    prepare_torch(1, "cpu")
    learner = tiny().learner(1)
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
    terms = []
    for step in range(30):
        optimizer.zero_grad()
        loss = learner.loss(batch(0.5, step))
        loss["total"].backward()
        optimizer.step()
        terms.append(float(loss["pixel"].detach()))
    assert np.mean(terms[-3:]) < 0.6 * np.mean(terms[:3])


def test_the_sizes_of_the_default_autoencoder() -> None:
    with torch.device("meta"):
        codec = kl.KlVae(kl.Config(), {})
    assert codec.factor == 4 and sum(value.numel() for value in codec.parameters()) == 5_053_067


# ---------------------------------------------------------------------------------------- sd21_vae

# sha256 of "name HxWx...\n" for every tensor that AutoencoderKL of diffusers 0.42.1 has under Stable Diffusion 2.1's
# settings, sorted by name and without the last line's end.
NAMES_SHA256 = "0afb81fba3b73b60202b280b4d2850d6bc8a9ce2e04de56b5960181cb619af8f"


def test_names_and_sizes_are_those_of_the_published_file() -> None:
    config = sd.Config()
    with torch.device("meta"):
        network = SdAutoencoder(config.widths, config.blocks, config.channels, config.norm_groups)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 248 and sum(value.numel() for value in network.parameters()) == 83_653_863
    assert shapes["decoder.up_blocks.2.resnets.0.conv_shortcut.weight"] == (256, 512, 1, 1)
    assert shapes["encoder.mid_block.attentions.0.to_out.0.weight"] == (512, 512)
    listed = "\n".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in sorted(shapes.items()))
    assert hashlib.sha256(listed.encode()).hexdigest() == NAMES_SHA256


def test_latents_and_images_are_those_of_diffusers(sd_file: Path) -> None:
    """Golden values: AutoencoderKL of diffusers 0.42.1 with the same weights, for an image of sines."""
    codec = sd.Sd21Vae(SMALL_SD, {"sd21_vae": sd_file})
    image = torch.sin(torch.arange(3 * 16 * 24, dtype=torch.float64) * 0.05).reshape(1, 3, 16, 24).float()
    with torch.no_grad():
        latents = codec.encode((image + 1) / 2)
        decoded = 2 * codec.decode(latents) - 1
    own = latents / 0.18215
    expected = [1.0383154, 0.2184199, -0.6993108, -1.3043605]
    np.testing.assert_allclose(own[0, :, 1, 2].numpy(), expected, atol=1e-4)
    row = [-1.1634686, -1.3009009, -1.4673514, -1.3541358, -0.9350410, -0.5530947]
    np.testing.assert_allclose(own[0, 0, 3].numpy(), row, atol=1e-4)
    np.testing.assert_allclose(decoded[0, :, 5, 7].numpy(), [-0.8949605, -0.9707643, -0.9838071], atol=2e-4)
    np.testing.assert_allclose(
        decoded[0, 0, 15, ::6].numpy(), [-0.6331383, -0.3081096, -0.6021139, -0.7786566], atol=2e-4
    )


def test_the_scaling_is_on_latents_alone(sd_file: Path) -> None:
    image = tensor(picture(0, 16, 16))
    ours, plain = (
        sd.Sd21Vae(SMALL_SD.model_copy(update={"scaling": scaling}), {"sd21_vae": sd_file})
        for scaling in (0.18215, 1.0)
    )
    torch.testing.assert_close(ours.encode(image), 0.18215 * plain.encode(image))
    torch.testing.assert_close(ours.decode(ours.encode(image)), plain.decode(plain.encode(image)), atol=1e-5, rtol=1e-5)
    assert not any(value.requires_grad for value in ours.parameters()) and not ours.training


def test_older_files_name_their_attentions_otherwise(sd_file: Path, tmp_path: Path) -> None:
    new = sd.Sd21Vae(SMALL_SD, {"sd21_vae": sd_file}).network.state_dict()
    old = {}
    for name, value in new.items():
        for now, before in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            name = name.replace(f".{now}.", f".{before}.")
        is_projection = "attentions" in name and "group_norm" not in name and value.ndim == 2
        old[name] = (value[..., None, None] if is_projection else value).half().contiguous()
    renamed = named_as_now(old)
    assert renamed.keys() == new.keys() and {value.dtype for value in renamed.values()} == {torch.float32}
    save_file(old, tmp_path / "old.safetensors")
    again = sd.Sd21Vae(SMALL_SD, {"sd21_vae": tmp_path / "old.safetensors"}).network.state_dict()
    assert all(torch.equal(again[name], value.half().float()) for name, value in new.items())


def test_a_file_of_another_architecture_is_an_error(sd_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="weights of another architecture"):
        sd.Sd21Vae(sd.Config(widths=(8, 16), blocks=1, norm_groups=4), {"sd21_vae": sd_file})
    (tmp_path / "no.safetensors").write_bytes(b"not tensors at all")
    with pytest.raises(SrledgerError, match="weights of another architecture"):
        sd.Sd21Vae(SMALL_SD, {"sd21_vae": tmp_path / "no.safetensors"})


ENTRY = "sd_codec: { encoder: sd21_vae, task: faces_x4, weights: published }"


def params_with(tmp_path: Path, entry: str) -> Params:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("\nencoders:\n", f"\nencoders:\n  {entry}\n"), encoding="utf-8")
    return Params(YamlFile.read(tmp_path / "params.yaml"), "quick")


def test_without_its_file_the_published_codec_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = params_with(tmp_path, ENTRY)
    assert params.encoders["sd_codec"].weights == "published"
    why = why_no_encoder(params, "sd_codec")
    assert why is not None and "weights 'sd21_vae' are not among scales.quick.weights" in why
    for variable in ("SRLEDGER_WEIGHTS", "SRLEDGER_MIRROR", "SRLEDGER_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    block = params.block.model_copy(update={"weights": ("sd21_vae",)})
    monkeypatch.setattr(params, "block", block)
    assert "sd21_vae" in (why_no_encoder(params, "sd_codec") or "")


def test_the_published_codec_is_not_trained_here(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="can't be trained"):
        params_with(tmp_path, ENTRY.replace("published", "trained")).encoders["sd_codec"]


# ------------------------------------------------------------------------ codecs as a stage makes them


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A task of four images of 16 px."""
    layout = Layout("smoke", tmp_path)
    for name in ("dvc.yaml", "src", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    with (
        PackWriter(layout.packs("faces") / "train_hr", np.uint8) as hr,
        PackWriter(layout.packs("faces") / "train_lr", np.uint8) as lr,
    ):
        for k in range(4):
            hr.add(str(k), picture(k, 16, 16))
            lr.add(str(k), picture(k, 4, 4))
    images = [{"id": str(k), "split": "train", "landmarks": None} for k in range(4)]
    write_json(layout.packs("faces") / "images.json", images)
    return layout


def spec_of(plugin: str, config: pca.Config | kl.Config, **training: object) -> EncoderSpec:
    task = Task("faces", Dataset("faces", "synthetic_faces", None), "bicubic", config, 4, 16, ())
    settings = TrainingConfig.model_validate(
        {"steps": 6, "batch_size": 2, "threads": 1, "ema_decay": 0.0, "log_every_steps": 3, **training}
    )
    return EncoderSpec("codec", plugin, "trained", config, settings, task)


CODECS = [("pca_codec", pca.Config()), ("kl_vae", kl.Config(widths=(8, 8), norm_groups=4))]


@pytest.mark.parametrize(("plugin", "config"), CODECS)
def test_a_codec_is_read_as_it_was_made_and_made_the_same_again(
    layout: Layout, tmp_path: Path, plugin: str, config: pca.Config | kl.Config
) -> None:
    records = []
    for name in "ab":
        (tmp_path / name).mkdir()
        records.append(write_encoder(spec_of(plugin, config), layout, tmp_path / name))
    assert records[0] == records[1] == read_json(tmp_path / "a" / "encoder.json")
    assert (tmp_path / "a" / "curves.csv").exists() == (plugin == "kl_vae")
    codec = load_encoder(tmp_path / "a")
    assert not codec.training and not any(value.requires_grad for value in codec.parameters())
    image = tensor(picture(0, 16, 16))
    with torch.no_grad():
        assert codec.decode(codec.encode(image)).shape == image.shape
    if plugin == "pca_codec":
        own = fitted([picture(k, 16, 16) for k in range(4)])
        assert torch.equal(codec.encode(image), own.encode(image)) and records[0]["parameters"] == 0


def test_a_task_without_training_images_is_an_error(layout: Layout, tmp_path: Path) -> None:
    task = dataclasses.replace(spec_of(*CODECS[0]).task, name="empty")
    for kind in ("hr", "lr"):
        with PackWriter(layout.packs("empty") / f"train_{kind}", np.uint8):
            pass
    write_json(layout.packs("empty") / "images.json", [])
    (tmp_path / "c").mkdir()
    with pytest.raises(SrledgerError, match="no images to train on"):
        write_encoder(dataclasses.replace(spec_of(*CODECS[0]), task=task), layout, tmp_path / "c")
