"""The probes page: made from rows alone, closed to what names may hold, and it says what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import reporting_fixture
from PIL import Image
from probe_tools import MadeUp, noise

from srledger.io import sha256_file, write_json, write_table
from srledger.probes import INDEX, Quantity, ShownTable
from srledger.probes.colour_shift import ColourShift, Config
from srledger.reporting.config import ReportConfig
from srledger.reporting.probe_tables import cell_text, probe_table_files
from srledger.reporting.published import Published
from srledger.reporting.render import render_report

CONFIG = ReportConfig(bootstrap_resamples=200)
ROWS = ("bicubic", "unet")
SMALL = {"rows": ROWS, "tasks": ("faces_x8",), "pairs": False}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of a report with one probe that found something and one that could not."""
    folder = reporting_fixture.build_rows(tmp_path_factory.mktemp("probes") / "rows", **SMALL)
    config = Config(rows=ROWS)
    hr = [noise(k) for k in range(4)]
    found = ColourShift(config).measure(MadeUp(hr, {row: [noise(9 + k) for k in range(4)] for row in ROWS}))
    write_table(folder / "probes" / "shift.parquet", found.table)
    common = {"plugin": "colour_shift", "config": config.model_dump(mode="json"), "task": "faces_x8", "facts": {}}
    common |= {"code_sha256": "c" * 64, "inputs": {}, "evaluations": {}}
    whole = {"name": "shift", "title": "A <b>shift</b>", "rows": list(ROWS), "seeds": {row: [0] for row in ROWS}}
    whole |= {"status": "ok", "missing": {"sr3": "failed: <i>NaN</i>"}}
    whole |= {"table_sha256": sha256_file(folder / "probes" / "shift.parquet")}
    empty = {"name": "empty", "title": "Nothing", "rows": [], "seeds": {}, "missing": {}, "table_sha256": ""}
    write_json(folder / "probes" / INDEX, [common | whole, common | empty | {"status": "unavailable: no rows"}])
    return folder


def render(rows: Path, folder: Path) -> dict[str, bytes]:
    render_report(rows, folder, CONFIG, folder / "published", list(ROWS))
    paths = [folder / "probes.html", *(folder / "tables").glob("probe_*"), *(folder / "figures").glob("probe_*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_rows_alone_make_the_page_the_same_bytes_elsewhere(rows: Path, tmp_path: Path) -> None:
    first = render(rows, tmp_path / "a")
    shutil.copytree(rows, tmp_path / "b" / "rows")
    assert render(tmp_path / "b" / "rows", tmp_path / "b") == first
    assert set(first) == {
        "probes.html", "figures/probe_shift_channels.svg",
        *(f"tables/probe_shift_shift.{ending}" for ending in ("md", "tex", "csv")),
    }  # fmt: skip


def test_what_is_missing_says_why_and_names_can_not_break_out(rows: Path, tmp_path: Path) -> None:
    page = render(rows, tmp_path)["probes.html"].decode()
    assert "unavailable: no rows" in page and "<b>shift</b>" not in page and "<i>NaN</i>" not in page
    assert "failed: &lt;i&gt;NaN" in page and "default-src &#39;none&#39;" not in page and "default-src 'none'" in page


def test_old_rows_say_that_no_probe_was_asked(tmp_path: Path) -> None:
    reporting_fixture.build_rows(tmp_path / "rows", **SMALL)
    assert b"No probe was asked" in render(tmp_path / "rows", tmp_path)["probes.html"]


def test_files_of_a_probe_that_is_gone_are_removed(rows: Path, tmp_path: Path) -> None:
    shutil.copytree(rows, tmp_path / "rows")
    assert len(render(tmp_path / "rows", tmp_path)) == 5
    shutil.rmtree(tmp_path / "rows" / "probes")
    assert set(render(tmp_path / "rows", tmp_path)) == {"probes.html"}


def test_one_table_in_every_format() -> None:
    printed = (Published("yoda", "table2", "faces", "a", "psnr_rgb", "29.3", "dB", "Table 2", "A", ""),)
    lines = (("a_1", Quantity(1.25, 1, 1.0, 1.5), printed), ("b|*", Quantity(-0.001, 2), None))
    files = probe_table_files("p", ShownTable("t", "100 %", ("row", "x", "published"), lines, ("a note",)))
    assert files["probe_p_t.csv"] == 'row,x,"x, low","x, high",published\na_1,1.25,1,1.5,29.3 (A)\nb|*,-0.001,,,\n'
    assert "| a_1 | 1.2 [1.0, 1.5] | 29.3 (A) |" in files["probe_p_t.md"]
    assert "| b\\|\\* | 0.00 |  |" in files["probe_p_t.md"] and files["probe_p_t.md"].endswith("- a note\n")
    assert r"a\_1 & 1.2 [1.0, 1.5] & 29.3 (A) \\" in files["probe_p_t.tex"] and r"100 \%" in files["probe_p_t.tex"]
    assert cell_text(Quantity(-2.5, 1)) == "\N{MINUS SIGN}2.5" and cell_text(None) == ""


def test_error_maps_are_drawn_from_pictures_that_may_be_shown(tmp_path: Path) -> None:
    import io

    from probe_tools import look

    from srledger.probes.error_maps import Config as ErrorConfig
    from srledger.probes.error_maps import ErrorMaps
    from srledger.reporting.pictures import find_pictures

    folder = reporting_fixture.build_rows(tmp_path / "rows") / "pictures"
    probe = ErrorMaps(ErrorConfig(rows=ROWS))
    hr = [noise(0)]
    found = probe.measure(MadeUp(hr, dict.fromkeys(ROWS, hr)))
    seen = look(ROWS, pictures=lambda task: find_pictures(folder, "faces_x8", ROWS, 2))
    (picture,) = probe.show(found, seen).pictures
    with Image.open(io.BytesIO(picture.png)) as image:
        assert image.height > 2 * 128 and image.width > 3 * 128
