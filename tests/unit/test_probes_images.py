"""Probes of restored images, on images whose faults are made: a cast, a brightness, a hole, noise that averages out."""

from __future__ import annotations

import numpy as np
import pytest
from probe_tools import MadeUp, flat, look, noise

from srledger.probes import ProbeUnavailable
from srledger.probes._tables import arrays
from srledger.probes.attention_bins import AttentionBins, bins_of, cubic, only
from srledger.probes.attention_bins import Config as BinsConfig
from srledger.probes.colour_shift import ColourShift
from srledger.probes.colour_shift import Config as ShiftConfig
from srledger.probes.error_maps import Config as ErrorConfig
from srledger.probes.error_maps import ErrorMaps
from srledger.probes.mean_matched import Config as MatchConfig
from srledger.probes.mean_matched import MeanMatched, match_means
from srledger.probes.mean_of_samples import Config as SamplesConfig
from srledger.probes.mean_of_samples import MeanOfSamples
from srledger.reporting.published import Published

HR = [noise(k) for k in range(4)]
CAST = [(image.astype(int) + np.array([10, -20, 4])).astype(np.uint8) for image in HR]


def cells(shown, table: int = 0) -> dict:
    return {line[0]: line for line in shown.tables[table].lines}


def test_a_made_cast_is_found_to_the_grey_level() -> None:
    probe = ColourShift(ShiftConfig(rows=("same", "cast")))
    found = probe.measure(MadeUp(HR, {"same": HR, "cast": CAST}))
    line = cells(probe.show(found, look(["same", "cast"])))["cast"]
    assert [line[k].value for k in (2, 4, 6)] == [10, -20, 4] and [line[k].value for k in (3, 5, 7)] == [0, 0, 0]
    assert line[8].value == -2 and line[9].value == pytest.approx(np.sqrt((144 + 324 + 36) / 3))
    assert all(cell.value == 0 for cell in cells(probe.show(found, look(["same", "cast"])))["same"][2:])


def test_matching_the_means_takes_a_cast_away() -> None:
    assert np.array_equal(match_means(CAST[0], HR[0]), HR[0])
    assert match_means(flat(250), flat(255)).max() == 255 and match_means(flat(3), flat(0)).min() == 0
    assert match_means(flat(90), flat(100, 4)).tolist() == flat(100).tolist()  # LR has another size


def test_matched_rows_stand_beside_what_was_printed() -> None:
    printed = Published("yoda", "table2", "faces", "cast_mean_matched", "psnr_rgb", "29.3", "dB", "Table 2", "A", "")
    probe = MeanMatched(MatchConfig(rows=("cast",), metrics=("psnr_rgb", "lpips_alex")))
    lr = [np.full((4, 4, 3), image.mean(axis=(0, 1)).round(), np.uint8) for image in CAST]
    found = probe.measure(MadeUp(HR, {"cast": CAST}, lr=lr))
    shown = probe.show(found, look(["cast"], {("cast_mean_matched", "faces", "psnr_rgb"): [printed]}))
    as_is, of_hr, of_lr = shown.tables[0].lines
    assert as_is[3].value == pytest.approx(10 * np.log10(255**2 * 3 / (100 + 400 + 16)), abs=1e-4)
    assert of_hr[3].value == 100 and of_lr[3].value == pytest.approx(as_is[3].value, abs=0.5)
    assert of_hr[4] == (printed,) and as_is[4] == ()
    assert any(note.startswith("lpips_alex: unavailable") for note in shown.tables[0].notes)


def test_a_probe_without_any_metric_is_unavailable() -> None:
    probe = MeanMatched(MatchConfig(rows=("cast",), metrics=("lpips_alex",)))
    with pytest.raises(ProbeUnavailable, match="alexnet_imagenet"):
        probe.measure(MadeUp(HR, {"cast": CAST}, lr=HR))


