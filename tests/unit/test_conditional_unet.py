"""The denoiser under a context against diffusers', and low-rank adapters against the algebra that they are."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srledger.diffusion.conditional_unet import ConditionalUnet
from srledger.diffusion.lora import ADAPTED, Adapted, Widened, add_adapters, no_learning


def formula(unet: ConditionalUnet) -> ConditionalUnet:
    """Weights that are a function of their place alone."""
    with torch.no_grad():
        for n, (name, value) in enumerate(sorted(unet.named_parameters())):
            places = torch.arange(value.numel(), dtype=torch.float64)
            fan = value[0].numel() if value.ndim > 1 else 4
            about = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            value.copy_((torch.cos(1.7 * places + n) * (0.8 / math.sqrt(fan)) + about).reshape(value.shape))
    return unet


def wave(*shape: int) -> torch.Tensor:
    return torch.sin(torch.arange(math.prod(shape), dtype=torch.float64)).reshape(shape).float()


def small() -> ConditionalUnet:
    torch.manual_seed(0)
    return ConditionalUnet(4, 4, (8, 16), 1, (0,), 4, 6, 4)


TIME = torch.tensor([3, 399])


@pytest.mark.parametrize(
    ("shape", "place", "mean"),
    [
        ((2, 4, 6, 8), (-0.69589, 0.74574, -0.20772, -0.03037), 0.3013558),
        ((2, 4, 5, 7), (-0.29281, 0.40792, 0.05981, -0.22363), 0.2915816),  # sides that do not halve
    ],
)
def test_it_is_the_network_of_diffusers(shape: tuple[int, ...], place: tuple[float, ...], mean: float) -> None:
    """Golden values of diffusers 0.42.1's UNet2DConditionModel with the same weights."""
    context = torch.cos(torch.arange(36, dtype=torch.float64)).reshape(2, 3, 6).float()
    with torch.no_grad():
        found = formula(small())(wave(*shape), TIME, context)
    assert torch.allclose(found[1, :, 2, 3], torch.tensor(place), atol=2e-5)
    assert float(found.double().abs().mean()) == pytest.approx(mean, abs=1e-5)


def test_it_can_be_as_large_as_stable_diffusions() -> None:
    with torch.device("meta"):
        unet = ConditionalUnet(4, 4, (320, 640, 1280, 1280), 2, (0, 1, 2), 64, 1024, 32)
    assert sum(value.numel() for value in unet.parameters()) == 865_910_724  # as its published file has
    assert len(unet.state_dict()) == 686


def test_zeros_say_the_same_however_many_they_are() -> None:
    unet = small()
    with torch.no_grad():
        once, often = (unet(wave(2, 4, 4, 4), TIME, torch.zeros(2, count, 6)) for count in (1, 5))
        other = unet(wave(2, 4, 4, 4), TIME, wave(2, 5, 6))
    assert torch.allclose(once, often, atol=1e-6) and not torch.allclose(once, other, atol=1e-4)


def test_an_adapted_network_starts_as_the_frozen_one() -> None:
    unet = small()
    given = (wave(2, 4, 4, 4), TIME, wave(2, 3, 6))
    with torch.no_grad():
        before = unet(*given)
        add_adapters(unet, 2, 4.0)
        assert torch.allclose(unet(*given), before, atol=1e-6)
    learning = {name for name, value in unet.named_parameters() if value.requires_grad}
    assert learning and all(".lora_A." in name or ".lora_B." in name for name in learning)
    adapted = {name for name, module in unet.named_modules() if isinstance(module, Adapted)}
    assert {one for one in ADAPTED if any(f".{name}".endswith(f".{one}") for name in adapted)} == set(ADAPTED)
    assert not any(name.endswith(("conv_in", "conv_out", "time_emb_proj", "linear_1")) for name in adapted)


@pytest.mark.parametrize("base", [nn.Linear(5, 7), nn.Conv2d(5, 7, 3, stride=2, padding=1)])
def test_an_adapter_adds_a_product_of_two_factors(base: nn.Linear | nn.Conv2d) -> None:
    """What merging makes of it: one layer with the weight W + alpha / rank * B A."""
    layer = Adapted(base, rank=2, alpha=6.0)
    nn.init.normal_(layer.lora_B.weight)
    product = torch.einsum("or,ri...->oi...", layer.lora_B.weight.flatten(1), layer.lora_A.weight)
    weight = base.weight + 3.0 * product
    with torch.no_grad():
        if isinstance(base, nn.Linear):
            given = wave(3, 5)
            assert torch.allclose(layer(given), F.linear(given, weight, base.bias), atol=1e-5)
        else:
            given = wave(2, 5, 6, 6)
            assert torch.allclose(layer(given), F.conv2d(given, weight, base.bias, 2, 1), atol=1e-5)


def test_a_widened_convolution_sees_nothing_new_at_first() -> None:
    base = nn.Conv2d(4, 3, 3, padding=1)
    layer, given = Widened(base, 2), wave(2, 6, 5, 5)
    with torch.no_grad():
        assert torch.equal(layer(given), base(given[:, :4]))
        nn.init.normal_(layer.beside.weight)
        whole = torch.cat([base.weight, layer.beside.weight], dim=1)
        assert torch.allclose(layer(given), F.conv2d(given, whole, base.bias, padding=1), atol=1e-5)
    assert {name for name, value in layer.named_parameters() if value.requires_grad} == {"beside.weight"}


def test_a_network_without_the_named_layers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"none of the layers to_q.* is in the network"):
        add_adapters(nn.Sequential(nn.Linear(2, 2)), 2, 2.0)


def test_what_does_not_learn_lets_gradients_through() -> None:
    layer, given = nn.Linear(3, 1), wave(2, 3).requires_grad_(True)
    layer.bias.requires_grad_(False)
    with no_learning(layer):
        layer(given).sum().backward()
    assert layer.weight.grad is None and given.grad is not None
    assert layer.weight.requires_grad and not layer.bias.requires_grad
