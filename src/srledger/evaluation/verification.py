"""Face verification: are two images of one person? Pairs, curves, and how sure their numbers are.

The protocol is that of LFW (Huang et al. 2007) on one's own test faces: every genuine pair, as many impostor pairs, in
ten folds that share no identity, so that a threshold is never chosen on a person that it then judges. Scores are
similarities: the higher, the likelier one person. FAR is the share of impostor pairs that are accepted, TAR that of
genuine ones. Source: spec I.5 (O-F1).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from srledger.errors import SrledgerError
from srledger.evaluation.statistics import Interval
from srledger.seeds import numpy_generator

FOLDS = 10
FARS = (0.01, 0.001)
LEAST_IDENTITIES = 4  # two folds of two


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of images, as positions among those that they were drawn of; the first of a pair is the probe.

    Attributes:
        probe, reference: int64 ``P``. genuine: bool ``P``, both show one person. fold: int64 ``P``.
        person, other: int64 ``P``, the identities of probe and reference, as positions among the sorted ones.
    """

    probe: np.ndarray
    reference: np.ndarray
    genuine: np.ndarray
    fold: np.ndarray
    person: np.ndarray
    other: np.ndarray

    def __len__(self) -> int:
        return len(self.probe)


def single_images(identities: Sequence[str]) -> list[str]:
    """The identities that have one image and so no genuine pair, sorted."""
    return sorted(name for name, count in Counter(identities).items() if count == 1)


