"""Verification against scikit-learn, brute force and cases worked by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from srledger.errors import SrledgerError
from srledger.evaluation.verification import (
    Pairs,
    auc,
    average_precision,
    best_threshold,
    curves,
    draw_pairs,
    eer,
    judged,
    single_images,
    tar_at_far,
    verify,
)

GENUINE = np.array([True, True, True, True, False, False, False, False])
SCORES = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1])


def people(count: int, images: int) -> list[str]:
    return [f"p{k:03}" for k in range(count) for _ in range(images)]


def made_up(identities: int, apart: float, images: int = 4, seed: int = 0) -> tuple[np.ndarray, Pairs]:
    """Scores of unit vectors around a direction of each person: the greater ``apart``, the easier."""
    pairs = draw_pairs(people(identities, images), "made up")
    rng = np.random.default_rng(seed)
    of_person = rng.normal(size=(identities, 16)).repeat(images, axis=0)
    vectors = apart * of_person + rng.normal(size=of_person.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors[pairs.probe] * vectors[pairs.reference]).sum(axis=1), pairs


def test_a_case_worked_by_hand() -> None:
    found = curves(SCORES, GENUINE)
    assert found.thresholds.tolist() == [math.inf, 0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1]
    assert found.tar.tolist() == [0, 0.25, 0.5, 0.5, 0.75, 0.75, 1, 1, 1]
    assert found.far.tolist() == [0, 0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 1]
    assert found.precision.tolist() == [1, 1, 1, 2 / 3, 3 / 4, 3 / 5, 4 / 6, 4 / 7, 1 / 2]
    assert auc(found) == 13 / 16, "of 16 couples of a genuine and an impostor pair, 13 are in order"
    assert eer(found) == 0.25, "at 0.6 one of four impostors gets in and one of four genuine pairs does not"
    assert tar_at_far(found, 0.25, 4) == 0.75
    assert math.isnan(tar_at_far(found, 0.1, 4)), "four impostors say nothing about one in ten"
    assert best_threshold(SCORES, GENUINE) == pytest.approx(0.75), "0.8 and 0.6 are as good; the stricter one is taken"


def test_the_equal_error_rate_lies_between_two_points_of_the_curve() -> None:
    found = curves(np.array([0.9, 0.7, 0.5, 0.8, 0.2]), np.array([True, True, True, False, False]))
    # (0, 1/3), (1/2, 1/3), (1/2, 2/3): far + tar - 1 passes 0 half way up, where far is 1/2
    assert found.far[1:4].tolist() == [0, 0.5, 0.5] and eer(found) == pytest.approx(0.5)
    sloped = curves(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False]))
    assert eer(sloped) == pytest.approx(0.25), "one step takes a pair of either kind: a line from (0, .5) to (.5, 1)"


def test_perfect_and_blind_scores() -> None:
    assert auc(curves(GENUINE.astype(float), GENUINE)) == 1 and eer(curves(GENUINE.astype(float), GENUINE)) == 0
    assert auc(curves(np.zeros(8), GENUINE)) == 0.5 and eer(curves(np.zeros(8), GENUINE)) == 0.5
    assert auc(curves(-GENUINE.astype(float), GENUINE)) == 0 and eer(curves(-GENUINE.astype(float), GENUINE)) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-6, 6), st.booleans()), min_size=2, max_size=60))
def test_it_agrees_with_scikit_learn_ties_and_all(drawn: list[tuple[int, bool]]) -> None:
    scores, genuine = np.array([one / 6 for one, _ in drawn]), np.array([kind for _, kind in drawn])
    if genuine.all() or not genuine.any():
        with pytest.raises(SrledgerError, match="no pairs to verify"):
            curves(scores, genuine)
        return
    found = curves(scores, genuine)
    far, tar, thresholds = roc_curve(genuine, scores, drop_intermediate=False)
    assert np.allclose(found.far, far) and np.allclose(found.tar, tar) and np.array_equal(found.thresholds, thresholds)
    assert auc(found) == pytest.approx(roc_auc_score(genuine, scores))
    assert average_precision(found) == pytest.approx(average_precision_score(genuine, scores))
    couples = [
        (a > b) + (a == b) / 2 for a, b in itertools.product(scores[genuine].tolist(), scores[~genuine].tolist())
    ]
    assert auc(found) == pytest.approx(np.mean(couples))
    threshold = best_threshold(scores, genuine)
    reached = np.mean(scores[genuine] >= threshold) + np.mean(scores[~genuine] < threshold)
    every = [*scores.tolist(), math.inf]
    assert reached == pytest.approx(
        max(np.mean(scores[genuine] >= one) + np.mean(scores[~genuine] < one) for one in every)
    )


def test_pairs_are_all_genuine_ones_and_as_many_impostors() -> None:
    identities = people(20, 5)
    pairs = draw_pairs(identities, "test")
    names = np.array(identities)
    assert pairs.genuine.sum() == 20 * 10 == (~pairs.genuine).sum()
    assert np.array_equal(names[pairs.probe] == names[pairs.reference], pairs.genuine)
    both = {tuple(sorted(pair)) for pair in zip(pairs.probe.tolist(), pairs.reference.tolist(), strict=True)}
    assert len(both) == len(pairs) and all(i != j for i, j in both)
    assert len(np.unique(pairs.fold)) == 10
    for fold in range(10):
        here = pairs.fold == fold
        inside = set(pairs.person[here]) | set(pairs.other[here])
        outside = set(pairs.person[~here]) | set(pairs.other[~here])
        assert len(inside) == 2 and not inside & outside, "folds share no person"
    assert 0 < np.mean(pairs.probe < pairs.reference) < 1, "not always the earlier image is the probe"


def test_pairs_are_drawn_by_name_and_by_nothing_else() -> None:
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    first, second, other = (draw_pairs(people(12, 3), name) for name in ("a", "a", "b"))
    assert np.array_equal(first.probe, second.probe) and np.array_equal(first.fold, second.fold)
    assert not np.array_equal(first.probe, other.probe)
    assert np.array_equal(state, np.random.get_state()[1])  # type: ignore[arg-type]


def test_few_people_have_fewer_folds_and_uneven_ones_fewer_impostors() -> None:
    assert len(np.unique(draw_pairs(people(5, 2), "few").fold)) == 2
    uneven = ["a"] * 12 + ["b"] * 2 + ["c"] * 2 + ["d"] * 2
    pairs = draw_pairs(uneven, "uneven")
    a = pairs.fold == pairs.fold[pairs.genuine][np.argmax(np.array(uneven)[pairs.probe[pairs.genuine]] == "a")]
    assert (pairs.genuine & a).sum() == 67 and (~pairs.genuine & a).sum() == 24, "all 12 x 2 that there are"


def test_what_can_have_no_pairs_is_refused() -> None:
    with pytest.raises(SrledgerError, match=r"one image[\s\S]*found: +lonely"):
        draw_pairs([*people(6, 2), "lonely"], "test")
    assert single_images([*people(6, 2), "lonely", "alone"]) == ["alone", "lonely"]
    with pytest.raises(SrledgerError, match=r"no pairs[\s\S]*3 identities"):
        draw_pairs(people(3, 4), "test")
    with pytest.raises(SrledgerError, match="no pairs"):
        draw_pairs([], "test")
    with pytest.raises(SrledgerError, match="not a number"):
        curves(np.array([np.nan, 1.0]), np.array([True, False]))


def test_the_threshold_of_a_fold_comes_from_the_others() -> None:
    pairs = draw_pairs(people(8, 2), "folds")
    scores = np.where(pairs.genuine, 1.0, 0.0)
    assert judged(scores, pairs).all()
    turned = scores.copy()
    turned[pairs.fold == 0] = 1 - turned[pairs.fold == 0]  # only here, high means two people
    right = judged(turned, pairs)
    assert not right[pairs.fold == 0].any() and right[pairs.fold != 0].all()


def test_numbers_have_intervals_that_hold_them_and_shrink_with_more_people() -> None:
    few, many = (verify(*made_up(count, 0.5), "t", resamples=200) for count in (12, 80))
    for found in (few, many):
        for one in (found.auc, found.average_precision, found.eer, found.accuracy):
            assert one.low is not None and one.high is not None and one.low <= one.value <= one.high
    assert few.auc.n == 12 and many.auc.n == 80
    assert many.auc.high - many.auc.low < few.auc.high - few.auc.low  # type: ignore[operator]
    assert math.isnan(few.tar[1].value) and few.tar[1].low is None, "72 impostors are too few for 0.1 %"
    again = verify(*made_up(12, 0.5), "t", resamples=200)
    assert again == few or again.auc == few.auc


def test_people_who_are_further_apart_are_told_apart_better() -> None:
    found = [verify(*made_up(30, apart), "t", resamples=20) for apart in (0.0, 0.4, 3.0)]
    aucs, errors = [one.auc.value for one in found], [one.eer.value for one in found]
    assert 0.4 < aucs[0] < 0.6 < aucs[1] < aucs[2] and errors[0] > errors[1] > errors[2]
    assert found[2].accuracy.value > 0.97 and found[0].accuracy.value < 0.6


def test_the_interval_over_people_covers_what_it_should() -> None:
    """The AUC of a very large set lies in the 80 % interval of small sets about 80 times in 100."""
    truth = verify(*made_up(600, 0.5, 2), "large", resamples=2).auc.value
    inside = 0
    for seed in range(60):
        one = verify(*made_up(40, 0.5, 2, seed), "small", resamples=100, alpha=0.2).auc
        inside += one.low <= truth <= one.high  # type: ignore[operator]
    assert 0.6 < inside / 60 < 0.95
