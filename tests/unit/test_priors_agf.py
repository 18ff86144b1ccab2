"""Attribution-guided factorisation: what each rule keeps, numbers that can be worked out by hand, and whole maps."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srledger.encoders import Encoder
from srledger.encoders import dino_resnet50 as published
from srledger.errors import SrledgerError
from srledger.plugins import PluginConfig, plugin_class, plugin_config
from srledger.priors import PriorInput
from srledger.priors._factorisation import Recorder, Step, attribution_maps, factor, guided, of_pixels, of_sum, plain
from srledger.priors.resnet_agf import Config, ResnetAgf
from srledger.seeds import torch_generator


def drawn(*shape: int, name: str = "a") -> torch.Tensor:
    return torch.randn(*shape, generator=torch_generator("agf", name))


def conv_step(x: torch.Tensor, weight: torch.Tensor, **settings: int) -> Step:
    again = functools.partial(F.conv2d, **settings)
    return Step("conv2d", (x,), again(x, weight), again, weight, settings)


def sums(values: torch.Tensor) -> list[float]:
    return values.double().sum(dim=(1, 2, 3)).tolist()


STRIDED = {"stride": 2, "padding": 1}


def test_a_convolution_hands_back_by_weight_times_input() -> None:
    step = conv_step(
        torch.tensor([3.0, -4.0, 0.0]).reshape(1, 3, 1, 1), torch.tensor([2.0, 1.0, 9.0]).reshape(1, 3, 1, 1)
    )
    assert plain(step, torch.full((1, 1, 1, 1), 5.0)).flatten().tolist() == pytest.approx([3, 2, 0])


@pytest.mark.parametrize("settings", [{}, STRIDED, {"padding": 1, "groups": 2}])
def test_every_rule_of_a_convolution_keeps_the_sum(settings: dict[str, int]) -> None:
    x = drawn(1, 4, 9, 7).relu()
    step = conv_step(x, drawn(6, 4 // settings.get("groups", 1), 3, 3, name="weight"), **settings)
    size = (2, *step.output.shape[1:])
    attribution, gradients = drawn(*size, name="attribution"), drawn(*size, name="gradient")
    shared, sharpened = plain(step, attribution), guided(step, gradients, attribution)
    assert sums(shared) == pytest.approx(sums(attribution), abs=1e-3)
    assert sums(sharpened) == pytest.approx(sums(attribution), abs=1e-3)
    assert not sharpened[(x == 0).expand(2, -1, -1, -1)].any(), "where there is no input, nothing appears"
    assert (sharpened - shared).abs().max() > 0.1


def test_pixels_keep_the_sum_and_count_by_their_distance_from_the_extremes() -> None:
    x = drawn(1, 3, 8, 8)
    step = conv_step(x, drawn(5, 3, 3, 3, name="weight"), **STRIDED)
    attribution = drawn(2, *step.output.shape[1:], name="attribution")
    assert sums(of_pixels(step, attribution)) == pytest.approx(sums(attribution), abs=1e-3)
    line = conv_step(
        torch.tensor([0.0, 1.0, 3.0]).reshape(1, 1, 1, 3), torch.tensor([1.0, 1.0, -1.0]).reshape(1, 1, 1, 3)
    )
    # (0 - 0) 1 + (1 - 0) 1 + (3 - 3) (-1): all of it is the middle pixel's
    assert of_pixels(line, torch.ones(1, 1, 1, 1)).flatten().tolist() == pytest.approx([0, 1, 0])


def test_an_addition_parts_by_magnitude() -> None:
    first, second = of_sum(
        (torch.tensor([3.0, 5.0, 0.0]), torch.tensor([-1.0, -5.0, 0.0])), torch.tensor([8.0, 2.0, 4.0])
    )
    assert first.tolist() == pytest.approx([6, 1, 0]) and second.tolist() == pytest.approx([2, 1, 0])


def test_the_factor_of_two_places_is_that_worked_out_by_hand() -> None:
    values, guide = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2), torch.tensor([2.0, -3.0]).reshape(1, 1, 1, 2)
    # Means 1 (favoured) and 1/2: (R'R + I) = [[2, 1/2], [1/2, 5/4]]; the mixtures are (4/9, 2/9) and (2/9, 1/9).
    assert factor(values, guide).flatten().tolist() == pytest.approx([2 / 9, 1 / 9], abs=1e-3)
    assert factor(values, -guide).flatten().tolist() == [0, 0], "what is like the other side gets nothing"


def test_a_factor_is_highest_where_features_are_like_the_favoured_ones() -> None:
    values, guide = torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)
    values[0, 0, :, :2], values[0, 1, :, 2:] = 1, 1
    guide[0, 0, 0, 0], guide[0, 0, 0, 3] = 1, -1  # one place of either side says it of all that are like it
    found = factor(values, guide)[0, 0]
    assert (found[:, :2] > found[:, 2:].max() + 0.1).all()


class Colours(Encoder):
    """Unit 0 answers to red, unit 1 to green, unit 2 to neither; two layers, so that both kinds of rule are walked."""

    def __init__(self) -> None:
        super().__init__(PluginConfig(), {})
        self.first, self.second = nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 8, 3, 1, 1)
        for conv in (self.first, self.second):
            nn.init.zeros_(conv.weight)
            nn.init.constant_(conv.bias, 0.0)
        with torch.no_grad():
            self.first.weight[0, 0], self.first.weight[1, 1] = 1.0, 1.0
            self.second.weight[0, 0], self.second.weight[1, 1] = 1.0, 1.0
            self.second.weight[0, 1], self.second.weight[1, 0] = -1.0, -1.0
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [F.relu(self.second(F.relu(self.first(images))))]


def prior_input(hr: np.ndarray) -> PriorInput:
    return PriorInput("a", "train", hr, hr[::2, ::2], None)


def two_squares() -> np.ndarray:
    """Red in one corner, less of green in the opposite one, black between."""
    hr = np.zeros((32, 32, 3), np.uint8)
    hr[:12, :12, 0], hr[-8:, -8:, 1] = 255, 255
    return hr


def test_a_unit_is_seen_in_the_corner_that_it_answers_to_and_nowhere_else() -> None:
    image = torch.from_numpy(two_squares()).permute(2, 0, 1) / 255
    of_red, of_green = attribution_maps(Colours(), image, (0, 1))  # 16 x 16: the first stride is 2
    assert of_red[1:5, 1:5].min() > 0.3 and of_green[-3:, -3:].min() > 0.1
    for own in (of_red, of_green.flip(0, 1)):
        assert own[9:, 9:].sum() < 0, "the other colour speaks against it"
        assert own[7:, :6].abs().max() == own[:6, 9:].abs().max() == 0, "and the ground says nothing"


def test_heads_are_stretched_and_the_highest_holds_both() -> None:
    hr = two_squares()
    red, ground, green = (slice(2, 10), slice(2, 10)), (slice(2, 10), slice(-8, None)), (slice(-6, -1), slice(-6, -1))
    heads = {k: ResnetAgf(Config(encoder="e", map=k), None, Colours()).map_of(prior_input(hr)) for k in (0, 1, "max")}
    assert all(values.min() == 0 and values.max() == pytest.approx(1) for values in heads.values())
    assert heads[0][red].mean() > heads[0][ground].mean() + 0.3 > heads[0][green].mean() + 0.5
    assert heads[1][green].mean() > heads[1][ground].mean() + 0.3 > heads[1][red].mean() + 0.4
    assert min(heads["max"][red].mean(), heads["max"][green].mean()) > heads["max"][ground].mean() + 0.2


def tiny() -> Encoder:
    torch.manual_seed(0)
    config = plugin_config("encoders", "tiny_dino_resnet")(widths=(8, 16, 16, 24), blocks=(1, 2, 1, 1))
    return plugin_class("encoders", "tiny_dino_resnet")(config, {}).eval().requires_grad_(False)


@pytest.fixture
def resnet50(monkeypatch: pytest.MonkeyPatch) -> Encoder:
    """DINO's architecture with fewer blocks, batch norms that do something, and drawn weights."""
    import torchvision.models
    from torchvision.models.resnet import Bottleneck, ResNet

    def small(weights: None) -> ResNet:
        return ResNet(Bottleneck, [2, 1, 1, 1], width_per_group=16)

    def drawn_weights(path: Path) -> Mapping[str, torch.Tensor]:
        torch.manual_seed(0)
        state = {key: value for key, value in small(None).state_dict().items() if not key.startswith("fc.")}
        return {
            k: value + 0.3 * torch.randn_like(value) if "running_mean" in k else value for k, value in state.items()
        }

    monkeypatch.setattr(torchvision.models, "resnet50", small)
    monkeypatch.setattr(published, "read_published", drawn_weights)
    return published.DinoResnet50(published.Config(), {"dino_resnet50": Path()})


