"""Flow matching, jumps, tiles, borders and colour fixes, against what is known in closed form and other libraries."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from srledger.diffusion.borders import reflected, to_multiple
from srledger.diffusion.colour import ColourFix, fix_colours, gaussian_blur
from srledger.diffusion.flow import draw_conditions, euler, guided, on_line, over_images
from srledger.diffusion.jumps import draw_times, recursive_error, recursive_target, shortcut_target
from srledger.diffusion.sampler import State
from srledger.diffusion.tiles import Window, blended, weights_of, windows_over
from srledger.diffusion.wavelet import diffbir_wavelet_fix
from srledger.seeds import torch_generator

K = 1.5  # of the linear flow v = K z: z_r = z_t exp(-K (t - r))
DELTA = 0.01


def drawn(*shape: int, name: str = "drawn") -> torch.Tensor:
    return torch.randn(*shape, generator=torch_generator(name, *shape))


def exact(z: torch.Tensor, t: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    """The linear flow's mean velocity from t down to r; at r = t its velocity."""
    length = over_images((t - r).double())
    factor = torch.where(length > 0, (1 - (-K * length).exp()) / length.clamp(min=1e-12), K)
    return (factor * z.double()).to(z.dtype)


def wrong(z: torch.Tensor, t: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    return exact(z, t, r) + over_images(t - r) * 0.3


TIMES = torch.tensor([1.0, 0.8, 0.5], dtype=torch.float64), torch.tensor([0.0, 0.35, 0.2], dtype=torch.float64)
Z = drawn(3, 2, 4, 4).double()


def error_of(jump, z: torch.Tensor, t: torch.Tensor, r: torch.Tensor, delta: float = DELTA) -> torch.Tensor:
    return recursive_error(jump, jump(z, t, r), K * z, z, t, r, delta, 2)


def test_a_line_goes_from_the_image_to_noise() -> None:
    image, noise = drawn(3, 2, 4, 4), drawn(3, 2, 4, 4, name="noise")
    found = on_line(image, noise, torch.tensor([0.0, 1.0, 0.25]))
    assert torch.equal(found[0], image[0]) and torch.equal(found[1], noise[1])
    assert torch.allclose(found[2], 0.75 * image[2] + 0.25 * noise[2])


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 3.0), (0.0, 1.0), (-0.5, 0.0), (2.0, 5.0), (0.5, 2.0)])
def test_guidance_goes_from_the_partial_branch_to_the_full_one(weight: float, expected: float) -> None:
    assert float(guided(torch.tensor(3.0), torch.tensor(1.0), weight)) == pytest.approx(expected)


def test_conditions_are_drawn_for_each_image() -> None:
    latents = torch.ones(4000, 1, 2, 2)
    seen = draw_conditions(latents, 0.1, (0.05, 0.25), (5.0, 1.0), torch_generator("conditions"))
    assert float(seen.partial.float().mean()) == pytest.approx(0.1, abs=0.015)
    weak = seen.mixed[seen.partial].flatten(1)
    assert torch.equal(weak.amin(dim=1), weak.amax(dim=1))  # weakened, without noise
    assert 0.05 <= float(weak.min()) < 0.055 and 0.245 < float(weak.max()) <= 0.25
    assert len(weak[:, 0].unique()) > 0.99 * len(weak)  # alpha is no batch's
    assert torch.equal(seen.mixed[~seen.partial], seen.full[~seen.partial])
    a = torch.sigmoid(5 + drawn(100_000))
    assert float(seen.full.mean()) == pytest.approx(float(a.mean()), abs=0.005)
    assert float(seen.full.var()) == pytest.approx(float((1 - a**2).mean() + a.var()), rel=0.1)
    assert float(a.median()) == pytest.approx(0.9933, abs=1e-3)


def test_conditions_are_a_function_of_the_generator() -> None:
    one, again, other = (
        draw_conditions(drawn(8, 2, 4, 4), 0.5, (0.05, 0.25), (5.0, 1.0), torch_generator(name)) for name in "aab"
    )
    assert torch.equal(one.mixed, again.mixed) and not torch.equal(one.mixed, other.mixed)


