"""Metric preference: votes, majorities, Wilson's interval, and a sheet that gives nothing away."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from probe_tools import MadeUp, flat, look, noise
from pydantic import ValidationError

from srledger.probes import ProbeUnavailable
from srledger.probes._preference import majority, tally, votes_of, wilson
from srledger.probes.metric_preference import Config, MetricPreference
from srledger.reporting.pictures import Picture
from srledger.reporting.published import Published

INFOS = {
    "gmsd": {"higher_is_better": False},
    "ssim_rgb": {"higher_is_better": True},
    "psnr_rgb": {"higher_is_better": True},
}
METRICS = tuple(INFOS)


def test_wilson_is_that_of_the_textbook() -> None:
    found = wilson(8, 10)  # 0.490, 0.943: Newcombe (1998), by hand
    assert (found.value, round(found.low, 3), round(found.high, 3)) == (0.8, 0.490, 0.943)
    assert wilson(0, 5).low == 0 and wilson(5, 5).high == 1
    published = wilson(round(0.557 * 2250), 2250)
    assert published.high - published.value == pytest.approx(0.0205, abs=5e-4)
    with pytest.raises(ValueError, match="no votes"):
        wilson(0, 0)


def test_votes_follow_the_direction_and_what_is_not_finite_has_none() -> None:
    first, second = np.array([1.0, 2.0, 3.0, np.nan]), np.array([2.0, 2.0, 1.0, 0.0])
    assert votes_of(first, second, True).tolist() == [-1, 0, 1, 0]
    assert votes_of(first, second, False).tolist() == [1, 0, -1, 0]
    assert majority(np.array([[1, -1, 1], [1, 1, 0], [-1, 0, -1]])).tolist() == [1, 0, 0]


def values(**columns: list[float]) -> pa.Table:
    count = len(next(iter(columns.values())))
    table = {"image_id": [f"img_{k}" for k in range(count)], "seed": [0] * count, **columns}
    return pa.table(table)


def made_up() -> MadeUp:
    ours = values(gmsd=[0.1, 0.1, 0.3, 0.3], ssim_rgb=[0.9, 0.9, 0.9, 0.1], psnr_rgb=[30.0, 10.0, 10.0, 10.0])
    theirs = values(gmsd=[0.2] * 4, ssim_rgb=[0.5] * 4, psnr_rgb=[20.0] * 4)
    images = [flat(0)] * 4
    return MadeUp(images, {"a": images, "b": images}, values={"a": ours, "b": theirs}, infos=INFOS)


def test_the_majority_of_the_metrics_decides_each_image() -> None:
    printed = Published("yoda", "user_study", "faces", "a", "preference", "55.7", "%", "user study", "A", "45 voters")
    probe = MetricPreference(Config(rows=("a", "b"), metrics=(*METRICS, "lpips_alex")))
    shown = probe.show(probe.measure(made_up()), look(["a", "b"], {("a", "faces", "preference"): [printed]}))
    lines = {line[1]: line for line in shown.tables[0].lines}
    assert lines["majority"][2:6] == (4, 2, 2, 0) and lines["majority"][6].value == 50
    assert lines["psnr_rgb"][3:5] == (1, 3) and lines["majority"][7] == (printed,)
    assert any("lpips_alex" in note for note in shown.tables[0].notes)
    assert "user study" in shown.tables[0].title and "no user study" in shown.tables[0].title
    assert shown.files == ()


def test_a_pair_with_one_side_missing_is_unavailable() -> None:
    probe = MetricPreference(Config(rows=("a", "c"), metrics=METRICS))
    with pytest.raises(ProbeUnavailable, match="both sides"):
        probe.measure(made_up())
    with pytest.raises(ValidationError, match="rows come in pairs"):
        Config(rows=("a",))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    found = []
    for k in range(12):
        paths = {name: tmp_path / f"{k}_{name}.png" for name in ("lr", "hr", "sr3", "sr3_yoda")}
        for seed, path in enumerate(paths.values()):
            Image.fromarray(noise(10 * k + seed)).save(path)
        rows = {row: paths[row] for row in ("sr3", "sr3_yoda")}
        found.append(Picture("faces", f"face_{k:02}", paths["lr"], paths["hr"], rows))
    return found


def test_the_sheet_is_blind_and_its_key_opens_it(pictures: list[Picture]) -> None:
    from srledger.probes._preference import draw_sheet

    sheet, key = draw_sheet("probe", "sr3_yoda", "sr3", pictures)
    page = sheet.decode()
    assert (sheet, key) == draw_sheet("probe", "sr3_yoda", "sr3", pictures)
    assert not re.search(r"sr3|yoda|face_\d", re.sub(r"base64,[^\"]+", "", page))
    assert page.count("<fieldset>") == 12 and "http:" not in page and "https:" not in page
    lines = list(csv.DictReader(io.StringIO(key.decode())))
    assert sorted(line["image_id"] for line in lines) == [picture.image_id for picture in pictures]
    assert {line["left"] for line in lines} == {"sr3", "sr3_yoda"}  # not always the same side
    assert [line["image_id"] for line in lines] != [picture.image_id for picture in pictures]

    always_left = "voter,picture,choice\n" + "".join(f'"x",{line["picture"]},left\n' for line in lines)
    shares = tally(always_left + always_left, key.decode())
    left = sum(line["left"] == "sr3" for line in lines)
    assert shares["sr3"].value == left / 12 and shares["sr3"].n == 24
    with pytest.raises(ValueError, match="no such picture"):
        tally("voter,picture,choice\nx,99,left\n", key.decode())