def picture(name: str = "a", side_px: int = 48) -> torch.Tensor:
    coarse = torch.rand(1, 3, 12, 12, generator=torch_generator("agf", "picture", name))
    return F.interpolate(coarse, size=side_px, mode="bicubic")[0].clamp(0, 1)


def test_a_head_is_the_same_alone_and_among_others_and_repeats() -> None:
    encoder = tiny()
    together = attribution_maps(encoder, picture(), (0, 1, 5))
    alone = torch.cat([attribution_maps(encoder, picture(), (rank,)) for rank in (0, 1, 5)])
    assert together.shape == (3, 24, 24) and torch.allclose(together, alone, atol=2e-3)
    assert torch.equal(together, attribution_maps(encoder, picture(), (0, 1, 5)))
    assert (together[0] - together[1]).abs().max() > 0.05 and (together[1] - together[2]).abs().max() > 0.05


def test_a_map_does_not_depend_on_what_stands_beside_its_image() -> None:
    hrs = [(picture(name, 32).permute(1, 2, 0) * 255).to(torch.uint8).numpy() for name in "abc"]
    prior = ResnetAgf(Config(encoder="e"), None, tiny())
    others: dict[str, PriorInput] = {}
    others |= {
        name: PriorInput(name, "train", hr, hr[::2, ::2], None, others) for name, hr in zip("abc", hrs, strict=True)
    }
    assert np.array_equal([prior.map_of(one) for one in others.values()], [prior.map_of(prior_input(hr)) for hr in hrs])


