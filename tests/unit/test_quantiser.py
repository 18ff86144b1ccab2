"""The codebook: which code is nearest, what learns from whom, which codes make prompts, and which are given up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from srledger.encoders._quantiser import Codebook, vectors_of
from srledger.seeds import torch_generator


def codebook(codes: list[list[float]] | torch.Tensor, beta: float = 0.25, decay: float = 0.5) -> Codebook:
    values = torch.as_tensor(codes)
    made = Codebook(values.shape[0], values.shape[1], beta, decay)
    with torch.no_grad():
        made.codes.copy_(values)
    return made


def features_of(rows: list[list[float]], height: int = 1) -> torch.Tensor:
    """Vectors in reading order as one image's ``1 x d x height x w``."""
    return torch.tensor(rows).T.unflatten(1, (height, -1))[None].clone()


SQUARE = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]


def drawn(seed: int, images: int = 5, count: int = 12, side: int = 6) -> tuple[Codebook, torch.Tensor]:
    codes = torch.randn(count, 4, generator=torch_generator("codes", seed))
    return codebook(codes), torch.randn(images, 4, side, side, generator=torch_generator("features", seed))


def test_codes_start_near_zero_as_the_authors_do() -> None:
    torch.manual_seed(0)
    codes = Codebook(50, 400, 0.25, 0.9).codes.detach()
    assert codes.abs().max() <= 1 / 50
    assert float(codes.std()) == pytest.approx(1 / 50 / math.sqrt(3), rel=0.02), "uniform"
    assert float(codes.mean()) == pytest.approx(0, abs=2e-4)


def test_a_small_case_by_hand() -> None:
    made = codebook(SQUARE)
    found = made(features_of([[0.2, 0.0], [0.7, 0.1], [0.1, 2.0], [0.0, 0.0]], height=2))
    assert found.indices.tolist() == [[[0, 1], [2, 0]]]
    assert found.values[0].flatten(1).T.tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]
    squares = 0.04 + (0.09 + 0.01) + (0.01 + 1.0) + 0.0
    assert float(found.loss.detach()) == pytest.approx(1.25 * squares / 8)
    indices, distances = made.nearest(torch.tensor([[[0.2, 0.0], [0.1, 2.0]]]))
    assert indices.tolist() == [[0, 2]] and distances[0].tolist() == pytest.approx([0.04, 1.01])


def test_of_codes_that_are_equally_near_it_is_the_first() -> None:
    indices, _ = codebook([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]).nearest(torch.tensor([[[0.0, 0.0], [2.0, 0.0]]]))
    assert indices.tolist() == [[0, 0]]


def test_the_nearest_is_that_of_all_distances() -> None:
    made, features = drawn(0)
    everything = torch.cdist(vectors_of(features).double(), made.codes.detach().double())
    indices, distances = made.nearest(vectors_of(features))
    assert torch.equal(indices, everything.argmin(dim=2))
    assert torch.allclose(distances.double(), everything.amin(dim=2).square(), atol=1e-6)


def test_distances_of_codes_far_from_zero_are_not_lost_in_rounding() -> None:
    made = codebook([[1000.0, 1000.0], [1001.0, 1000.0]])
    _, distances = made.nearest(torch.tensor([[[1000.125, 1000.0], [1001.0, 1000.25]]]))
    assert distances.tolist() == [[0.125**2, 0.25**2]]


def test_gradients_pass_straight_through() -> None:
    made, features = drawn(1)
    features.requires_grad_()
    weights = torch.randn(features.shape, generator=torch_generator("weights"))
    (made(features).values * weights).sum().backward()
    assert features.grad is not None and torch.equal(features.grad, weights)
    assert made.codes.grad is None, "an image's loss moves the features alone"


def test_the_loss_moves_codes_to_features_and_features_to_codes_by_beta() -> None:
    made, features = drawn(2, images=1, count=40)
    features.requires_grad_()
    found = made(features)
    found.loss.backward()
    assert features.grad is not None and made.codes.grad is not None
    with torch.no_grad():
        rows, chosen = vectors_of(features), made.codes[found.indices.flatten(1)]
        expected = 0.25 * 2 * (rows - chosen) / rows.numel()
        assert torch.allclose(vectors_of(features.grad), expected, atol=1e-7)
        pulls = torch.zeros_like(made.codes).index_add(
            0, found.indices.flatten(), (2 * (chosen - rows) / rows.numel()).flatten(0, 1)
        )
        assert torch.allclose(made.codes.grad, pulls, atol=1e-6)
    unused = sorted(set(range(40)) - set(found.indices.flatten().tolist()))
    assert unused and made.codes.grad[unused].abs().max() == 0


