"""How sure a number is: bootstrap intervals, paired tests, Holm correction, and the group that shares the first place.

The layout of ``values`` is ``S x N`` everywhere: S training seeds by N test images, the same images in the same order
for each row of a task. An image with a value that is not finite for some seed (a metric that finds no face, say)
counts as missing: it leaves that row's mean, and both sides of a pair.

The primary test is the Wilcoxon signed-rank test on per-image differences of seed means. It is conditional on the
trained networks at hand; the bootstrap interval of the difference is not, as it resamples seeds too.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from srledger.seeds import numpy_generator


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean with its two-sided interval; ``low`` and ``high`` are None where none can be had."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Row ``row`` minus row ``reference`` in one metric.

    Attributes:
        difference: mean over images, with its bootstrap interval; ``n`` is the number of images both have.
        p: of the primary test; p_holm: after Holm over the family it was made in.
        p_sign_flip: of the sign-flip permutation test on the mean difference, shown as a check; None for set metrics.
    """

    row: str
    reference: str
    difference: Interval
    p: float
    p_holm: float
    p_sign_flip: float | None


@dataclasses.dataclass(frozen=True)
class BestGroup:
    """The best row and all rows that are not significantly worse, in the order they were given."""

    best: str
    members: tuple[str, ...]
    comparisons: tuple[Comparison, ...]


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Settings shared by every interval of a task.

    Attributes:
        name: axis of the seed, so that all rows and metrics of a task see the same resamples of its images.
        resamples: number of bootstrap (and sign-flip) draws.
        alpha: the interval covers ``1 - alpha``.
    """

    name: str
    resamples: int = 2000
    alpha: float = 0.05


@functools.lru_cache(maxsize=16)
def _image_weights(name: str, n: int, resamples: int) -> np.ndarray:
    """``resamples x n``: how often each image was drawn, divided by n."""
    draws = numpy_generator("bootstrap", "images", name, n, resamples).integers(0, n, size=(resamples, n))
    draws += np.arange(resamples)[:, None] * n
    return np.bincount(draws.ravel(), minlength=resamples * n).reshape(resamples, n) / n


def _seed_weights(name: str, row: str, seeds: int, resamples: int) -> np.ndarray:
    """``resamples x seeds``: the weight of each training seed.

    S - 1 of S seeds are drawn, not S: the variance of the bootstrap mean is then s^2 / S without the bias of
    (S - 1) / S (McCarthy & Snowden 1985), which would halve it at two seeds.
    """
    if seeds == 1:
        return np.ones((resamples, 1))
    draws = numpy_generator("bootstrap", "seeds", name, row, seeds, resamples).integers(
        0, seeds, size=(resamples, seeds - 1)
    )
    return (draws[:, :, None] == np.arange(seeds)).mean(axis=1)


@functools.lru_cache(maxsize=16)
def _signs(name: str, n: int, resamples: int) -> np.ndarray:
    return numpy_generator("sign flip", name, n, resamples).integers(0, 2, size=(resamples, n)) * 2.0 - 1.0


def finite_images(*values: np.ndarray) -> np.ndarray:
    """Mask over N: images that are finite for all seeds of all the given ``S x N`` arrays."""
    return np.logical_and.reduce([np.isfinite(array).all(axis=0) for array in values])


def bootstrap_means(values: np.ndarray, row: str, bootstrap: Bootstrap) -> np.ndarray:
    """Means of resampled values: images and, when there is more than one, seeds (crossed, not nested).

    Args:
        values: ``S x N``, finite.
        row: axis of the seed draws: seeds of two rows are drawn apart, images together.

    Returns:
        float64 ``resamples``.
    """
    by_image = _seed_weights(bootstrap.name, row, values.shape[0], bootstrap.resamples) @ values
    return (by_image * _image_weights(bootstrap.name, values.shape[1], bootstrap.resamples)).sum(axis=1)


def _percentiles(means: np.ndarray, alpha: float) -> tuple[float, float]:
    low, high = np.quantile(means, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def mean_interval(values: np.ndarray, row: str, bootstrap: Bootstrap) -> Interval:
    """Mean over seeds and images with its percentile bootstrap interval (Efron 1979; Davison & Hinkley 1997).

    Args:
        values: ``S x N``; columns that are not finite are left out. One image alone has no interval.

    Raises:
        ValueError: no image has finite values.
    """
    kept = values[:, finite_images(values)]
    if kept.shape[1] == 0:
        raise ValueError("no image has a finite value")
    mean = float(kept.mean())
    if kept.shape[1] == 1:
        return Interval(mean, None, None, 1)
    return Interval(mean, *_percentiles(bootstrap_means(kept, row, bootstrap), bootstrap.alpha), kept.shape[1])


def set_interval(
    values: Sequence[float], standard_errors: Sequence[float | None], n: int, alpha: float = 0.05
) -> Interval:
    """Mean over seeds of a number that belongs to a set of images, with a normal interval.

    Its variance is the mean of the squared standard errors over images (not divided by the seeds: all seeds see the
    same images) plus the variance between seeds over S. Without standard errors there is no interval.
    """
    from scipy.stats import norm

    mean = float(np.mean(values))
    error = set_standard_error(values, standard_errors)
    if error is None:
        return Interval(mean, None, None, n)
    reach = float(norm.ppf(1 - alpha / 2)) * error
    return Interval(mean, mean - reach, mean + reach, n)


def set_standard_error(values: Sequence[float], standard_errors: Sequence[float | None]) -> float | None:
    """The standard error that ``set_interval`` uses, or None when one is missing."""
    errors = [error for error in standard_errors if error is not None]
    if len(errors) < len(standard_errors) or not errors:
        return None
    between_seeds = float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0
    return math.sqrt(float(np.mean(np.square(errors))) + between_seeds)


def wilcoxon_p(differences: np.ndarray) -> float:
    """Two-sided p of the Wilcoxon signed-rank test (1945); zeros are dropped, and no difference at all gives 1.

    Exact up to 50 differences without ties, else the normal approximation (scipy's ``auto``).
    """
    from scipy.stats import wilcoxon

    nonzero = differences[differences != 0]
    return float(wilcoxon(nonzero).pvalue) if len(nonzero) else 1.0


def directed_p(differences: np.ndarray) -> float:
    """``wilcoxon_p``, but 1 where ranks and mean point in opposite directions: neither side is then better."""
    from scipy.stats import rankdata

    nonzero = differences[differences != 0]
    ranks = float((np.sign(nonzero) * rankdata(np.abs(nonzero))).sum())
    return wilcoxon_p(differences) if ranks * float(differences.mean()) > 0 else 1.0


def can_differ(n: int, family: int, alpha: float) -> bool:
    """Whether ``n`` pairs are enough for the test to find any difference at all among ``family`` comparisons."""
    return family * 2.0 ** (1 - n) <= alpha


def sign_flip_p(differences: np.ndarray, bootstrap: Bootstrap) -> float:
    """Two-sided p of the sign-flip permutation test on the mean (Monte Carlo, never below 1 / (resamples + 1))."""
    flipped = np.abs(_signs(bootstrap.name, len(differences), bootstrap.resamples) @ differences)
    observed = abs(float(differences.sum()))
    slack = 1e-9 * float(np.abs(differences).sum())  # so that the order of a sum decides no tie
    return float((1 + np.count_nonzero(flipped >= observed - slack)) / (bootstrap.resamples + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): adjusted p, in the order given."""
    count = len(p_values)
    adjusted = [0.0] * count
    running = 0.0
    for rank, position in enumerate(sorted(range(count), key=lambda k: p_values[k])):
        running = max(running, min(1.0, (count - rank) * p_values[position]))
        adjusted[position] = running
    return adjusted


def compare_rows(samples: Mapping[str, np.ndarray], reference: str, bootstrap: Bootstrap) -> list[Comparison]:
    """Each other row minus ``reference``, Holm-corrected over all of them.

    Args:
        samples: row -> ``S x N`` of one metric, higher or lower better. Rows may have different numbers of seeds.
    """
    base = samples[reference]
    found: list[tuple[str, Interval, float, float]] = []
    for row, values in samples.items():
        mask = finite_images(values, base)
        if row == reference or not mask.any():
            continue
        ours, theirs = values[:, mask], base[:, mask]
        differences = ours.mean(axis=0) - theirs.mean(axis=0)
        interval = Interval(float(differences.mean()), None, None, int(mask.sum()))
        if mask.sum() > 1:
            means = bootstrap_means(ours, row, bootstrap) - bootstrap_means(theirs, reference, bootstrap)
            low, high = _percentiles(means, bootstrap.alpha)
            interval = dataclasses.replace(interval, low=low, high=high)
        found.append((row, interval, directed_p(differences), sign_flip_p(differences, bootstrap)))
    corrected = holm([p for _, _, p, _ in found])
    return [Comparison(row, reference, interval, p, p_holm, flip)
            for (row, interval, p, flip), p_holm in zip(found, corrected, strict=True)]  # fmt: skip


def compare_sets(
    samples: Mapping[str, tuple[Interval, float]], reference: str, alpha: float = 0.05
) -> list[Comparison]:
    """Each other row minus ``reference`` for a set metric: a z-test from (interval, standard error), then Holm.

    The two errors are added as if independent. Both come from the same images and mostly move together, so that the
    test errs on the side of finding no difference.
    """
    from scipy.stats import norm

    base, base_error = samples[reference]
    found: list[tuple[str, Interval, float]] = []
    for row, (interval, error) in samples.items():
        if row == reference:
            continue
        joint = math.hypot(error, base_error)
        difference = interval.value - base.value
        reach = float(norm.ppf(1 - alpha / 2)) * joint
        p = float(2 * norm.sf(abs(difference) / joint)) if joint else float(difference == 0)
        found.append((row, Interval(difference, difference - reach, difference + reach, min(interval.n, base.n)), p))
    corrected = holm([p for _, _, p in found])
    return [
        Comparison(row, reference, interval, p, p_holm, None)
        for (row, interval, p), p_holm in zip(found, corrected, strict=True)
    ]


def best_row(means: Mapping[str, float], higher_is_better: bool) -> str:
    """The row with the best mean; of equals the first."""
    sign = 1 if higher_is_better else -1
    return max(means, key=lambda row: sign * means[row])


def best_group(samples: Mapping[str, np.ndarray], higher_is_better: bool, bootstrap: Bootstrap) -> BestGroup:
    """The best row and all rows that the primary test does not find worse than it at ``alpha`` after Holm.

    Args:
        samples: row -> ``S x N`` of one metric; each has at least one image with finite values.
    """
    means = {row: float(values[:, finite_images(values)].mean()) for row, values in samples.items()}
    best = best_row(means, higher_is_better)
    comparisons = compare_rows(samples, best, bootstrap)
    if not all(can_differ(one.difference.n, len(comparisons), bootstrap.alpha) for one in comparisons):
        return BestGroup(best, (best,), tuple(comparisons))  # a test that can find nothing ties nobody
    return group_of(best, samples, comparisons, bootstrap.alpha)


def group_of(best: str, rows: Mapping[str, object], comparisons: Sequence[Comparison], alpha: float) -> BestGroup:
    """The group of ``best``: itself and every row of ``comparisons`` with p (Holm) above ``alpha``."""
    tied = {best} | {comparison.row for comparison in comparisons if comparison.p_holm > alpha}
    return BestGroup(best, tuple(row for row in rows if row in tied), tuple(comparisons))
