"""The papers' numbers: whole, unique, graded, and a few of them against the papers' own tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from srledger.plugins import plugin_names

PUBLISHED = Path(__file__).parents[2] / "published"
COLUMNS = ["paper", "artefact", "task", "row", "metric", "value", "unit", "source", "grade", "note"]
KEY = ["paper", "artefact", "task", "row", "metric"]
NAMES = ("landmark_unet", "yoda", "osdface", "vosr")


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(PUBLISHED / f"{name}.csv", keep_default_na=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_tidy(name: str) -> None:
    table = read(name)
    assert list(table.columns) == COLUMNS
    assert len(table) > 40
    assert not table.duplicated(KEY).any()
    assert set(table.grade) <= {"A", "B", "C"}
    assert np.isfinite(table.value.to_numpy(dtype=float)).all()
    assert (table[[*KEY, "source"]] != "").all(axis=None)
    for column in KEY:
        assert table[column].str.fullmatch(r"[a-z0-9_.]+").all(), column


@pytest.mark.parametrize("name", NAMES)
def test_units_and_ranges_fit_the_metrics(name: str) -> None:
    table = read(name)
    is_psnr = table.metric.str.contains("psnr")
    assert (table.unit[is_psnr] == "dB").all()
    assert table.value[is_psnr].between(10, 60).all()
    ratios = table.metric.str.fullmatch(r"(ms_)?ssim.*|lpips.*|dists|clipiqa|maniqa.*")
    assert table.value[ratios].between(0, 1).all()
    assert (table.unit[ratios] == "").all()


def test_every_published_file_is_tested() -> None:
    assert sorted(path.stem for path in PUBLISHED.glob("*.csv")) == sorted(NAMES)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("landmark_unet", ("landmark_unet", "table1", "faces_x8_chain", "landmark_unet", "psnr_yolo_repo"), 24.84),
        (
            "landmark_unet",
            ("landmark_unet", "table1", "faces_x8_chain", "landmark_unet_no_heatmap", "psnr_yolo_repo"),
            24.31,
        ),
        ("landmark_unet", ("landmark_unet", "table1", "faces_x8_chain", "landmark_unet", "ms_ssim_yolo_repo"), 0.9142),
        ("landmark_unet", ("landmark_unet", "table1", "faces_x8_chain", "kim_2019", "psnr_rgb"), 22.66),
        ("yoda", ("yoda", "fig2", "faces_x8", "sr3", "psnr_rgb"), 22.35),
        ("yoda", ("yoda", "fig2", "faces_x8", "sr3_yoda", "psnr_rgb"), 23.84),
        ("yoda", ("yoda", "table1", "faces_blind", "diffbir_yoda", "fid_inception"), 111.93),
        ("yoda", ("yoda", "table3", "photos_x4", "srdiff_yoda", "psnr_rgb"), 27.62),
        ("osdface", ("osdface", "table1", "faces_blind", "osdface", "dists"), 0.1773),
        ("vosr", ("vosr", "quality", "photos_real_x4", "vosr_onestep", "lpips_alex"), 0.2856),
    ],
)
def test_known_numbers_stand_under_the_pipelines_names(name: str, key: tuple[str, ...], value: float) -> None:
    assert read(name).set_index(KEY).value.loc[key] == value


def test_numbers_of_the_authors_notebooks_stand_under_their_own_metrics_and_others_do_not() -> None:
    table = read("landmark_unet")
    of_notebooks = table.note.str.contains("metrics of the authors' notebooks")
    assert (table.metric.str.endswith("_yolo_repo") == of_notebooks).all() and of_notebooks.sum() == 36
    assert set(table.metric[of_notebooks]) <= set(plugin_names("metrics"))


def test_what_is_not_known_is_said() -> None:
    yoda = read("yoda")
    scores = yoda[(yoda.paper == "yoda") & yoda.metric.isin(["psnr_rgb", "ssim_rgb"])]
    assert scores.note.str.contains("protocol not stated").all()
    inferred = yoda.note.str.contains("inferred")
    assert inferred.any()
    assert (yoda.grade[inferred] == "C").all()
    assert (read("vosr").query("source.str.contains('second-hand')").grade == "B").all()
