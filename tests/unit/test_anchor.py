"""A network that starts from the enlarged LR image: what its output stands for."""

from __future__ import annotations

import pytest
import torch

from srledger.diffusion.anchor import anchored_v
from srledger.diffusion.images import upsample
from srledger.diffusion.targets import Amplitudes, diffuse, image_of, target_of
from srledger.methods import Batch
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


@pytest.mark.parametrize("signal", [0.0, 0.3, 0.9, 0.999])
def test_without_the_network_the_estimate_is_the_best_linear_one(signal: float) -> None:
    anchor, z0, eps, at = scene(signal)
    z = diffuse(z0, eps, at)
    v = anchored_v(torch.zeros_like(z), z, anchor, torch.full((4,), signal), STD)
    error = (image_of("v", v, z, at) - z0).std()
    expected = at.noise * STD / (at.signal**2 * STD**2 + at.noise**2) ** 0.5
    assert float(error) == pytest.approx(expected, rel=0.03)
    for share in (0.9, 1.1):  # of the step from the anchor: no other does better
        moved = anchor + share * (image_of("v", v, z, at) - anchor)
        assert (moved - z0).square().mean() >= error**2 * 0.999


@pytest.mark.parametrize("signal", [0.3, 0.9])
def test_the_output_that_is_missing_gives_v_and_is_of_unit_size(signal: float) -> None:
    anchor, z0, eps, at = scene(signal)
    z, levels = diffuse(z0, eps, at), torch.full((4,), signal)
    wanted, start = target_of("v", z0, eps, at), anchored_v(torch.zeros_like(z), z, anchor, levels, STD)
    scale = anchored_v(torch.ones_like(z), z, anchor, levels, STD) - start
    found = (wanted - start) / scale
    assert float(found.std()) == pytest.approx(1.0, rel=0.03)
    assert torch.allclose(anchored_v(found, z, anchor, levels, STD), wanted, atol=1e-4)


def test_no_noise_at_all_divides_by_nothing() -> None:
    anchor, z0, _, _ = scene(1.0)
    v = anchored_v(torch.ones_like(z0), z0, anchor, torch.ones(4), STD)
    assert torch.isfinite(v).all()


def test_a_network_that_says_nothing_restores_the_anchor() -> None:
    method = Sr3(Config(**SMALL, anchor_std=STD), 4).eval()
    torch.nn.init.zeros_(method.unet.last[-1].weight)
    torch.nn.init.zeros_(method.unet.last[-1].bias)
    lr = torch.rand(2, 3, 8, 8, generator=torch_generator("lr"))
    with torch.no_grad():
        sr = method.restore(lr, torch.ones(2, 1, 32, 32), [1, 2])
    assert (sr - upsample(lr, 4)).abs().mean() < 0.05


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
@pytest.mark.parametrize("anchor_std", [0.0, STD])
def test_a_network_on_patches_learns_and_restores_any_size(size: tuple[int, int], anchor_std: float) -> None:
    method = Sr3(Config(**SMALL, patch_px=2, anchor_std=anchor_std), 3)
    generator = torch_generator("patches")
    lr = torch.rand(2, 3, *size, generator=generator)
    hr = torch.rand(2, 3, 3 * size[0], 3 * size[1], generator=generator)
    prior = torch.ones(2, 1, *hr.shape[-2:])
    method.loss(Batch(lr, hr, prior, 0.0, generator))["total"].backward()
    assert all(value.grad is not None for value in method.parameters())
    with torch.no_grad():
        assert method.eval().restore(lr, prior, [1, 2]).shape == hr.shape


def test_an_anchor_is_for_v_alone() -> None:
    with pytest.raises(ValueError, match="anchor_std is for target v, found eps"):
        Config(**{**SMALL, "target": "eps"}, anchor_std=STD)
