"""VOSR's transformer: its published size, what each part sees, and where it starts."""

from __future__ import annotations

import math

import pytest
import torch

from srledger.diffusion.dit import (
    SIZES,
    Block,
    CrossAttention,
    Dit,
    DitSize,
    SelfAttention,
    count_parameters,
    rotate,
    rotations,
    time_features,
)
from srledger.seeds import torch_generator

SIZE = DitSize(16, 2, 2)
CPU = torch.device("cpu")


def drawn(*shape: int, name: str = "drawn") -> torch.Tensor:
    return torch.randn(*shape, generator=torch_generator(name, *shape))


def learnt(**settings: bool) -> Dit:
    """A network whose zero layers are not zero."""
    torch.manual_seed(0)
    network = Dit(SIZE, 3, 2, 5, **settings)
    for name, value in network.named_parameters():
        if not float(value.detach().abs().max()) or "norm" in name:
            torch.nn.init.normal_(value, mean=float("norm" in name), std=0.3)
    return network


@pytest.mark.parametrize(
    ("size", "channels", "token_channels", "millions", "of_jumps"),
    [("0.5B", 4, 768, 485.6, 1.31), ("1.4B", 16, 1024, 1393.9, 2.76)],
)
def test_the_papers_networks_have_the_papers_parameters(
    size: str, channels: int, token_channels: int, millions: float, of_jumps: float
) -> None:
    plain = count_parameters(SIZES[size], channels, 2, token_channels)
    jumps = count_parameters(SIZES[size], channels, 2, token_channels, jumps=True)
    assert plain / 1e6 == pytest.approx(millions, abs=0.05)
    assert (jumps - plain) / 1e6 == pytest.approx(of_jumps, abs=0.005)


def test_a_count_is_that_of_the_network() -> None:
    network = Dit(SIZE, 3, 2, 5, jumps=True)
    assert count_parameters(SIZE, 3, 2, 5, jumps=True) == sum(value.numel() for value in network.parameters())


def test_a_width_that_its_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="width 18 is no multiple"):
        Dit(DitSize(18, 1, 3), 3, 2, 5)


def test_time_is_told_unscaled() -> None:
    found = time_features(torch.tensor([0.0, 0.5]))
    assert torch.equal(found[0], torch.cat([torch.ones(128), torch.zeros(128)]))
    frequencies = [10_000 ** (-k / 128) for k in range(128)]
    expected = [math.cos(0.5 * one) for one in frequencies] + [math.sin(0.5 * one) for one in frequencies]
    assert torch.allclose(found[1], torch.tensor(expected), atol=1e-6)
    assert float(found[1, 0]) == pytest.approx(0.8775826)


def test_positions_turn_pairs_of_channels() -> None:
    """Against complex numbers: the first half of the pairs turns with the row, the second with the column."""
    features = drawn(1, 1, 6, 16)
    found = rotate(features, rotations(2, 3, 16, CPU))[0, 0]
    pairs = torch.view_as_complex(features[0, 0].unflatten(-1, (8, 2)).double())
    for n, (row, column) in enumerate((row, column) for row in range(2) for column in range(3)):
        for k in range(8):
            angle = (row if k < 4 else column) * 10_000 ** (-(k % 4) / 4)
            turned = pairs[n, k] * complex(math.cos(angle), math.sin(angle))
            assert torch.allclose(found[n, 2 * k : 2 * k + 2].double(), torch.view_as_real(turned), atol=1e-6)


def test_only_the_way_between_two_positions_counts() -> None:
    query, key = drawn(16, name="query"), drawn(16, name="key")
    everywhere = [rotate(one.expand(1, 1, 35, 16), rotations(5, 7, 16, CPU))[0, 0] for one in (query, key)]
    products = (everywhere[0] @ everywhere[1].T).view(5, 7, 5, 7)
    assert float(products[1, 1, 3, 4]) == pytest.approx(float(products[2, 3, 4, 6]), abs=1e-5)
    assert float(products[1, 1, 3, 4]) != pytest.approx(float(products[1, 1, 3, 3]), abs=1e-3)


def test_a_larger_grid_holds_the_smaller_one() -> None:
    small, large = rotations(2, 3, 8, CPU), rotations(4, 5, 8, CPU)
    for one, other in zip(small, large, strict=True):
        assert torch.equal(one.view(2, 3, -1), other.view(4, 5, -1)[:2, :3])


def test_with_and_without_a_gradient_attention_is_the_same() -> None:
    attention, patches = SelfAttention(16, 2), drawn(2, 6, 16)
    found = attention(patches, rotations(2, 3, 8, CPU))
    with torch.no_grad():
        assert torch.allclose(attention(patches, rotations(2, 3, 8, CPU)), found, atol=1e-6)


def test_tokens_are_a_set_and_patches_are_not() -> None:
    cross, attention = CrossAttention(16, 2), SelfAttention(16, 2)
    patches, tokens, other = drawn(1, 6, 16), drawn(1, 4, 16), torch.tensor([5, 3, 1, 0, 2, 4])
    assert torch.allclose(cross(patches, tokens), cross(patches, tokens[:, [2, 0, 3, 1]]), atol=1e-6)
    turns = rotations(2, 3, 8, CPU)
    moved = attention(patches[:, other], turns)[:, other.argsort()]
    assert not torch.allclose(attention(patches, turns), moved, atol=1e-3)