def test_of_an_image_in_the_partial_branch_of_others_nothing_is_left() -> None:
    seen = draw_conditions(drawn(50, 2, 4, 4), 0.5, (0.0, 0.0), (5.0, 1.0), torch_generator("cfg"))
    assert not seen.mixed[seen.partial].any() and seen.mixed[~seen.partial].any()


@pytest.mark.parametrize("steps", [1, 5, 25])
def test_euler_steps_are_even_from_1_to_0(steps: int) -> None:
    times: list[float] = []

    def velocity(z: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        times.append(float(time[0]))
        return K * z

    noise, states = drawn(2, 3, 4, 4), list[State]()
    found = euler(velocity, noise, steps, states.append)
    assert torch.allclose(found, noise * (1 - K / steps) ** steps, atol=1e-6)
    assert times == pytest.approx([1 - k / steps for k in range(steps)], abs=1e-7)
    assert [state.step for state in states] == list(range(steps, 0, -1))
    assert torch.equal(states[-1].z, found) and torch.equal(states[0].z0, noise - K * noise)


def test_many_small_steps_come_to_the_flow_itself() -> None:
    noise = drawn(1, 2, 4, 4)
    found = euler(lambda z, time: K * z, noise, 2000)
    assert torch.allclose(found, noise * math.exp(-K), atol=1e-3)


def test_times_of_jumps() -> None:
    t, r = draw_times(20_000, torch_generator("times"))
    assert bool((r <= t).all()) and float(t.max()) <= 1 and float(r.min()) >= 0
    assert float(t.mean()) == pytest.approx(2 / 3, abs=0.01)  # of two even draws the larger
    assert float((r / t).mean()) == pytest.approx(1 / 2, abs=0.01)


def test_the_exact_jump_of_a_linear_flow_is_consistent() -> None:
    """What is left is of the teacher's step alone: -K^2 delta / 2 exp(-K (t - r)) z, in the first order of delta."""
    t, r = TIMES
    found = error_of(exact, Z, t, r)
    leading = -(K**2) * DELTA / 2 * over_images((-K * (t - r)).exp()) * Z
    assert torch.allclose(found, leading, atol=2e-4) and float(found.abs().max()) < 0.03
    assert float(error_of(exact, Z, t, r, 1e-4).abs().max()) < 3e-4


def test_a_jump_that_is_wrong_is_told_by_how_much() -> None:
    t, r = TIMES
    off = recursive_error(exact, exact(Z, t, r) + 0.01, K * Z, Z, t, r, DELTA, 2) - error_of(exact, Z, t, r)
    assert torch.allclose(off, over_images((t - r) / DELTA * 0.01).expand_as(off), atol=1e-9)
    assert float(error_of(wrong, Z, t, r).abs().min()) > 0.05  # the rest is wrong as well


def test_the_rest_is_crossed_in_parts_from_the_teachers_step_on() -> None:
    asked: list[tuple[float, float]] = []

    def jump(z: torch.Tensor, t: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        asked.append((float(t[0]), float(r[0])))
        return exact(z, t, r)

    t, r = torch.tensor([0.81], dtype=torch.float64), torch.tensor([0.2], dtype=torch.float64)
    recursive_error(jump, Z[:1], K * Z[:1], Z[:1], t, r, 0.01, 2)
    assert np.allclose(asked, [(0.8, 0.5), (0.5, 0.2)])


@pytest.mark.parametrize("length", [0.0, 1e-6, 0.004, 0.01])
def test_a_jump_shorter_than_the_teachers_step_matches_the_teacher(length: float) -> None:
    """The step ends at r: nothing is left to cross, and the error is u - v, without a division by the length."""
    t = torch.full((3,), 0.5, dtype=torch.float64)
    found = error_of(wrong, Z, t, t - length)
    assert torch.allclose(found, wrong(Z, t, t - length) - K * Z, atol=1e-9)
    assert torch.isfinite(error_of(wrong, Z.float(), t.float(), t.float() - length)).all()


def test_near_and_far_meet() -> None:
    t = torch.full((3,), 0.5, dtype=torch.float64)
    near, far = (error_of(wrong, Z, t, t - length) for length in (DELTA, DELTA + 1e-9))
    assert torch.allclose(near, far, atol=1e-5)


def test_errors_are_clipped_value_by_value() -> None:
    found, error = torch.zeros(1, 1, 1, 3), torch.tensor([-7.0, 0.25, 3.0]).view(1, 1, 1, 3)
    assert recursive_target(found, error, 1.0).flatten().tolist() == [1.0, -0.25, -1.0]


def test_the_halves_of_a_jump_are_its_shortcut() -> None:
    t, r = TIMES
    assert torch.allclose(shortcut_target(exact, Z, t, r), exact(Z, t, r), atol=1e-12)
    assert not torch.allclose(shortcut_target(wrong, Z, t, r), wrong(Z, t, r), atol=1e-3)


@pytest.mark.parametrize(("rule", "within"), [("rcgm", 0.03), ("shortcut", 0.08)])
def test_a_network_learns_the_mean_velocity_of_a_linear_flow(rule: str, within: float) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 1))

    def jump(z: torch.Tensor, t: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        return over_images(layers(torch.stack([t, r], dim=1))) * z

    optimizer, generator = torch.optim.Adam(layers.parameters(), lr=1e-2), torch_generator("linear flow")
    for _ in range(800):
        t, r = draw_times(64, generator)
        z = torch.randn(64, 1, 1, 1, generator=generator)
        found = jump(z, t, r)
        if rule == "rcgm":
            error = recursive_error(jump, found.detach(), K * z, z, t, r, DELTA, 2)
            target = recursive_target(found, error, 1.0)
        else:
            target = shortcut_target(jump, z, t, r)
        loss = (jump(z, t, t) - K * z).square().mean() + (found - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    one = torch.ones(1, 1, 1, 1)
    with torch.no_grad():
        found = float(jump(one, torch.ones(1), torch.zeros(1)))
    assert found == pytest.approx(1 - math.exp(-K), abs=within)  # 0.777; one step of the teacher would go 1.5


@pytest.mark.parametrize(
    ("size", "side", "overlap"),
    [((64, 64), 16, 0.125), ((50, 34), 16, 0.25), ((18, 64), 16, 0.125), ((16, 40), 16, 0.5)],
)
def test_windows_cover_the_latents_and_overlap(size: tuple[int, int], side: int, overlap: float) -> None:
    windows = windows_over(*size, side, overlap, 2)
    seen = torch.zeros(size)
    for window in windows:
        assert window.bottom - window.top == window.right - window.left == side
        assert window.top % 2 == window.left % 2 == 0
        window.of(seen).add_(1)
    assert bool((seen > 0).all())
    for starts in (sorted({one.top for one in windows}), sorted({one.left for one in windows})):
        assert all(after - before <= side * (1 - overlap) for before, after in itertools.pairwise(starts))


def test_weights_of_windows_sum_to_1() -> None:
    windows = windows_over(40, 64, 16, 0.125, 2)
    total = torch.zeros(40, 64)
    for window, weight in zip(windows, weights_of(40, 64, windows), strict=True):
        window.of(total).add_(weight)
        assert float(weight.min()) > 0
    assert torch.allclose(total, torch.ones(40, 64))


@pytest.mark.parametrize("side", [None, 16, 64])
def test_one_window_changes_no_bit(side: int | None) -> None:
    z, time = drawn(2, 3, 10, 14), torch.tensor([0.3, 0.3])
    windows = windows_over(10, 14, side, 0.125, 2)
    assert windows == [Window(0, 10, 0, 14)]
    found = blended(lambda z, time, window: torch.tanh(z) / 3, windows, 10, 14)(z, time)
    assert torch.equal(found, torch.tanh(z) / 3)


def test_windows_that_disagree_are_blended() -> None:
    """A window says 0, its neighbour 1: it rises over their whole overlap, and no step is a seam."""
    windows = windows_over(64, 120, 64, 0.125, 2)
    assert [one.left for one in windows] == [0, 56]

    def disagreeing(z: torch.Tensor, time: torch.Tensor, window: Window) -> torch.Tensor:
        return torch.full_like(z, float(window.left > 0))

    row = blended(disagreeing, windows, 64, 120)(torch.zeros(1, 1, 64, 120), torch.ones(1))[0, 0, 32]
    steps = row.diff()
    assert not row[:56].any() and bool((row[64:] == 1).all()) and bool((steps[56:64] > 0).all())
    assert float(steps.max()) < 0.35 and float(steps[55]) < 0.02 and float(steps[63]) < 0.02


def test_tiles_share_the_noise_of_the_whole_image() -> None:
    """Where velocities are local, tiles change nothing: each window sees its part of the same z."""
    z, windows = drawn(1, 2, 40, 40), windows_over(40, 40, 16, 0.125, 2)
    tiled = euler(blended(lambda z, time, window: torch.tanh(z), windows, 40, 40), z, 5)
    assert torch.allclose(tiled, euler(lambda z, time: torch.tanh(z), z, 5), atol=1e-6)


def test_reflection_is_numpys_however_far_it_goes() -> None:
    image = np.random.default_rng(0).random((3, 4))
    for before, after in ((0, 2), (1, 3), (7, 20)):
        found = reflected(torch.from_numpy(image), before, after, after, before)
        assert np.array_equal(found.numpy(), np.pad(image, ((before, after), (after, before)), "reflect"))
    assert torch.equal(reflected(torch.ones(1, 1), 2, 2, 2, 2), torch.ones(5, 5))
    assert to_multiple(drawn(1, 3, 5, 16), 8).shape == (1, 3, 8, 16)
    whole = drawn(1, 3, 8, 16)
    assert to_multiple(whole, 8) is whole


def images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch_generator("images", *shape))


@pytest.mark.parametrize("size", [(60, 45), (12, 9)])
def test_the_blur_is_opencvs(size: tuple[int, int]) -> None:
    image = images(1, 3, *size)
    expected = cv2.GaussianBlur(image[0].permute(1, 2, 0).numpy(), (0, 0), 5)
    assert np.allclose(gaussian_blur(image, 5.0)[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_adain_takes_over_mean_and_deviation() -> None:
    sampled, reference = images(2, 3, 20, 24), images(2, 3, 20, 24).flip(0) * 0.5 + 0.1
    fixed = fix_colours(sampled, reference, "adain_rgb")
    assert torch.allclose(fixed.mean(dim=(2, 3)), reference.mean(dim=(2, 3)), atol=1e-6)
    assert torch.allclose(fixed.std(dim=(2, 3)), reference.std(dim=(2, 3)), atol=1e-5)
    one, like = sampled[0, 1].numpy().astype(np.float64), reference[0, 1].numpy().astype(np.float64)
    spread = (like.std(ddof=1) + 1e-5) / (one.std(ddof=1) + 1e-5)
    assert np.allclose(fixed[0, 1].numpy(), (one - one.mean()) * spread + like.mean(), atol=1e-6)
    flat = torch.full((1, 3, 8, 8), 0.5)
    assert torch.isfinite(fix_colours(flat, reference[:1, :, :8, :8], "adain_rgb")).all()


def test_the_two_wavelets_of_the_literature_are_two() -> None:
    sampled, reference = images(1, 3, 512, 400), images(1, 3, 512, 400) * 0.5
    swapped, wavelet = (fix_colours(sampled, reference, fix) for fix in ("gaussian_swap", "wavelet"))
    assert torch.allclose(swapped, sampled - gaussian_blur(sampled, 5.0) + gaussian_blur(reference, 5.0), atol=1e-6)
    assert torch.equal(wavelet, diffbir_wavelet_fix(sampled, reference, 5))
    assert not torch.allclose(swapped, wavelet, atol=1e-3)


@pytest.mark.parametrize("fix", ["adain_rgb", "gaussian_swap", "wavelet"])
def test_a_fix_takes_a_cast_away_and_leaves_what_is_right(fix: ColourFix) -> None:
    sampled = images(1, 3, 40, 33)
    assert torch.allclose(fix_colours(sampled, sampled, fix), sampled, atol=1e-5)
    assert torch.allclose(fix_colours(sampled + 0.2, sampled, fix), sampled, atol=1e-5)
    assert torch.equal(fix_colours(sampled, sampled * 0.5, "none"), sampled)
