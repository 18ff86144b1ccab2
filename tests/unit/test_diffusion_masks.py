"""YODA's masks: who takes part in which step."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from srledger.diffusion.masks import areas_of, check_maps, check_sampled_maps, check_trained_maps, mask_at, reach_of
from srledger.errors import SrledgerError
from srledger.seeds import torch_generator

RULES = ("max", "sum")
few = settings(max_examples=40, deadline=None)
steps_drawn = st.integers(1, 60)
bounds = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 1.0])


def drawn_map(seed: int, size_px: int = 6) -> torch.Tensor:
    """As priors store it: float16 values that a float32 tensor carries."""
    return torch.rand(2, 1, size_px, size_px, generator=torch_generator("masks", seed)).half().float()


@few
@given(st.integers(0, 10**6), steps_drawn, bounds, st.sampled_from(RULES))
def test_masks_only_grow(seed: int, steps: int, bound: float, rule: str) -> None:
    reach = reach_of(drawn_map(seed), rule, bound)
    masks = [mask_at(reach, step, steps) for step in range(steps, 0, -1)]
    for earlier, later in itertools.pairwise(masks):
        assert bool((later | ~earlier).all())


@few
@given(st.integers(0, 10**6), steps_drawn, bounds)
def test_a_position_takes_part_in_the_floor_of_its_share_of_the_steps(seed: int, steps: int, bound: float) -> None:
    prior = drawn_map(seed)
    reach = reach_of(prior, "max", bound)
    counts = sum(mask_at(reach, step, steps).int() for step in range(1, steps + 1))
    expected = (steps * torch.maximum(prior.double(), torch.tensor(bound, dtype=torch.float64))).floor()
    assert torch.equal(counts.double(), expected)
    areas = areas_of(reach, steps)
    assert torch.allclose(areas.sum(1), counts.double().mean((1, 2, 3)))


@few
@given(st.integers(0, 10**6), steps_drawn, bounds, st.sampled_from(RULES))
def test_the_last_mask_is_whole_when_the_lower_bound_is_a_step(seed: int, steps: int, bound: float, rule: str) -> None:
    whole = bool(mask_at(reach_of(drawn_map(seed), rule, bound), 1, steps).all())
    assert whole or bound * steps < 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bound", [0.0, 0.3, 1.0])
def test_the_uniform_map_takes_every_step(rule: str, bound: float) -> None:
    reach = reach_of(torch.ones(1, 1, 3, 3), rule, bound)
    assert all(bool(mask_at(reach, step, 50).all()) for step in range(1, 51))


def test_70_percent_attention_is_70_percent_of_the_steps_under_max_and_more_under_sum() -> None:
    prior = torch.full((1, 1, 2, 2), 0.75)
    assert float(areas_of(reach_of(prior, "max", 0.2), 100).sum()) == 75
    assert float(areas_of(reach_of(prior, "sum", 0.125), 100).sum()) == 87


def test_the_mask_takes_a_step_per_image() -> None:
    reach = reach_of(torch.full((2, 1, 1, 1), 0.5), "max", 0.0)
    assert mask_at(reach, torch.tensor([5, 6]).view(-1, 1, 1, 1), 10).flatten().tolist() == [True, False]


def broken(position: tuple[int, ...], value: float) -> torch.Tensor:
    prior = torch.full((3, 1, 4, 4), 0.5)
    prior[position] = value
    return prior


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        (torch.ones(3, 1, 4, 5), "wrong size"),
        (torch.ones(2, 1, 4, 4), "wrong size"),
        (torch.ones(3, 4, 4), "wrong size"),
        (broken((1, 0, 2, 2), float("nan")), "(?s)NaN.*image 2 of 3"),
        (broken((2, 0, 0, 0), float("inf")), "(?s)infinity.*image 3 of 3"),
        (broken((0, 0, 0, 0), 1.5), r"(?s)leaves \[0, 1\].*image 1 of 3"),
        (broken((0, 0, 0, 0), -0.1), r"leaves \[0, 1\]"),
    ],
)
def test_a_broken_map_is_refused(prior: torch.Tensor, says: str) -> None:
    with pytest.raises(SrledgerError, match=says):
        check_maps(prior, torch.zeros(3, 3, 4, 4))


def test_a_map_of_zeros_is_refused() -> None:
    one_empty = torch.stack([torch.full((1, 4, 4), 0.5), torch.zeros(1, 4, 4)])
    reach = reach_of(one_empty, "max", 0.3)
    with pytest.raises(SrledgerError, match=r"(?s)zero everywhere.*image 2 of 2"):
        check_sampled_maps(one_empty, reach, 10, 0.3)
    check_trained_maps(one_empty, 0.3)  # a crop may lie where its map is zero
    for prior, bound in ((one_empty, 0.0), (torch.zeros(2, 1, 4, 4), 0.3)):
        with pytest.raises(SrledgerError, match="zero everywhere"):
            check_trained_maps(prior, bound)


def test_too_few_steps_for_the_lower_bound_are_refused() -> None:
    prior = torch.full((1, 1, 2, 2), 0.4)
    with pytest.raises(SrledgerError, match="too few sampling steps"):
        check_sampled_maps(prior, reach_of(prior, "max", 0.3), 1, 0.3)
    check_sampled_maps(torch.ones(1, 1, 2, 2), reach_of(torch.ones(1, 1, 2, 2), "max", 0.3), 1, 0.3)