def test_the_published_architecture_is_walked_to_its_end(resnet50: Encoder) -> None:
    with torch.no_grad():
        before = resnet50(picture()[None])[-1]
        with Recorder() as recorder:
            recorded = resnet50(picture()[None])[-1]
    assert torch.equal(before, recorded), "operations in place are made out of place, and come to the same"
    assert {step.name for step in recorder.steps} == {"conv2d", "batch_norm", "relu", "max_pool2d", "add"}
    maps = attribution_maps(resnet50, picture(), (0, 1))
    assert maps.shape == (2, 24, 24) and torch.isfinite(maps).all()
    assert maps.abs().amax(dim=(1, 2)).tolist() == pytest.approx([1, 1]) and (maps.std(dim=(1, 2)) > 0.01).all()


@pytest.mark.parametrize("value", [0, 90, 255])
def test_a_blank_picture_gets_zeros(value: int) -> None:
    hr = np.full((32, 32, 3), value, np.uint8)
    hr[..., 1] //= 2
    values = ResnetAgf(Config(encoder="e"), None, tiny()).map_of(prior_input(hr))
    assert values.shape == (32, 32) and not values.any()


def test_units_that_are_all_silent_give_zeros() -> None:
    encoder = Colours()
    nn.init.constant_(encoder.second.bias, -100.0)
    assert not attribution_maps(encoder, picture(), (0, 1)).any()


def test_an_operation_without_a_rule_is_named() -> None:
    class Waved(Colours):
        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [torch.tanh(self.second(F.relu(self.first(images))))]

    with pytest.raises(SrledgerError, match="tanh"):
        attribution_maps(Waved(), picture(), (0,))
