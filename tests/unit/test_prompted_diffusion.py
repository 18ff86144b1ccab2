"""The diffusion prior under a context: its parts learn one after another, and its captioner is dropped."""

from __future__ import annotations

import pytest
import torch
from conftest import ROOT
from pydantic import ValidationError

from srledger.diffusion.stable_diffusion import Views, ddim_levels, nearest_level, stable_diffusion_schedule
from srledger.encoders.prompted_diffusion import Config, PromptedDiffusion, PromptedLearning
from srledger.methods import Batch
from srledger.provenance import stage_code
from srledger.seeds import torch_generator

SIZES = {"widths": (8, 8), "denoiser_widths": (8, 16), "head_channels": 8, "context_channels": 6, "captioner_width": 4}
SHARES = {"autoencoder_share": 0.5, "decoder_share": 0.25}


def tiny(**settings: object) -> PromptedDiffusion:
    torch.manual_seed(0)
    return PromptedDiffusion(Config.model_validate({**SIZES, **SHARES, **settings}), {}).eval()


def batch(progress: float, name: str = "loss") -> Batch:
    hr = torch.rand(4, 3, 16, 16, generator=torch_generator("hr"))
    return Batch(hr, hr, torch.ones_like(hr[:, :1]), progress, torch_generator(name))


def parts(learner: PromptedLearning) -> dict[str, list[torch.nn.Parameter]]:
    autoencoder = learner.encoder.model.autoencoder
    return {
        "encoder": [*autoencoder.levels.parameters(), *autoencoder.to_latent.parameters()],
        "decoder": list(autoencoder.decoder.parameters()),
        "denoiser": list(learner.encoder.denoiser.parameters()),
        "captioner": list(learner.captioner.parameters()),
    }


@pytest.mark.parametrize(
    ("progress", "learns"),
    [(0.0, {"encoder", "decoder"}), (0.38, {"decoder"}), (0.5, {"denoiser", "captioner"})],
)
def test_the_parts_learn_one_after_another(progress: float, learns: set[str]) -> None:
    learner = tiny().learner(1)
    learner.loss(batch(progress))["total"].backward()
    for name, parameters in parts(learner).items():
        assert {value.grad is not None for value in parameters} == {name in learns}, name


def test_without_captions_nothing_reaches_the_denoiser_but_zeros() -> None:
    contexts: list[torch.Tensor] = []
    for share in (0.0, 0.5, 1.0):
        learner = tiny(caption_dropout=share).learner(1)
        learner.encoder.denoiser.register_forward_pre_hook(lambda network, given: contexts.append(given[2]))
        learner.loss(batch(0.9))
    spoken = [[bool(one.detach().abs().sum() > 0) for one in context] for context in contexts]
    assert spoken[0] == [True] * 4 and spoken[2] == [False] * 4 and len(set(spoken[1])) == 2
    assert all(context.shape == (4, 4, 6) for context in contexts)


def test_the_denoiser_learns_the_noise_of_stable_diffusions_schedule() -> None:
    """The loss by hand: the same draws, the same network."""
    learner = tiny(caption_dropout=1.0).learner(1)
    given, generator = batch(0.9), torch_generator("loss")
    with torch.no_grad():
        latents = learner.encoder.encode(given.hr)
        time = torch.randint(1, 1001, (4,), generator=generator) - 1
        eps = torch.randn(latents.shape, generator=generator)
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        kept = torch.cumprod(1 - betas, 0)[time].view(-1, 1, 1, 1)
        z = kept.sqrt().float() * latents + (1 - kept).sqrt().float() * eps
        expected = (learner.encoder.denoiser(z, time, torch.zeros(4, 4, 6)) - eps).square().mean()
        assert torch.allclose(learner.loss(given)["total"], expected, atol=1e-6)


def test_the_captioner_is_no_part_of_the_encoder() -> None:
    learner = tiny().learner(1)
    assert learner.learned is learner.encoder
    assert not any("caption" in name for name in learner.learned.state_dict())
    assert any("caption" in name for name in learner.state_dict())


def test_levels_are_found_by_what_they_leave_of_the_image() -> None:
    schedule = stable_diffusion_schedule()
    assert nearest_level(0.42609) == 400 and float(schedule.gammas[400]) == pytest.approx(0.42609, abs=5e-6)
    assert Views.at(nearest_level(0.42609), 2, torch.device("cpu")).time.tolist() == [399, 399]
    assert nearest_level(0.999) == 1 + int((schedule.gammas[1:] - 0.999).abs().argmin())
    assert nearest_level(0.0) == 1000 and nearest_level(1.0) == 1


def test_an_image_comes_back_from_under_its_noise() -> None:
    views = Views.drawn(3, torch_generator("views"), last=400)
    z0, eps = torch.randn(2, 3, 4, 2, 2, generator=torch_generator("both"))
    assert torch.allclose(views.image(eps, views.under(z0, eps)), z0, atol=1e-5)
    assert int(views.time.min()) >= 0 and int(views.time.max()) <= 399


@pytest.mark.parametrize(
    ("steps", "levels"), [(1, [400, 0]), (2, [400, 200, 0]), (3, [400, 267, 133, 0]), (8, [*range(400, -1, -50)])]
)
def test_sampling_goes_down_evenly(steps: int, levels: list[int]) -> None:
    assert ddim_levels(400, steps) == levels


def test_the_default_sizes() -> None:
    encoder = PromptedDiffusion(Config(), {})
    assert encoder.factor == 4 and encoder.context_channels == 128
    autoencoder, denoiser = (
        sum(value.numel() for value in part.parameters()) for part in (encoder.model.autoencoder, encoder.denoiser)
    )
    assert (autoencoder, denoiser) == (1_211_156, 3_193_604)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"patch_px": 3}, "power of 2"),
        ({"widths": (8, 0)}, "widths"),
        ({"attention_levels": (2,)}, "attention_levels"),
        ({"denoiser_widths": (12, 16)}, "norm_groups"),
        ({"head_channels": 24}, "head_channels"),
        ({"caption_dropout": 1.5}, "caption_dropout"),
    ],
)
def test_settings_that_make_no_model_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config.model_validate(wrong)


def test_it_rests_on_what_it_imports() -> None:
    code = stage_code(ROOT, "train_encoder", {"key": "prior", "encoder": "prompted_diffusion"})
    names = {path.name for path in code if path.parent.name == "diffusion"}
    assert {"conditional_unet.py", "stable_diffusion.py", "autoencoder.py", "schedules.py"} <= names
    assert not {"lora.py", "latent_gan.py", "edges.py"} & names
