"""A network that starts from the enlarged LR image: what its output stands for."""

from __future__ import annotations

import pytest
import torch

from srledger.diffusion.anchor import anchored
from srledger.diffusion.images import upsample
from srledger.diffusion.level import Denoise, Level
from srledger.diffusion.targets import Amplitudes, diffuse, image_of, target_of
from srledger.methods.sr3 import Config, Sr3
from srledger.seeds import torch_generator

STD = 0.2
SMALL = {
    "width": 8, "multipliers": (1, 2), "blocks": 1, "attention_levels": (), "norm_groups": 4, "train_steps": 10,
    "sampling_steps": 2, "target": "v", "dropout": 0.0, "sampler": "ddim",
}  # fmt: skip


def scene(signal: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Amplitudes]:
    """(anchor, z_0, eps, amplitudes) with residuals of the deviation that is assumed."""
    generator = torch_generator("anchor", str(signal))
    anchor, residual, eps = (torch.randn(4, 3, 32, 32, generator=generator) for _ in range(3))
    return anchor, anchor + STD * residual, eps, Amplitudes(signal, (1 - signal**2) ** 0.5)


def levels(signal: float) -> Level:
    return Level(torch.ones(4, dtype=torch.int64), torch.full((4,), signal))


def saying(number: float) -> Denoise:
    return lambda z, level: torch.full_like(z, number)


@pytest.mark.parametrize("signal", [0.0, 0.3, 0.9, 0.999])
def test_without_the_network_the_estimate_is_the_best_linear_one(signal: float) -> None:
    anchor, z0, eps, at = scene(signal)
    z = diffuse(z0, eps, at)
    v = anchored(saying(0.0), anchor, STD)(z, levels(signal))
    error = (image_of("v", v, z, at) - z0).std()
    expected = at.noise * STD / (at.signal**2 * STD**2 + at.noise**2) ** 0.5
    assert float(error) == pytest.approx(expected, rel=0.03)
    for share in (0.9, 1.1):  # of the step from the anchor: no other does better
        moved = anchor + share * (image_of("v", v, z, at) - anchor)
        assert (moved - z0).square().mean() >= error**2 * 0.999


@pytest.mark.parametrize("signal", [0.3, 0.9])
def test_the_output_that_is_missing_gives_v_and_is_of_unit_size(signal: float) -> None:
    anchor, z0, eps, at = scene(signal)
    z, wanted = diffuse(z0, eps, at), target_of("v", z0, eps, at)
    start, moved = (anchored(saying(number), anchor, STD)(z, levels(signal)) for number in (0.0, 1.0))
    scale = moved - start
    found = (wanted - start) / scale
    assert float(found.std()) == pytest.approx(1.0, rel=0.03)
    assert torch.allclose(anchored(lambda *_: found, anchor, STD)(z, levels(signal)), wanted, atol=1e-4)


def test_no_noise_at_all_divides_by_nothing() -> None:
    anchor, z0, _, _ = scene(1.0)
    v = anchored(saying(1.0), anchor, STD)(z0, levels(1.0))
    assert torch.isfinite(v).all()


def test_a_network_that_says_nothing_restores_the_anchor() -> None:
    method = Sr3(Config(**SMALL, anchor_std=STD), 4).eval()
    torch.nn.init.zeros_(method.unet.last[-1].weight)
    torch.nn.init.zeros_(method.unet.last[-1].bias)
    lr = torch.rand(2, 3, 8, 8, generator=torch_generator("lr"))
    with torch.no_grad():
        sr = method.restore(lr, torch.ones(2, 1, 32, 32), [1, 2])
    assert (sr - upsample(lr, 4)).abs().mean() < 0.05


def test_outside_the_mask_the_network_sees_zeros() -> None:
    anchor, z0, eps, at = scene(0.9)
    z, seen = diffuse(z0, eps, at), []
    z[..., :16, :] = 0

    def network(given: torch.Tensor, level: Level) -> torch.Tensor:
        seen.append(given)
        return given

    anchored(network, anchor, STD)(z, levels(0.9))
    assert not seen[0][..., :16, :].any() and float(seen[0][..., 16:, :].std()) == pytest.approx(1.0, rel=0.05)


def test_an_anchor_is_for_v_alone() -> None:
    with pytest.raises(ValueError, match="anchor_std is for target v, found eps"):
        Config(**{**SMALL, "target": "eps"}, anchor_std=STD)
