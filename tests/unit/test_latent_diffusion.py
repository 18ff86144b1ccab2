"""The latent diffusion model: its parts learn one after another, and its latents stay those that its denoiser knows."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from pydantic import ValidationError

from srledger.diffusion.autoencoder import kl_to_standard_normal
from srledger.encoders.latent_diffusion import Config, LatentDiffusionEncoder, LatentLearning
from srledger.methods import Batch
from srledger.packs import PackWriter
from srledger.provenance import stage_code
from srledger.seeds import torch_generator
from srledger.training import loop
from srledger.training.batches import Examples
from srledger.training.checkpoint import CheckpointStore, load_weights
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch
from srledger.training.loop import Job, train_seed

TINY = Config(
    patch_px=2, widths=(8, 8), denoiser_width=8, denoiser_multipliers=(1, 2), autoencoder_share=0.5, decoder_share=0.25
)


def tiny(config: Config = TINY) -> LatentDiffusionEncoder:
    torch.manual_seed(0)
    return LatentDiffusionEncoder(config, {}).eval()


def batch(progress: float, side_px: int = 16, size: int = 4) -> Batch:
    hr = torch.rand(size, 3, side_px, side_px, generator=torch_generator("hr"))
    return Batch(hr, hr, torch.ones_like(hr[:, :1]), progress, torch_generator("loss", round(progress * 1000)))


def parts(learner: LatentLearning) -> dict[str, list[torch.nn.Parameter]]:
    autoencoder = learner.encoder.model.autoencoder
    return {
        "encoder": [*autoencoder.levels.parameters(), *autoencoder.to_latent.parameters()],
        "decoder": list(autoencoder.decoder.parameters()),
        "denoiser": list(learner.encoder.denoiser.parameters()),
    }


@pytest.mark.parametrize(
    ("progress", "learns"),
    [(0.0, {"encoder", "decoder"}), (0.37, {"encoder", "decoder"}), (0.38, {"decoder"}), (0.5, {"denoiser"})],
)
def test_the_parts_learn_one_after_another(progress: float, learns: set[str]) -> None:
    learner = tiny().learner(1)
    learner.loss(batch(progress))["total"].backward()
    for name, parameters in parts(learner).items():
        assert {value.grad is not None for value in parameters} == {name in learns}, name


def test_latents_have_no_mean_and_unit_variance_once_they_are_measured() -> None:
    learner = tiny().learner(1)
    images = [batch(0.4 + 0.001 * k).hr for k in range(5)]
    for k, hr in enumerate(images):
        before = learner.encoder.encode(hr)
        learner.loss(Batch(hr, hr, hr[:, :1], 0.4 + 0.001 * k, torch_generator(k)))
        assert k > 0 or not torch.equal(learner.encoder.encode(hr), before)
    with torch.no_grad():
        latents = torch.cat([learner.encoder.encode(hr) for hr in images])
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(latents.std(dim=(0, 2, 3), correction=0), torch.ones(4), atol=1e-4)
    measured = learner.encoder.model.latent_mean.clone()
    learner.loss(batch(0.1))
    learner.loss(batch(0.9))
    assert torch.equal(learner.encoder.model.latent_mean, measured)


@pytest.mark.parametrize("side_px", [(16, 20), (17, 22), (3, 5)])
def test_images_of_any_size_have_latents(side_px: tuple[int, int]) -> None:
    encoder, images = tiny(), torch.rand(2, 3, *side_px, generator=torch_generator("any"))
    latents = encoder.encode(images)
    assert latents.shape == (2, 4, -(-side_px[0] // 4), -(-side_px[1] // 4))
    height, width = side_px
    cropped = encoder.decode(latents)[..., :height, :width]
    assert cropped.shape == images.shape
    continued = torch.nn.functional.pad(images, (0, -width % 4, 0, -height % 4), mode="replicate")
    assert torch.equal(encoder.encode(continued), latents)


def test_latents_are_decoded_as_the_autoencoder_has_them() -> None:
    encoder = tiny()
    images = batch(0.0).hr
    with torch.no_grad():
        plain = encoder.decode(encoder.encode(images))
        encoder.model.latent_mean += torch.tensor([1.0, -2.0, 3.0, 0.5])
        encoder.model.latent_std *= 4.0
        assert torch.allclose(encoder.decode(encoder.encode(images)), plain, atol=1e-5)
        mean, _ = encoder.model.autoencoder.posterior(images * 2 - 1)
        assert torch.allclose(encoder.encode(images)[:, 1], (mean[:, 1] + 2) / 4, atol=1e-6)


def test_the_divergence_is_that_of_normals() -> None:
    mean, log_variance = torch.tensor([0.5, -1.0]), torch.tensor([0.2, -0.7])
    found = kl_to_standard_normal(mean, log_variance)
    ours = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).mean()
    assert torch.allclose(found, expected)


def test_the_sizes_of_the_default_model() -> None:
    encoder = tiny(Config())
    count = {name: sum(value.numel() for value in values) for name, values in parts(encoder.learner(1)).items()}
    assert encoder.factor == 4 and count["encoder"] + count["decoder"] == 1_211_156
    with torch.device("meta"):  # without patches: the topology of Stable Diffusion's, which has 3 halvings
        assert LatentDiffusionEncoder(Config(patch_px=1, widths=(8, 8, 8, 8)), {}).factor == 8


def test_settings_that_make_no_model_are_refused() -> None:
    for wrong in ({"patch_px": 3}, {"widths": (8, 0)}, {"attention_levels": (2,)}, {"autoencoder_share": 1.0}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            Config.model_validate(wrong)


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    rng = np.random.default_rng(0)
    with (
        PackWriter(tmp_path / "task" / "train_hr", np.uint8) as hr,
        PackWriter(tmp_path / "task" / "train_lr", np.uint8) as lr,
    ):
        for name in "abcd":
            image = rng.integers(0, 256, (16, 16, 3), np.uint8)
            hr.add(name, image)
            lr.add(name, image)
    return Examples(tmp_path / "task", None, "train")


def test_the_autoencoder_of_the_result_is_what_the_latents_were_learnt_on(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the latents are measured, and while the denoiser learns: the same bits."""
    settings = TrainingConfig(steps=16, batch_size=2, threads=1, precision="bf16", ema_decay=0.0, weight_decay=0.1)
    prepare_torch(1, "cpu")

    def train(folder: Path) -> Path:
        learner = tiny().learner(1)
        return train_seed(Job("latents", learner, None, settings, examples, None), 0, folder).weights

    straight = train(tmp_path / "straight")
    frozen = {}
    draw = loop.draw_batch
    for stop_at in (6, 8):

        def draw_then_signal(examples, config, factor, row, seed, step, at=stop_at):  # type: ignore[no-untyped-def]
            if step == at:
                os.kill(os.getpid(), signal.SIGTERM)
            return draw(examples, config, factor, row, seed, step)

        monkeypatch.setattr(loop, "draw_batch", draw_then_signal)
        with pytest.raises(KeyboardInterrupt, match=f"stopped at step {stop_at + 1}"):
            train(tmp_path / f"stopped_{stop_at}")
        saved = CheckpointStore(tmp_path / f"stopped_{stop_at}").newest_valid()
        assert saved is not None
        frozen[stop_at] = saved[0]
        monkeypatch.setattr(loop, "draw_batch", draw)
        assert train(tmp_path / f"stopped_{stop_at}").read_bytes() == straight.read_bytes()
    learner = tiny().learner(1)
    load_weights(learner, straight)
    for name, value in learner.state_dict().items():
        before = frozen[8][f"method/{name}"]
        assert torch.equal(value, before) == ("denoiser" not in name), name
    assert float(learner.count[0]) == 2 * 2 * 16  # two steps of two images, 4 x 4 latent pixels each


def test_an_encoder_rests_on_the_diffusion_core_as_far_as_it_imports_it() -> None:
    def of_core(plugin: str) -> set[str]:
        code = stage_code(ROOT, "train_encoder", {"key": plugin, "encoder": plugin})
        return {path.name for path in code if path.parent.name == "diffusion"}

    assert {"autoencoder.py", "latent.py", "unet.py", "objective.py"} <= of_core("latent_diffusion")
    assert "sampler.py" not in of_core("latent_diffusion")
    assert of_core("tiny_dino_vit") == set()
