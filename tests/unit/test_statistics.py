"""Statistics: golden values, coverage, and the cases that break naive code."""

from __future__ import annotations

import numpy as np
import pytest

from srledger.evaluation import statistics
from srledger.evaluation.statistics import Bootstrap, Interval
from srledger.seeds import numpy_generator

BOOTSTRAP = Bootstrap("faces_x8", resamples=1000)


def sample(name: str, seeds: int, images: int, shift: float = 0.0) -> np.ndarray:
    return numpy_generator("test statistics", name).normal(20 + shift, 1, size=(seeds, images))


def test_holm_gives_the_values_of_r_p_adjust() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert statistics.holm([]) == []


def test_wilcoxon_gives_the_textbook_value() -> None:
    """Cross- and self-fertilised plants (Darwin's data, Siegel's example)."""
    differences = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75], dtype=float)
    assert statistics.wilcoxon_p(differences) == pytest.approx(0.041259765625)


def test_no_difference_at_all_is_not_significant() -> None:
    zeros = np.zeros(30)
    assert statistics.wilcoxon_p(zeros) == 1.0
    assert statistics.sign_flip_p(zeros, BOOTSTRAP) == 1.0
    values = sample("same", 2, 30)
    (comparison,) = statistics.compare_rows({"a": values, "b": values.copy()}, "a", BOOTSTRAP)
    assert comparison.difference.value == 0.0
    assert comparison.p_holm == 1.0


def test_ties_of_one_sign_are_significant() -> None:
    assert statistics.wilcoxon_p(np.full(40, 0.5)) < 1e-6
    assert statistics.sign_flip_p(np.full(40, 0.5), BOOTSTRAP) == pytest.approx(1 / 1001)


def test_sign_flip_agrees_with_wilcoxon_on_a_plain_shift() -> None:
    differences = numpy_generator("shift").normal(0.35, 1, size=50)
    assert statistics.sign_flip_p(differences, BOOTSTRAP) == pytest.approx(statistics.wilcoxon_p(differences), abs=0.02)


def test_interval_of_one_seed_matches_the_normal_theory() -> None:
    values = sample("theory", 1, 200)
    interval = statistics.mean_interval(values, "sr3", Bootstrap("t", resamples=4000))
    reach = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - reach, abs=0.1 * reach)
    assert interval.high == pytest.approx(values.mean() + reach, abs=0.1 * reach)
    assert interval.n == 200


def test_interval_depends_on_names_alone() -> None:
    values = sample("names", 2, 40)
    first = statistics.mean_interval(values, "sr3", BOOTSTRAP)
    statistics._image_weights.cache_clear()
    assert statistics.mean_interval(values, "sr3", BOOTSTRAP) == first
    assert statistics.mean_interval(values, "sr3", Bootstrap("photos_x4", resamples=1000)) != first


def test_spread_between_seeds_widens_the_interval_without_bias() -> None:
    """Two seeds 1 dB apart with equal images: the bootstrap standard deviation is s / sqrt(2) = 0.5."""
    values = np.stack([np.full(50, 20.0), np.full(50, 21.0)])
    means = statistics.bootstrap_means(values, "sr3", Bootstrap("t", resamples=4000))
    assert means.std() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("seeds", "seed_spread", "least"), [(1, 0.0, 0.92), (8, 0.3, 0.87)])
def test_coverage(seeds: int, seed_spread: float, least: float) -> None:
    """Of 400 intervals about 95 % hold the truth; with 8 seeds somewhat fewer, as every bootstrap of 8 units."""
    rng = numpy_generator("coverage", seeds)
    bootstrap = Bootstrap("coverage", resamples=400)
    held = 0
    for _ in range(400):
        values = (
            rng.normal(size=(1, 60))
            + rng.normal(scale=0.2, size=(seeds, 60))
            + rng.normal(scale=seed_spread, size=(seeds, 1))
        )
        interval = statistics.mean_interval(values, "sr3", bootstrap)
        assert interval.low is not None and interval.high is not None
        held += interval.low <= 0 <= interval.high
    assert least <= held / 400 <= 0.98


def test_missing_values_leave_both_sides_of_a_pair() -> None:
    ours, theirs = sample("ours", 2, 20, 1.0), sample("theirs", 1, 20)
    ours[1, 3] = np.nan
    theirs[0, 7] = np.inf
    (comparison,) = statistics.compare_rows({"base": theirs, "sr3": ours}, "base", BOOTSTRAP)
    kept = [k for k in range(20) if k not in (3, 7)]
    assert comparison.difference.n == 18
    assert comparison.difference.value == pytest.approx(ours[:, kept].mean() - theirs[:, kept].mean())
    assert statistics.mean_interval(ours, "sr3", BOOTSTRAP).n == 19
    with pytest.raises(ValueError, match="finite"):
        statistics.mean_interval(np.full((1, 3), np.nan), "sr3", BOOTSTRAP)


def test_pairing_finds_what_the_spread_of_images_hides() -> None:
    """A gain of 0.1 dB is far inside either interval, and yet certain image by image."""
    base = sample("hidden", 1, 60)
    better = base + 0.1 + numpy_generator("noise").normal(0, 0.02, size=(1, 60))
    (comparison,) = statistics.compare_rows({"base": base, "better": better}, "base", BOOTSTRAP)
    assert comparison.p_holm < 1e-6
    assert comparison.difference.low is not None and comparison.difference.low > 0.08
    alone = statistics.mean_interval(better, "better", BOOTSTRAP)
    assert alone.low is not None and alone.low < base.mean()


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_best_group_holds_ties_and_leaves_the_worse_out(higher_is_better: bool) -> None:
    sign = 1 if higher_is_better else -1
    base = sample("group", 2, 50)
    noise = numpy_generator("tie").normal(0, 0.2, size=(2, 50))
    samples = {"far": base - sign * 1.0, "tied": base + noise - noise.mean() - sign * 0.001, "best": base}
    group = statistics.best_group(samples, higher_is_better, BOOTSTRAP)
    assert group.best == "best"
    assert group.members == ("tied", "best")
    assert {comparison.row for comparison in group.comparisons} == {"far", "tied"}


def test_a_single_row_is_its_own_group() -> None:
    assert statistics.best_group({"only": sample("only", 1, 5)}, True, BOOTSTRAP).members == ("only",)


def test_set_interval_adds_images_and_seeds() -> None:
    one = statistics.set_interval([10.0], [1.0], 100)
    assert (one.low, one.high) == pytest.approx((10 - 1.959964, 10 + 1.959964))
    two = statistics.set_interval([9.0, 11.0], [1.0, 1.0], 100)  # variance 1 + 2 / 2
    assert (two.low, two.high) == pytest.approx((10 - 1.959964 * 2**0.5, 10 + 1.959964 * 2**0.5))
    assert statistics.set_interval([10.0, 11.0], [1.0, None], 100) == Interval(10.5, None, None, 100)


def test_set_comparison_is_a_z_test() -> None:
    samples = {"a": (Interval(10.0, 9, 11, 50), 0.6), "b": (Interval(12.0, 11, 13, 50), 0.8)}
    (comparison,) = statistics.compare_sets(samples, "a")
    assert comparison.difference.value == 2.0
    assert comparison.p == pytest.approx(0.0455, abs=1e-4)  # 2 / hypot(0.6, 0.8) = 2 sigma
    (certain,) = statistics.compare_sets({"a": (Interval(1.0, 1, 1, 5), 0.0), "b": (Interval(2.0, 2, 2, 5), 0.0)}, "a")
    assert certain.p == 0.0
