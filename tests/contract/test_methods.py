"""Every method that is found obeys the same contract; a new file is tested before anyone writes a test for it."""

from __future__ import annotations

import pytest
import torch

from srledger.encoders import Encoder
from srledger.errors import SrledgerError
from srledger.methods import Batch, Method
from srledger.plugins import plugin_class, plugin_config, plugin_names
from srledger.row_encoders import can_build_on
from srledger.seeds import torch_generator

FACTOR = 4
LR_PX = 8
SHRINKS = {  # sizes that methods commonly have, made small
    "width": 8,
    "blocks": 1,
    "growth": 4,
    "refine_blocks": 1,
    "encoder_width": 8,
    "encoder_blocks": 1,
    "encoder_growth": 4,
    "sampling_steps": 4,
    "restorer_width": 8,
    "restorer_blocks": 1,
    "token_channels": 12,
    "adapter_width": 8,
    "lora_rank": 2,
}
SMALL_ENCODERS = {
    "latent_diffusion": {"widths": (8, 8), "denoiser_width": 8, "denoiser_multipliers": (1, 2)},
    "prompted_diffusion": {
        "widths": (8, 8),
        "denoiser_widths": (8, 16),
        "head_channels": 8,
        "context_channels": 12,
        "captioner_width": 4,
    },
    "vre": {"widths": (8, 8), "codes": 16, "code_channels": 8, "prompts": 6},
}


def encoder_for(method: type[Method]) -> Encoder:
    """A small untrained encoder that a method can build on."""
    name = next(name for name in SMALL_ENCODERS if can_build_on(method, plugin_class("encoders", name)))
    return plugin_class("encoders", name)(plugin_config("encoders", name)(**SMALL_ENCODERS[name]), {}).eval()


def build(name: str, factor: int = FACTOR) -> Method:
    """The method with its widths made small, where its Config has them, on an encoder where it builds on one."""
    plugin, config = plugin_class("methods", name), plugin_config("methods", name)
    large = config()
    small = {key: value for key, value in SHRINKS.items() if getattr(large, key, value) > value}
    torch.manual_seed(0)
    built_on = (encoder_for(plugin),) if plugin.builds_on else ()
    return plugin(config(**small), factor, *built_on)


def prior(name: str, size: int, height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Maps as large as the HR images; for a method that takes tokens, one for every 8 x 8 px."""
    if "token_channels" in plugin_config("methods", name).model_fields:
        return torch.randn(size, SHRINKS["token_channels"], height // 8, width // 8, generator=generator)
    return torch.rand(size, 1, height, width, generator=generator)


def batch(name: str, size: int = 3, progress: float = 0.5) -> Batch:
    generator = torch_generator("contract", size)
    lr = torch.rand(size, 3, LR_PX, LR_PX, generator=generator)
    hr = torch.rand(size, 3, LR_PX * FACTOR, LR_PX * FACTOR, generator=generator)
    maps = prior(name, size, LR_PX * FACTOR, LR_PX * FACTOR, generator)
    return Batch(lr, hr, maps, progress, torch_generator("contract loss"))


methods = pytest.mark.parametrize("name", plugin_names("methods"))


@methods
def test_restore_gives_the_hr_shape(name: str) -> None:
    given = batch(name)
    with torch.inference_mode():
        sr = build(name).eval().restore(given.lr, given.prior, [1, 2, 3])
    assert sr.shape == given.hr.shape and torch.isfinite(sr).all()


@methods
def test_restore_takes_images_that_are_not_square(name: str) -> None:
    given = prior(name, 1, 32, 48, torch_generator("contract"))
    with torch.inference_mode():
        sr = build(name).eval().restore(torch.rand(1, 3, 8, 12), given, [1])
    assert sr.shape == (1, 3, 32, 48)


@methods
def test_restore_is_a_function_of_image_and_seed(name: str) -> None:
    given, method = batch(name), build(name).eval()
    with torch.inference_mode():
        together = method.restore(given.lr, given.prior, [1, 2, 3])
        again = method.restore(given.lr, given.prior, [1, 2, 3])
        alone = [method.restore(given.lr[k : k + 1], given.prior[k : k + 1], [k + 1]) for k in range(3)]
    assert torch.equal(together, again)
    # An untrained noise predictor enlarges rounding: up to 2.1e-5 on processors without AVX-512.
    assert torch.allclose(together, torch.cat(alone), atol=1e-4 if name == "sr3" else 1e-5)


@methods
def test_the_loss_trains_every_parameter(name: str) -> None:
    method = build(name).train()
    if not method.trainable:
        with pytest.raises(TypeError):
            method.loss(batch(name))
        return
    for progress in (0.0, 0.5):  # a method may teach one part after another
        terms = method.loss(batch(name, progress=progress))
        assert all(term.ndim == 0 for term in terms.values())
        terms["total"].backward()
    wanting = [key for key, value in method.named_parameters() if value.requires_grad and value.grad is None]
    assert wanting == []


@methods
def test_a_few_steps_lower_the_loss(name: str) -> None:
    method, given = build(name).train(), batch(name, 2)
    if not method.trainable:
        pytest.skip(f"{name} is not trained")
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        total = method.loss(given)["total"]
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    assert min(losses[-5:]) < losses[0]


@methods
def test_the_default_config_is_whole(name: str) -> None:
    config = plugin_config("methods", name)()
    assert type(config).model_validate_json(config.model_dump_json()) == config


def test_an_unknown_plugin_names_the_nearest() -> None:
    with pytest.raises(SrledgerError, match="rrdb"):
        plugin_class("methods", "rrbd")


@pytest.mark.parametrize(
    "name", [name for name in plugin_names("methods") if plugin_class("methods", name).any_scale_factor]
)
def test_weights_of_a_method_of_any_scale_factor_fit_at_each(name: str) -> None:
    shapes = [{key: value.shape for key, value in build(name, by).state_dict().items()} for by in (2, 3, 4, 8)]
    assert all(each == shapes[0] for each in shapes)


@methods
def test_network_evaluations_are_a_number_of_the_settings_alone(name: str) -> None:
    plugin, config = plugin_class("methods", name), plugin_config("methods", name)()
    assert plugin.network_evaluations(config) >= (1 if plugin.trainable or plugin.weights else 0)