def test_errors_of_pixels() -> None:
    sr = flat(100)
    sr[0, 0] = (100, 130, 160)
    probe = ErrorMaps(ErrorConfig(rows=("a",)))
    found = probe.measure(MadeUp([flat(100)], {"a": [sr]}))
    line = probe.show(found, look(["a"])).tables[0].lines[0]
    assert [line[k].value for k in (2, 3, 5)] == pytest.approx([30 / 256, 0, 30])
    assert probe.show(found, look(["a"])).pictures == ()  # no picture may be shown


def test_bins_part_the_attention_and_the_last_one_holds_1() -> None:
    attention = np.array([[0.0, 0.049, 0.05, 0.95, 1.0]])
    assert bins_of(attention, 0.05).tolist() == [[0, 0, 1, 19, 19]]
    assert bins_of(np.array([0.3, 0.7]), 0.1).tolist() == [3, 7]  # 0.3 / 0.1 is 2.9999999999999996
    mask = attention[0] > 0.5
    image = np.full((1, 5, 3), 7, np.uint8)
    assert only(image, mask[None])[0, :, 0].tolist() == [0, 0, 0, 7, 7]


def test_the_error_of_a_bin_is_that_of_its_own_pixels() -> None:
    attention = np.concatenate([np.full((8, 16), 0.1), np.full((8, 16), 0.9)])
    worse_above = flat(100)
    worse_above[:8] = 90  # 10 grey levels off where attention is low
    probe = AttentionBins(BinsConfig(rows=("a",), prior="map", width=0.2, distances=("gmsd",), least_images=1))
    found = probe.measure(MadeUp([flat(100)] * 3, {"a": [worse_above] * 3}, maps={"map": [attention] * 3}))
    columns = arrays(found.table)
    assert columns["error"].tolist() == [10, 0] * 3 and columns["area"].tolist() == [0.5] * 6
    assert columns["distance"][0] > 0 and columns["distance"][1] == 0 and found.facts["distance"] == "gmsd"
    shown = probe.show(found, look(["a"]))
    assert [table.name for table in shown.tables] == ["distance", "by_area", "error"]
    by_area, plain = (cells(shown, k)["a"][1].value for k in (1, 0))
    assert by_area == pytest.approx(2 * plain)


def test_without_a_network_the_error_still_stands_there_and_the_distance_says_why() -> None:
    probe = AttentionBins(BinsConfig(rows=("a",), prior="map", distances=("lpips_alex",), least_images=1))
    found = probe.measure(MadeUp(HR, {"a": CAST}, maps={"map": [np.full((16, 16), 0.5)] * 4}))
    shown = probe.show(found, look(["a"]))
    assert [table.name for table in shown.tables] == ["error"]
    assert any(note.startswith("lpips_alex: unavailable") for note in shown.notes)


def test_the_fit_is_a_cubic() -> None:
    x = np.linspace(0, 1, 12)
    y = 2 - x + 3 * x**2 - 4 * x**3
    assert cubic(x, y)(0.37) == pytest.approx(2 - 0.37 + 3 * 0.37**2 - 4 * 0.37**3)


def test_noise_averages_out_of_the_mean_of_samples() -> None:
    def samples(sample: int) -> list[np.ndarray]:
        return [(image.astype(int) + (20 if sample % 2 else -20)).astype(np.uint8) for image in HR]

    probe = MeanOfSamples(SamplesConfig(rows=("noisy",), samples=4, metrics=("psnr_rgb",)))
    found = probe.measure(MadeUp(HR, {"noisy": samples}))
    shown = probe.show(found, look(["noisy"]))
    assert shown.tables[0].head[3:] == ("psnr_rgb", "psnr_rgb_of_mean_of_4_samples")
    spread, one, mean = (cell.value for cell in cells(shown)["noisy"][2:])
    assert spread == 20 and one == pytest.approx(10 * np.log10(255**2 / 400), abs=1e-4) and mean == 100