def test_cross_attention_has_no_gate_and_no_norm() -> None:
    torch.manual_seed(0)
    block, patches, tokens = Block(16, 2), drawn(1, 6, 16), drawn(1, 4, 16)
    time = -block.table.detach().expand(1, 6, 16)  # shifts, scales and gates of zero: the other two parts are shut
    found = block(patches, time, tokens, rotations(2, 3, 8, CPU))
    assert torch.equal(found, patches + block.cross(patches, tokens))


def test_no_semantics_is_one_learned_token() -> None:
    network = learnt()
    nothing = network.embed(torch.zeros(2, 4, 5))
    assert torch.allclose(nothing, network.embed(torch.zeros(1, 1, 5)).expand(2, 4, -1))
    z, time = drawn(2, 3, 4, 6), torch.tensor([0.3, 0.8])
    assert torch.allclose(network(z, z, time, nothing), network(z, z, time, nothing[:, :1]), atol=1e-5)
    assert not torch.allclose(network(z, z, time, nothing), network(z, z, time, network.embed(drawn(2, 4, 5))))


def test_it_starts_with_no_velocity_and_deaf_to_tokens() -> None:
    torch.manual_seed(0)
    network = Dit(SIZE, 3, 2, 5)
    z, time = drawn(2, 3, 4, 6), torch.tensor([0.3, 0.8])
    assert not network(z, z, time, network.embed(drawn(2, 4, 5))).any()
    torch.nn.init.normal_(network.last.weight)
    one, other = (network(z, z, time, network.embed(drawn(2, 4, 5, name=name))) for name in "ab")
    assert one.any() and torch.equal(one, other)


def test_initial_weights_are_as_wide_as_they_should_be() -> None:
    torch.manual_seed(0)
    network = Dit(SIZES["small"], 4, 2, 192, jumps=True)
    assert network.jump is not None
    for part in (network.time.mlp[0], network.time.mlp[2], network.time_of_blocks[1], network.jump.mlp[2]):
        assert float(part.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    feed = network.blocks[0].feed.gate_and_value.weight.detach()
    assert float(feed.abs().max()) <= (bound := math.sqrt(6 / sum(feed.shape))) < 1.01 * float(feed.abs().max())
    assert bound > 0.05
    biases = [value for name, value in network.named_parameters() if name.endswith("bias")]
    assert not any(value.any() for value in biases)


def test_patches_go_back_to_their_places() -> None:
    network = learnt()
    latents = torch.arange(3 * 4 * 6.0).view(1, 3, 4, 6)
    apart = latents.unfold(2, 2, 2).unfold(3, 2, 2)  # 1 x 3 x 2 x 3 x 2 x 2
    assert torch.equal(network._unpatched(apart.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2), 2, 3), latents)


def test_a_patch_is_where_its_condition_and_noise_are() -> None:
    """Without attention and tokens a patch of velocities is a function of that patch alone."""
    network = learnt()
    for block in network.blocks:
        for layer in (block.attention.last, block.cross.last):
            torch.nn.init.zeros_(layer.weight)
    z, c, time = drawn(1, 3, 4, 6), drawn(1, 3, 4, 6, name="c"), torch.tensor([0.4])
    tokens = network.embed(drawn(1, 4, 5))
    before = network(z, c, time, tokens)
    for changed in (z, c):
        changed[:, :, 2:4, 4:6] += 1.0
        after = network(z, c, time, tokens)
        moved = (after - before).abs().sum(dim=1)[0] > 1e-6
        assert moved[2:4, 4:6].all() and int(moved.sum()) == 4
        before = after


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("gradients", [False, True])
def test_a_jump_of_no_length_is_the_velocity_to_the_bit(bf16: bool, gradients: bool) -> None:
    plain, jumping = learnt(), learnt(jumps=True)
    jumping.load_state_dict({**jumping.state_dict(), **plain.state_dict()})
    z, time = drawn(2, 3, 4, 6), torch.tensor([0.3, 1.0])
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), torch.set_grad_enabled(gradients):
        tokens = plain.embed(drawn(2, 4, 5))
        velocity = plain(z, z, time, tokens)
        assert torch.equal(jumping(z, z, time, tokens, time), velocity)
        assert not torch.allclose(jumping(z, z, time, tokens, torch.zeros(2)), velocity, atol=1e-2)


def test_under_autocast_velocities_are_close_and_float32() -> None:
    network, z, time = learnt(), drawn(2, 3, 4, 6), torch.tensor([0.3, 0.8])
    tokens = drawn(2, 4, 5)
    exact = network(z, z, time, network.embed(tokens)).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(z, z, time, network.embed(tokens))
        with torch.no_grad():
            fused = network(z, z, time, network.embed(tokens))
    assert found.dtype == fused.dtype == torch.float32
    for one in (found, fused):
        assert float((one.detach() - exact).abs().max()) < 0.05 * float(exact.std())
