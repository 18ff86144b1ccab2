"""Effects of crossed factors: the true ones are found, holes are named, and no word says more than an interval."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from srledger.reporting.cells import build_cells
from srledger.reporting.config import Crossed, Question, ReportConfig, TableConfig
from srledger.reporting.effect_words import NOTHING, EffectsView, effects_view
from srledger.reporting.effects import ColumnEffects, Effect, TableEffects, effects_of, table_effects, whole_set
from srledger.reporting.layout import lay_out
from srledger.reporting.rows import HASHES, Measured, Rows
from srledger.reporting.views import MINUS
from srledger.seeds import numpy_generator

FACTORS = {"target": ("eps", "v"), "prior": ("uniform", "dino", "edge"), "batch": ("16", "4")}
QUESTIONS = (Question(factor="prior", within="target"),)
INFO: dict[str, dict[str, Any]] = {
    "psnr": {"unit": "dB", "higher_is_better": True, "digits": 2, "of": "image", "protocol": "p"},
    "distance": {"unit": "", "higher_is_better": False, "digits": 3, "of": "image", "protocol": "d"},
    "fed": {"unit": "", "higher_is_better": False, "digits": 1, "of": "set", "protocol": "f"},
}
DINO = Effect("prior", "dino", "uniform")
DINO_IN_EPS, DINO_IN_V = (dataclasses.replace(DINO, within="target", at=at) for at in ("eps", "v"))
DINO_IN_V_MINUS_EPS = dataclasses.replace(DINO_IN_V, minus="eps")
IMAGES = 60

Levels = tuple[str, ...]


def truth(levels: Levels) -> float:
    """Of PSNR: dino gives 1.2 under eps and nothing under v; edge 0.5 under both; batch 4 takes 0.3 away."""
    target, prior, batch = levels
    gain = {"uniform": 0.0, "dino": 1.2 if target == "eps" else 0.0, "edge": 0.5}[prior]
    return 24 + gain + (0.7 if target == "v" else 0.0) - (0.3 if batch == "4" else 0.0)


def name_of(levels: Levels) -> str:
    return "sr3__" + "_".join(levels)


def made_up(
    value: Callable[[Levels], float] = truth, *, factors: Mapping[str, Levels] = FACTORS, noise: float = 0.05,
    seeds: int = 1, weights: Callable[[Levels], str] = name_of, without: tuple[Levels, ...] = (),
    failed: tuple[Levels, ...] = (), set_error: float | None = 0.5,
) -> Rows:  # fmt: skip
    """Rows of every combination: a hard or easy image is so for all rows, a little noise for each alone."""
    hardness = numpy_generator("hardness").normal(0, 3, size=IMAGES)
    records, measured = {}, {}
    for levels in itertools.product(*factors.values()):
        row = name_of(levels)
        if levels in without:
            continue
        fails = levels in failed
        records[row, "faces"] = {
            "row": row, "task": "faces", "seeds": list(range(seeds)), "failed": "NaN at step 9" if fails else None,
            "image_metrics": [] if fails else ["psnr", "distance"], "unavailable": {}, "metric_info": INFO,
            "set_metrics": {} if fails else {"fed": {
                str(seed): {"value": 30 - value(levels), "standard_error": set_error, "n": IMAGES}
                for seed in range(seeds)
            }},
            "parameters": 1, "macs": 1, **dict.fromkeys(HASHES, ""), "weights_sha256": weights(levels),
        }  # fmt: skip
        rng = numpy_generator("noise of", row)
        psnr = value(levels) + hardness + rng.normal(0, noise, size=(seeds, IMAGES))
        if not fails:
            measured[row, "faces"] = Measured(
                tuple(map(str, range(IMAGES))), tuple(range(seeds)), {"psnr": psnr, "distance": 1 - psnr / 100}
            )
    tasks = {"faces": {"dataset": "drawn", "degradation": "bicubic", "scale_factor": 4, "hr_size_px": 32}}
    return Rows("quick", records, measured, {}, tasks, ())


def found_in(
    rows: Rows, factors: Mapping[str, Levels] = FACTORS, questions: tuple[Question, ...] = QUESTIONS
) -> tuple[TableEffects, EffectsView]:
    names = {name_of(levels): levels for levels in itertools.product(*factors.values())}
    crossed = Crossed(factors=dict(factors), rows=names, questions=questions)
    here = tuple(row for row, _ in rows.records)
    config = ReportConfig(
        bootstrap_resamples=400,
        tables={"t": TableConfig(title="T", task="faces", rows=here, baseline=here[0], crossed=crossed)},
    )
    (table,) = lay_out(rows, config)
    found = table_effects(rows, table, build_cells(rows, [table], {}, config), config)
    assert found is not None
    return found, effects_view(table, found, config)


def column(found: TableEffects, metric: str = "psnr") -> ColumnEffects:
    return next(one for one in found.columns if one.column.metric == metric)


def test_true_effects_and_interactions_are_found() -> None:
    found, _ = found_in(made_up())
    estimates = column(found).estimates
    true = {
        DINO: 0.6,
        Effect("prior", "edge", "uniform"): 0.5,
        Effect("target", "v", "eps"): 0.7 - 0.4,  # a third of the rows lose 1.2 under v
        Effect("batch", "4", "16"): -0.3,
        DINO_IN_EPS: 1.2,
        DINO_IN_V: 0.0,
        DINO_IN_V_MINUS_EPS: -1.2,
        Effect("prior", "edge", "uniform", "target", "v", "eps"): 0.0,
        Effect("prior", "dino", "uniform", "batch", "4", "16"): 0.0,
        Effect("target", "v", "eps", "batch", "4", "16"): 0.0,
    }
    for effect, expected in true.items():
        one = estimates[effect].difference
        assert one.value == pytest.approx(expected, abs=0.03), effect
        assert one.low is not None and one.high is not None and one.low - 0.01 < expected < one.high + 0.01
        assert one.high - one.low < 0.08 and one.n == IMAGES  # paired: the images' own spread of 3 is no part of it
        assert (estimates[effect].p_holm < 0.05) == (expected != 0), effect
    assert set(estimates) == set(effects_of(found.crossed)) and len(estimates) == 4 + 5 + 4
    assert [one.p_holm >= one.p for one in estimates.values()] == [True] * 13


def test_effects_add_up_to_the_bit_of_a_rounding() -> None:
    found, _ = found_in(made_up(noise=0.5))
    value = {effect: one.difference.value for effect, one in column(found).estimates.items()}
    assert value[DINO] == pytest.approx((value[DINO_IN_EPS] + value[DINO_IN_V]) / 2)
    assert value[DINO_IN_V_MINUS_EPS] == pytest.approx(value[DINO_IN_V] - value[DINO_IN_EPS])


def test_settings_without_any_effect_have_none() -> None:
    """Rows that are equal image by image: nothing may come of the order in which their sums are taken."""
    same = made_up(lambda levels: 1 / 3, noise=0)
    noise = numpy_generator("of all").normal(size=(1, IMAGES)) / 3
    for measured in same.measured.values():
        measured.values["psnr"] = measured.values["psnr"] + noise
    found, view = found_in(same)
    for one in column(found).estimates.values():
        assert (one.difference.value, one.difference.low, one.difference.high) == (0, 0, 0)
        assert one.p == one.p_holm == 1
    assert all("better" not in sentence.partition(": ")[2] for sentence in view.answers[0].sentences)


def test_sentences_say_what_the_intervals_say() -> None:
    _, view = found_in(made_up())
    (answer,) = view.answers
    dino, edge, distance, *_ = answer.sentences
    number = f"[+{MINUS}]\\d\\.\\d\\d"
    numbers = rf"{number} dB \[{number}, {number}\]"
    assert re.fullmatch(
        rf"prior dino against uniform, psnr \(higher is better\): {numbers} within target eps \(better\); "
        rf"{numbers} within target v \({NOTHING}\); difference of the differences, target v minus eps, {numbers} "
        r"\(the effect is worse within target v\)\.",
        dino,
    ), dino
    assert edge.count("(better)") == 2 and f"minus eps, {edge.rpartition('minus eps, ')[2]}".count(NOTHING) == 1
    assert distance.startswith("prior dino against uniform, distance (lower is better): \N{MINUS SIGN}0.012 [")
    assert "within target eps (better)" in distance and "worse within target v" in distance


def test_a_missing_row_cuts_a_level_of_the_others_and_is_named() -> None:
    hole = ("v", "dino", "4")
    whole, _ = found_in(made_up())
    found, view = found_in(made_up(failed=(hole,)))
    estimates = column(found).estimates
    assert estimates[DINO_IN_V].cut == estimates[DINO_IN_EPS].cut == {"batch": ("16",)}  # one set on both sides
    assert estimates[DINO].cut == {"batch": ("16",)} and estimates[Effect("batch", "4", "16")].cut == {
        "prior": ("uniform", "edge")
    }
    edge = Effect("prior", "edge", "uniform")
    assert estimates[edge].cut == {}
    assert estimates[edge].difference == column(whole).estimates[edge].difference
    words = " ".join(view.foot)
    assert f"Missing: {name_of(hole)} (failed: NaN at step 9)." in words
    assert all("over batch 16 alone" in one for one in view.answers[0].sentences if "dino" in one)
    assert ("a", "over batch 16 alone") in view.notes


def test_rows_that_do_not_run_are_named_and_what_needs_them_is_not_given() -> None:
    no_batch = tuple(levels for levels in itertools.product(*FACTORS.values()) if levels[2] == "4")
    found, view = found_in(made_up(without=(*no_batch, ("v", "edge", "16"))))
    estimates, edge = column(found).estimates, Effect("prior", "edge", "uniform")
    assert not [effect for effect in found.effects if "batch" in effect.fixed]
    assert estimates[DINO_IN_V].cut == {} and estimates[edge].cut == {"target": ("eps",)}
    assert dataclasses.replace(edge, within="target", at="v", minus="eps") not in estimates
    words = " ".join(view.foot)
    assert "Without rows at this scale: batch 4." in words and "batch 16." in words
    assert f"Missing: {name_of(('v', 'edge', '16'))} (does not run at this scale)." in words
    assert "Not to be had for want of rows: prior: edge minus uniform, within target v minus eps;" in words
    sentence = next(one for one in view.answers[0].sentences if one.startswith("prior edge"))
    assert "nothing within target v: rows are missing" in sentence and "not to be had: rows are missing" in sentence

    more = (*QUESTIONS, Question(factor="prior", within="batch"), Question(factor="batch", within="target"))
    _, view = found_in(made_up(without=no_batch), questions=more)
    assert [answer.question for answer in view.answers] == list(QUESTIONS), "of one level there is nothing to ask"


def test_without_the_base_nothing_is_compared_with_it() -> None:
    factors = {"target": ("eps", "v"), "prior": ("uniform", "dino")}
    value = {("eps", "dino"): 2.0, ("v", "uniform"): 1.0, ("v", "dino"): 4.0}.get
    rows = made_up(lambda levels: value(levels, 0.0), factors=factors, without=(("eps", "uniform"),))
    found, _ = found_in(rows, factors)
    estimates = column(found).estimates
    assert set(estimates) == {Effect("target", "v", "eps"), DINO, DINO_IN_V}
    assert estimates[DINO].cut == {"target": ("v",)}
    assert estimates[DINO].difference.value == pytest.approx(3, abs=0.03)


def test_the_level_with_the_most_holes_goes_first() -> None:
    crossed = Crossed(factors=FACTORS, rows={})
    everything = set(itertools.product(*FACTORS.values()))
    no_v = {levels for levels in everything if levels[0] != "v"}
    assert whole_set(crossed, everything, {}) == FACTORS
    assert whole_set(crossed, no_v, {}) == {**FACTORS, "target": ("eps",)}
    assert whole_set(crossed, no_v, {"target": ("eps", "v")}) is None
    assert whole_set(crossed, [], {}) is None


def test_shared_weights_share_their_seeds() -> None:
    """Two trainings 1 dB apart, sampled in two ways: the sampler's effect is certain, the training's is not."""
    factors = {"prior": ("uniform", "dino"), "sampler": ("ddim", "ancestral")}

    def rows(weights: Callable[[Levels], str]) -> Rows:
        made = made_up(
            lambda levels: 0.1 if levels[1] == "ancestral" else 0.0, factors=factors, seeds=2, weights=weights
        )
        for measured in made.measured.values():
            measured.values["psnr"][1] += 1.0
        return made

    shared, view = found_in(rows(lambda levels: levels[0]), factors, ())
    apart, other = found_in(rows(name_of), factors, ())
    sampler = Effect("sampler", "ancestral", "ddim")
    widths = []
    for found in (shared, apart):
        one = column(found).estimates[sampler].difference
        assert one.low is not None and one.high is not None
        widths.append(one.high - one.low)
    assert widths[0] < 0.1 and widths[1] > 0.9
    assert (shared.trained, shared.sampled) == (("prior",), ("sampler",))
    assert (apart.trained, apart.sampled) == (("prior", "sampler"), ())
    assert any("The levels of sampler share their weights" in line for line in view.foot)
    assert not any("share their weights" in line or "one seed" in line for line in other.foot)


def test_one_seed_is_said_of_what_was_trained() -> None:
    _, view = found_in(made_up())
    assert any("Between the levels of target, prior, batch lies a training with one seed" in one for one in view.foot)
    _, untrained = found_in(made_up(weights=lambda levels: ""))
    assert not any("one seed" in line for line in untrained.foot)


def test_set_metrics_are_tested_by_their_errors_or_shown_without_an_interval() -> None:
    factors = {"target": ("eps", "v"), "prior": ("uniform", "dino")}
    rows = made_up(lambda levels: truth((*levels, "16")), factors=factors)
    found, _ = found_in(rows, factors)
    one = column(found, "fed").estimates[DINO]
    reach = 1.959964 * (4 * (0.5 / 2) ** 2) ** 0.5  # four rows of weight one half
    assert one.difference.value == pytest.approx(-0.6) and one.difference.high == pytest.approx(-0.6 + reach)
    assert one.p is not None and one.p_sign_flip is None
    found, view = found_in(made_up(lambda levels: truth((*levels, "16")), factors=factors, set_error=None), factors)
    one = column(found, "fed").estimates[DINO_IN_EPS]
    assert one.difference.value == pytest.approx(-1.2) and one.difference.low is one.p is one.p_holm is None
    assert "within target eps (no interval)" in view.answers[0].sentences[-1]


def test_images_that_are_not_finite_in_some_row_leave_all_of_them() -> None:
    rows = made_up()
    rows.measured[name_of(("v", "edge", "4")), "faces"].values["psnr"][0, :5] = np.nan
    found, _ = found_in(rows)
    assert {one.difference.n for one in column(found).estimates.values()} == {IMAGES - 5}
    rows.measured[name_of(("v", "edge", "16")), "faces"].values["psnr"][0, 5:] = np.nan
    found, view = found_in(rows)
    assert column(found).estimates == {}
    assert any(line.startswith("No effects in psnr: no image is finite in every row") for line in view.foot)


def test_both_directions_of_a_question_have_one_difference() -> None:
    questions = (*QUESTIONS, Question(factor="target", within="prior"))
    found, view = found_in(made_up(), questions=questions)
    pairs = [frozenset(effect.fixed) for effect in effects_of(found.crossed) if effect.kind == "interaction"]
    assert pairs.count(frozenset({"prior", "target"})) == 2  # dino and edge, once each
    tails = [answer.sentences[0].rpartition("difference of the differences")[2] for answer in view.answers]
    assert "target v minus eps, \N{MINUS SIGN}1.2" in tails[0] and "prior edge minus uniform" in tails[1]
    assert view.answers[1].sentences[0].count("difference of the differences") == 2


def test_points_of_a_plot_are_means_whose_bars_leave_the_images_out() -> None:
    found, _ = found_in(made_up())
    points = column(found).profiles[QUESTIONS[0]].points
    assert set(points) == set(itertools.product(FACTORS["prior"], FACTORS["target"]))
    hardness = numpy_generator("hardness").normal(0, 3, size=IMAGES).mean()
    for (prior, target), point in points.items():
        assert point.value == pytest.approx(truth((target, prior, "16")) - 0.15 + hardness, abs=0.03)
        assert point.low is not None and point.high is not None and 0 < point.high - point.low < 0.06


def test_intervals_of_an_interaction_hold_the_truth() -> None:
    factors = {"target": ("eps", "v"), "prior": ("uniform", "dino")}
    held = 0
    for k in range(60):
        rng = numpy_generator("coverage of an interaction", k)
        rows = made_up(lambda levels: 0.0, factors=factors, noise=0)
        for measured in rows.measured.values():
            measured.values["psnr"] = measured.values["psnr"] + rng.normal(size=(1, IMAGES))
        one = column(found_in(rows, factors, ())[0]).estimates[Effect("target", "v", "eps", "prior", "dino", "uniform")]
        assert one.difference.low is not None and one.difference.high is not None
        held += one.difference.low <= 0 <= one.difference.high
    assert held >= 51  # 57 expected; fewer than 51 in one of 300 draws


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": {"a": ("eps", "dino")}}, "has not one level of each factor"),
        ({"rows": {"a": ("eps", "dino", "16"), "b": ("eps", "dino", "16")}}, "two rows have the same levels"),
        ({"questions": ({"factor": "prior", "within": "sampler"},)}, "none of target, prior, batch"),
        ({"questions": ({"factor": "prior", "within": "prior"},)}, "within itself"),
    ],
)
def test_a_wrong_crossing_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Crossed.model_validate({"factors": FACTORS, "rows": {}} | change)