def walked(made: Codebook, features: torch.Tensor, count: int) -> torch.Tensor:
    """The authors' walk: positions by rising distance, each code the first time that it comes."""
    kept = torch.zeros(len(features), count, made.codes.shape[1])
    indices, distances = made.nearest(vectors_of(features))
    for k in range(len(features)):
        seen: list[int] = []
        for place in np.argsort(distances[k].numpy(), kind="stable").tolist():
            code = int(indices[k, place])
            if code not in seen and len(seen) < count:
                kept[k, len(seen)] = made.codes.detach()[code]
                seen.append(code)
    return kept


@pytest.mark.parametrize("count", [1, 4, 9, 12])
def test_prompts_are_those_of_the_authors_walk(count: int) -> None:
    for seed in range(4):
        made, features = drawn(seed, count=12, side=6)
        assert torch.equal(made.distinct_codes(features, count), walked(made, features, count))


def test_prompts_of_a_small_case_by_hand() -> None:
    # distances 0.04 (code 1), 0.01 (code 2), 0.25 (code 0), 0.0001 (code 1 again)
    features = features_of([[1.2, 0.0], [0.0, 1.1], [-0.5, 0.0], [1.01, 0.0]])
    found = codebook(SQUARE).distinct_codes(features, 5)
    assert found.tolist() == [[[1, 0], [0, 1], [0, 0], [0, 0], [0, 0]]]
    assert codebook(SQUARE).distinct_codes(features, 2).tolist() == [[[1, 0], [0, 1]]]


def test_rows_beyond_the_distinct_codes_are_zero_for_each_image_by_itself() -> None:
    made = codebook([[3.0, 1.0], [9.0, 9.0], [1.0, 2.0]])
    one, two = features_of([[3.0, 1.0], [3.5, 1.0]]), features_of([[1.0, 2.0], [9.0, 8.0]])
    found = made.distinct_codes(torch.cat([one, two]), 4)
    assert found.tolist() == [[[3, 1], [0, 0], [0, 0], [0, 0]], [[1, 2], [9, 9], [0, 0], [0, 0]]]
    assert not found.requires_grad


def test_of_equal_distances_the_first_place_comes_first() -> None:
    features = features_of([[0.0, 1.5], [1.5, 0.0], [0.0, -0.5]])
    assert codebook(SQUARE).distinct_codes(features, 3).tolist() == [[[0, 1], [1, 0], [0, 0]]]


def test_an_image_has_the_same_prompts_alone() -> None:
    made, features = drawn(3)
    together = made.distinct_codes(features, 8)
    assert torch.equal(torch.cat([made.distinct_codes(one[None], 8) for one in features]), together)


def test_counts_decay_and_say_what_is_used() -> None:
    made = codebook(torch.zeros(4, 2), decay=0.5)  # a code counts as used for two batches
    assert float(made.usage) == 0 and float(made.perplexity) == pytest.approx(1)
    made.count_uses(torch.tensor([[[0, 0], [0, 1]]]))
    assert made.uses.tolist() == [1.5, 0.5, 0, 0] and float(made.usage) == 0.5
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(made.perplexity) == pytest.approx(math.exp(entropy))
    for batches, used in ((1, True), (2, True), (3, False)):
        made.count_uses(torch.tensor([[[2, 3]]]))
        assert bool(made.used[1]) == used, batches
    assert float(made.usage) == 0.75


def test_codes_used_alike_have_the_perplexity_of_their_number() -> None:
    made = codebook(torch.zeros(8, 2))
    made.count_uses(torch.arange(8).reshape(1, 2, 4))
    assert float(made.perplexity) == pytest.approx(8) and float(made.usage) == 1


def test_quantising_counts_nothing_by_itself() -> None:
    made, features = drawn(4)
    made.train()(features)
    made.distinct_codes(features, 3)
    assert made.uses.abs().max() == 0


def test_unused_codes_restart_at_features_of_the_batch() -> None:
    made, features = drawn(5)
    made.count_uses(torch.tensor([0, 3, 3]))
    before = made.codes.detach().clone()
    made.revive(features, torch_generator("revive"))
    rows = vectors_of(features).flatten(0, 1).tolist()
    after = made.codes.detach()
    assert torch.equal(after[[0, 3]], before[[0, 3]]), "what is used stays"
    places = [rows.index(code.tolist()) for k, code in enumerate(after) if k not in (0, 3)]
    assert len(set(places)) == 10, "each from another place"
    found = made(features)
    assert set(found.indices.flatten().tolist()) >= set(range(12)) - {0, 3}, "and nearest to it"

    again, _ = drawn(5)
    again.count_uses(torch.tensor([0, 3, 3]))
    again.revive(features, torch_generator("revive"))
    assert torch.equal(again.codes, made.codes), "of the generator alone"


def test_with_fewer_features_than_unused_codes_the_first_are_replaced() -> None:
    made = codebook(torch.zeros(6, 2))
    made.revive(features_of([[1.0, 2.0], [3.0, 4.0]]), torch_generator("few"))
    assert sorted(made.codes[:2].tolist()) == [[1, 2], [3, 4]] and made.codes[2:].abs().max() == 0