def draw_pairs(identities: Sequence[str], name: str, folds: int = FOLDS) -> Pairs:
    """All genuine pairs of images, and as many impostor pairs; each lies within one fold, and so do its people.

    Args:
        identities: of each image.
        name: axis of the draws: the order of people in folds, impostors, and which image of a pair is the probe.
        folds: fewer where there are not two people for each. A fold of few people may have fewer impostor pairs than
            genuine ones: then it has all there are.

    Raises:
        SrledgerError: an identity has one image, or there are fewer than four.
    """
    people = sorted(set(identities))
    if single := single_images(identities):
        raise SrledgerError(
            "an identity has one image, of which there is no pair", found=", ".join(single[:5]),
            expected="at least two images of each", mend="leave such identities out (`single_images` names them)",
        )  # fmt: skip
    if len(people) < LEAST_IDENTITIES:
        raise SrledgerError(
            "there are no pairs to verify", found=f"{len(people)} identities",
            expected=f"at least {LEAST_IDENTITIES}, each with two images and more",
        )  # fmt: skip
    folds = min(folds, len(people) // 2)
    position = {person: k for k, person in enumerate(people)}
    person_of = np.array([position[identity] for identity in identities])
    rng = numpy_generator("verification", name, len(identities))
    fold_of = np.empty(len(people), np.int64)
    fold_of[rng.permutation(len(people))] = np.arange(len(people)) % folds
    kept: list[tuple[int, int]] = []
    for fold in range(folds):
        images = np.flatnonzero(fold_of[person_of] == fold).tolist()
        every = list(itertools.combinations(images, 2))
        genuine = [(i, j) for i, j in every if person_of[i] == person_of[j]]
        impostors = [(i, j) for i, j in every if person_of[i] != person_of[j]]
        drawn = rng.permutation(len(impostors))[: len(genuine)]
        kept += [*genuine, *(impostors[k] for k in np.sort(drawn))]
    pairs = np.array(kept, np.int64)
    turned = rng.random(len(pairs)) < 0.5
    probe, reference = np.where(turned, pairs[:, 1], pairs[:, 0]), np.where(turned, pairs[:, 0], pairs[:, 1])
    person, other = person_of[probe], person_of[reference]
    return Pairs(probe, reference, person == other, fold_of[person], person, other)


@dataclasses.dataclass(frozen=True)
class Curves:
    """What becomes of each threshold, from the strictest to none: float64 ``T`` each; the first accepts nothing.

    Attributes:
        thresholds: a pair is accepted at a score of it and above; the first is infinite.
        far, tar: shares of impostor and genuine pairs that are accepted.
        precision: share of the accepted pairs that are genuine (1 where nothing is accepted); recall is ``tar``.
    """

    thresholds: np.ndarray
    far: np.ndarray
    tar: np.ndarray
    precision: np.ndarray


def curves(scores: np.ndarray, genuine: np.ndarray) -> Curves:
    """ROC and precision-recall curve of ``P`` scores; equal scores share one threshold.

    Raises:
        SrledgerError: there are no genuine or no impostor pairs, or a score is not finite.
    """
    _check(scores, genuine)
    thresholds, accepted, wrong = _accepted(scores, genuine.astype(np.float64), (~genuine).astype(np.float64))
    return _curves_of(thresholds, accepted, wrong)


def auc(found: Curves) -> float:
    """Area under the ROC curve: the chance that a genuine pair scores higher than an impostor pair, ties half."""
    return float(np.trapezoid(found.tar, found.far))


def average_precision(found: Curves) -> float:
    """Area under the precision-recall curve, in steps (no line between points of that curve holds)."""
    return float((np.diff(found.tar) * found.precision[1:]).sum())


def eer(found: Curves) -> float:
    """Equal error rate: where the ROC curve, joined by lines, accepts as many impostors as it refuses genuine pairs."""
    gap = found.far + found.tar - 1  # rises from -1 to 1
    k = int(np.argmax(gap >= 0))
    if gap[k] == 0:
        return float(found.far[k])
    part = -gap[k - 1] / (gap[k] - gap[k - 1])
    return float(found.far[k - 1] + part * (found.far[k] - found.far[k - 1]))


def tar_at_far(found: Curves, far: float, impostors: int) -> float:
    """The greatest TAR of a threshold whose FAR is ``far`` or less.

    NaN where there are fewer than ``1 / far`` impostor pairs: of so few the first one accepted is too many.
    """
    if impostors * far < 1 - 1e-9:
        return math.nan
    return float(found.tar[found.far <= far + 1e-12].max())


def best_threshold(scores: np.ndarray, genuine: np.ndarray) -> float:
    """The threshold with the greatest mean of TAR and 1 - FAR, half way to the next lower score; of equals the highest.

    With as many impostor as genuine pairs that mean is the accuracy.
    """
    found = curves(scores, genuine)
    best = int(np.argmax(np.round(found.tar - found.far, 12)))
    if best == 0:
        return float(np.nextafter(found.thresholds[1], math.inf))
    if best + 1 == len(found.thresholds):
        return float(found.thresholds[best])
    return float((found.thresholds[best] + found.thresholds[best + 1]) / 2)


def judged(scores: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Whether each pair is judged rightly by the threshold of the other folds: bool ``P``."""
    right = np.zeros(len(pairs), bool)
    for fold in np.unique(pairs.fold):
        here = pairs.fold == fold
        threshold = best_threshold(scores[~here], pairs.genuine[~here])
        right[here] = (scores[here] >= threshold) == pairs.genuine[here]
    return right


@dataclasses.dataclass(frozen=True)
class Verification:
    """The numbers of one set of scores, each with its interval; NaN with no interval where there is none.

    Attributes:
        accuracy: mean of the shares of genuine and of impostor pairs that the other folds' threshold judges rightly.
        tar: at each of ``FARS``.
    """

    auc: Interval
    average_precision: Interval
    eer: Interval
    accuracy: Interval
    tar: tuple[Interval, ...]


def verify(scores: np.ndarray, pairs: Pairs, name: str, resamples: int = 1000, alpha: float = 0.05) -> Verification:
    """Every number of ``P`` scores with a percentile bootstrap interval over identities.

    People are drawn with replacement; a genuine pair counts as often as its person was drawn, an impostor pair as often
    as both were together. Pairs of one person, or of one image, are so never taken for independent ones. The thresholds
    of the accuracy stay what they are. ``n`` of the intervals is the number of people.

    Args:
        name: axis of the resamples: rows of one task share them.

    Raises:
        SrledgerError: there are no genuine or no impostor pairs, or a score is not finite.
    """
    _check(scores, pairs.genuine)
    genuine, right = pairs.genuine, judged(scores, pairs)
    intervals = _intervals(lambda weights: _numbers(scores, genuine, right, weights), pairs, name, resamples, alpha)
    area, precision, error, accuracy, *tars = intervals
    return Verification(area, precision, error, accuracy, tuple(tars))


def auc_gain(
    scores: np.ndarray, base: np.ndarray, pairs: Pairs, name: str, resamples: int = 1000, alpha: float = 0.05
) -> Interval:
    """The AUC of ``scores`` minus that of ``base``, both of the same ``P`` pairs, with its interval as in ``verify``.

    Raises:
        SrledgerError: there are no genuine or no impostor pairs, or a score is not finite.
    """
    for one in (scores, base):
        _check(one, pairs.genuine)

    def gain(weights: np.ndarray) -> list[float]:
        of_genuine, of_impostors = weights * pairs.genuine, weights * ~pairs.genuine
        ours, theirs = (auc(_curves_of(*_accepted(one, of_genuine, of_impostors))) for one in (scores, base))
        return [ours - theirs]

    return _intervals(gain, pairs, name, resamples, alpha)[0]


def _intervals(
    numbers: Callable[[np.ndarray], list[float]], pairs: Pairs, name: str, resamples: int, alpha: float
) -> list[Interval]:
    """What ``numbers`` makes of the weights of ``P`` pairs: of one each, and the percentiles of those of resamples."""
    people = int(max(pairs.person.max(), pairs.other.max())) + 1
    value, drawn = numbers(np.ones(len(pairs))), _draws(name, people, resamples)
    weights = np.where(pairs.genuine, drawn[:, pairs.person], drawn[:, pairs.person] * drawn[:, pairs.other])
    kept = (weights * pairs.genuine).any(axis=1) & (weights * ~pairs.genuine).any(axis=1)
    sampled = np.array([numbers(one) for one in weights[kept]])
    intervals = []
    for k, number in enumerate(value):
        if math.isnan(number) or not len(sampled):
            intervals.append(Interval(number, None, None, people))
        else:
            low, high = np.quantile(sampled[:, k], [alpha / 2, 1 - alpha / 2])
            intervals.append(Interval(number, float(low), float(high), people))
    return intervals


def _numbers(scores: np.ndarray, genuine: np.ndarray, right: np.ndarray, weights: np.ndarray) -> list[float]:
    """In the order of ``Verification``, of weighted pairs."""
    found, impostors = _curves_of(*_accepted(scores, weights * genuine, weights * ~genuine)), int((~genuine).sum())
    accuracy = (np.average(right[genuine], weights=weights[genuine]) + np.average(
        right[~genuine], weights=weights[~genuine])) / 2  # fmt: skip
    tars = [tar_at_far(found, far, impostors) for far in FARS]
    return [auc(found), average_precision(found), eer(found), float(accuracy), *tars]


def _accepted(
    scores: np.ndarray, of_genuine: np.ndarray, of_impostors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(thresholds, accepted genuine, accepted impostors): summed weights of the pairs at each threshold and above."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last of each run of equal scores
    accepted, wrong = (np.append(0.0, np.cumsum(one[order])[ends]) for one in (of_genuine, of_impostors))
    return np.append(math.inf, scores[order][ends]), accepted, wrong


def _curves_of(thresholds: np.ndarray, accepted: np.ndarray, wrong: np.ndarray) -> Curves:
    everything = accepted + wrong
    precision = np.divide(accepted, everything, out=np.ones_like(accepted), where=everything > 0)
    return Curves(thresholds, wrong / wrong[-1], accepted / accepted[-1], precision)


@functools.lru_cache(maxsize=8)
def _draws(name: str, people: int, resamples: int) -> np.ndarray:
    """float64 ``resamples x people``: how often each person was drawn."""
    picks = numpy_generator("bootstrap", "people", name, people, resamples).integers(0, people, (resamples, people))
    picks += np.arange(resamples)[:, None] * people
    return np.bincount(picks.ravel(), minlength=resamples * people).reshape(resamples, people).astype(np.float64)


def _check(scores: np.ndarray, genuine: np.ndarray) -> None:
    if genuine.all() or not genuine.any():
        raise SrledgerError(
            "there are no pairs to verify", found=f"{int(genuine.sum())} genuine, {int((~genuine).sum())} impostor",
            expected="some of both",
        )  # fmt: skip
    if not np.isfinite(scores).all():
        raise SrledgerError("a score is not a number", found=int((~np.isfinite(scores)).sum()), expected="none")
