"""The report: pure, whole, checked cell by cell, safe to open."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import reporting_fixture
from PIL import Image
from pydantic import ValidationError

from srledger.errors import SrledgerError
from srledger.io import read_json, write_json
from srledger.reporting.cells import plain
from srledger.reporting.check import compare_report
from srledger.reporting.config import ReportConfig, TableConfig
from srledger.reporting.explain import explain, read_cells
from srledger.reporting.latex import escape_latex
from srledger.reporting.pictures import error_map, hardest_crop
from srledger.reporting.render import render_report
from srledger.reporting.views import round_to

CONFIG = ReportConfig(bootstrap_resamples=300)
ROWS = list(reporting_fixture.ROWS)


def render(folder: Path, config: ReportConfig = CONFIG, row_order: list[str] = ROWS) -> Path:
    render_report(folder / "rows", folder, config, folder / "published", row_order)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = [
        folder / "index.html",
        folder / "cells.csv",
        *(folder / "tables").iterdir(),
        *(folder / "figures").iterdir(),
    ]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a") / "quick"
    reporting_fixture.build_rows(folder / "rows")
    reporting_fixture.write_published(folder / "published")
    return render(folder)


@pytest.fixture
def copy(report: Path, tmp_path: Path) -> Path:
    shutil.copytree(report, tmp_path / "quick")
    return tmp_path / "quick"


def cell(folder: Path, metric: str, row: str, task: str) -> dict[str, str]:
    (found,) = [
        c for c in read_cells(folder / "cells.csv") if (c["metric"], c["row"], c["task"]) == (metric, row, task)
    ]
    return found


def test_same_rows_give_the_same_bytes_elsewhere(report: Path, tmp_path: Path) -> None:
    other = tmp_path / "some" / "where" / "else"
    reporting_fixture.build_rows(other / "rows")
    reporting_fixture.write_published(other / "published")
    assert contents(render(other)) == contents(report)
    assert compare_report(other, report) == []


def test_order_of_lines_in_the_rows_does_not_matter(copy: Path, report: Path) -> None:
    path = copy / "rows" / "unet__faces_x4.parquet"
    table = parquet.read_table(path)
    parquet.write_table(table.take(pa.array(range(table.num_rows - 1, -1, -1))), path)
    results = read_json(copy / "rows" / "results.json")
    results["results"].reverse()
    write_json(copy / "rows" / "results.json", results)
    assert contents(render(copy)) == contents(report)


def test_cells_csv_is_the_ledger(report: Path) -> None:
    text = (report / "cells.csv").read_text()
    assert text.splitlines()[0] == (
        "table,row,task,metric,value,ci_low,ci_high,n,seeds,unit,published,published_source,"
        "data_sha256,code_sha256,params_sha256,weights_sha256,status"
    )
    assert len(text.splitlines()) == 1 + 2 * 3 * 7  # tables x rows x (4 measured + 1 unavailable + 2 costs)
    found = cell(report, "psnr_rgb", "unet", "faces_x8")
    values = parquet.read_table(report / "rows" / "unet__faces_x8.parquet").column("psnr_rgb").to_numpy().astype(float)
    assert float(found["value"]) == pytest.approx(values.mean(), rel=1e-8)
    assert float(found["ci_low"]) < values.mean() < float(found["ci_high"])
    assert (found["n"], found["seeds"], found["unit"], found["status"]) == ("12", "0 1", "dB", "ok")
    assert found["published"] == "23.04"
    assert "Table 2" in found["published_source"] and "grade B" in found["published_source"]
    assert cell(report, "parameters", "unet", "faces_x4")["value"] == "1234567"
    assert cell(report, "psnr_rgb", "bicubic", "faces_x4")["weights_sha256"] == ""


def test_empty_cells_say_why(report: Path) -> None:
    missing = cell(report, "lpips_alex", "unet", "faces_x4")
    assert (missing["value"], missing["status"]) == ("", f"unavailable: {reporting_fixture.WHY}")
    failed = cell(report, "psnr_rgb", "sr3_yoda", "faces_x8")
    assert (failed["value"], failed["status"]) == ("", "failed: loss became NaN at step 1200 (seed 1)")
    page = (report / "index.html").read_text()
    assert "loss became NaN at step 1200" in page and "make weights, add the name to scales." in page


def test_set_metric_joins_errors_of_images_and_seeds(report: Path) -> None:
    record = next(
        r
        for r in read_json(report / "rows" / "results.json")["results"]
        if (r["row"], r["task"]) == ("unet", "faces_x4")
    )
    a, b = (record["set_metrics"]["fed"][seed]["value"] for seed in ("0", "1"))
    reach = 1.959964 * (1.5**2 + ((a - b) ** 2 / 2) / 2) ** 0.5
    found = cell(report, "fed", "unet", "faces_x4")
    assert float(found["value"]) == pytest.approx((a + b) / 2)
    assert float(found["ci_high"]) - float(found["value"]) == pytest.approx(reach, rel=1e-6)


def test_best_group_is_marked_together(report: Path) -> None:
    lines = (report / "tables" / "faces_x4.md").read_text().splitlines()
    by_row = {line.split("|")[1].strip(): line.split("|")[4] for line in lines if line.startswith("| ")}
    assert "**" in by_row["unet"] and "**" in by_row["sr3_yoda"] and "**" not in by_row["bicubic"]
    page = (report / "index.html").read_text()
    marked = sum((report / "tables" / f"{task}.md").read_text().count("**") // 2 for task in reporting_fixture.TASKS)
    assert len(re.findall(r'<td class="best"', page)) == marked


def test_comparisons_hold_every_p(report: Path) -> None:
    lines = list(csv.DictReader(io.StringIO((report / "tables" / "faces_x4_comparison.csv").read_text())))
    (found,) = [x for x in lines if (x["metric"], x["row"], x["role"]) == ("psnr_rgb", "unet", "baseline")]
    assert found["reference"] == "bicubic" and float(found["difference"]) > 0.4
    assert float(found["p"]) <= float(found["p_holm"]) < 0.05
    assert float(found["p_sign_flip"]) < 0.05
    assert not [x for x in lines if x["row"] == x["reference"]]


def test_published_stands_beside_and_never_in_the_measured_column(report: Path) -> None:
    head, _, *lines = [
        line for line in (report / "tables" / "faces_x8.md").read_text().splitlines() if line.startswith("|")
    ]
    columns = [text.strip() for text in head.split("|")]
    place = columns.index("psnr_rgb, published (grade)")
    unet = next(line for line in lines if line.startswith("| unet")).split("|")
    assert unet[place].strip() == "23.04 (B)" and "23.04" not in unet[place - 1]
    assert "16.88" not in "".join(lines)  # no such row here
    assert "published" not in (report / "tables" / "faces_x4.md").read_text().splitlines()[2]


def test_tampered_value_is_named(copy: Path, report: Path) -> None:
    text = (copy / "cells.csv").read_text()
    honest = cell(copy, "psnr_rgb", "unet", "faces_x8")["value"]
    (copy / "cells.csv").write_text(text.replace(honest, "29.9"))
    (found,) = compare_report(report, copy)
    assert found.what == "cell faces_x8/unet/faces_x8/psnr_rgb: value"
    assert (found.committed, found.remade) == ("29.9", honest)


def test_tampered_rows_are_named(copy: Path, report: Path) -> None:
    path = copy / "rows" / "unet__faces_x4.parquet"
    table = parquet.read_table(path)
    values = table.column("ssim_rgb").to_numpy().copy()
    values[0] += 0.05
    parquet.write_table(table.set_column(table.column_names.index("ssim_rgb"), "ssim_rgb", pa.array(values)), path)
    whats = [difference.what for difference in compare_report(render(copy), report)]
    assert whats[0] == "cell faces_x4/unet/faces_x4/ssim_rgb: value"
    assert not [what for what in whats if what.startswith("cell") and "ssim_rgb" not in what]
    assert any(what.startswith("index.html") for what in whats)


def test_missing_and_stale_files_are_seen_and_stale_ones_removed(copy: Path, report: Path) -> None:
    (copy / "tables" / "old.md").write_text("stale")
    (copy / "figures" / "curves_faces_x4.svg").unlink()
    assert {d.what: d.remade for d in compare_report(report, copy)} == {
        "tables/old.md": "nothing",
        "figures/curves_faces_x4.svg": "a file",
    }
    assert contents(render(copy)) == contents(report)


def test_png_with_equal_pixels_is_equal(copy: Path, report: Path) -> None:
    path = sorted((copy / "figures").glob("*.png"))[0]
    with Image.open(path) as image:
        pixels = np.asarray(image).copy()
    Image.fromarray(pixels).save(path, compress_level=1)
    assert path.read_bytes() != (report / "figures" / path.name).read_bytes()
    assert compare_report(report, copy) == []
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    assert [d.what for d in compare_report(report, copy)] == [f"figures/{path.name}"]


class _Page(HTMLParser):
    """Addresses that a page would fetch, its anchors, and its images without an alternative text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.anchors: list[str] = []
        self.targets: list[str] = []
        self.mute = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.fetched += [found[name] or "" for name in ("src", "srcset", "data", "poster", "action") if name in found]
        if tag == "link" or (
            tag in ("use", "image") and not (found.get("xlink:href") or found.get("href") or "").startswith("#")
        ):
            self.fetched.append(str(found))
        if tag == "a" and (found.get("href") or "").startswith("#"):
            self.anchors.append((found["href"] or "")[1:])
        if "id" in found:
            self.targets.append(found["id"] or "")
        self.mute += tag == "img" and "alt" not in found


def test_page_is_one_file_that_fetches_nothing(report: Path) -> None:
    text = (report / "index.html").read_text()
    page = _Page(text)
    assert page.fetched and all(address.startswith("data:image/png;base64,") for address in page.fetched)
    assert not re.search(r"(?:url\(|@import|fetch\(|XMLHttpRequest|import\()\s*[\"']?(?:https?:)?//", text)
    assert not re.search(r"https?://", text)
    assert "default-src 'none'" in text
    assert page.mute == 0
    assert set(page.anchors) <= set(page.targets)
    own = [target for target in page.targets if target.startswith("cell-")]
    assert len(own) == len(set(own)) == 42
    assert len(page.targets) == len(set(page.targets))
    assert str(report) not in text and len(text) < 3_000_000


def test_names_can_not_break_out_of_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "quick"
    reporting_fixture.build_rows(folder / "rows", pairs=False)
    results = read_json(folder / "rows" / "results.json")
    results["results"][0]["unavailable"] = {"lpips_alex": "</script><script>alert(1)</script>"}
    write_json(folder / "rows" / "results.json", results)
    table = TableConfig(title="</script><img src=x onerror=alert(2)>", task="faces_x4")
    page = (render(folder, ReportConfig(bootstrap_resamples=100, tables={"t": table})) / "index.html").read_text()
    assert "<script>alert" not in page and "<img src=x" not in page
    data = re.search(r'id="report-data">(.*?)</script>', page, re.DOTALL)
    assert data and json.loads(data[1])["tables"]["t"]["title"] == table.title


def test_private_pictures_are_said_to_be_private(tmp_path: Path) -> None:
    folder = tmp_path / "quick"
    reporting_fixture.build_rows(folder / "rows", pairs=False)
    text = (render(folder) / "index.html").read_text()
    assert "pictures of <b>faces_x4</b> are private" in text and "<code>private/quick/index.html</code>" in text
    assert "data:image/png" not in text and not list((folder / "figures").glob("*.png"))


def test_latex_escapes() -> None:
    assert escape_latex("100% of a_b & c#1 {x} $y$ ~ ^ \\") == (
        r"100\% of a\_b \& c\#1 \{x\} \$y\$ \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )


def test_latex_is_plain_ascii_and_balanced(report: Path) -> None:
    paths = sorted((report / "tables").glob("*.tex"))
    assert len(paths) == 4
    for path in paths:
        text = path.read_text()
        assert text.isascii()
        bare = re.sub(r"\\[{}]", "", text)
        assert bare.count("{") == bare.count("}")
        assert not re.search(
            r"(?<!\\)[_#]", text.replace(r"\label{tab:faces_x4", "").replace(r"\label{tab:faces_x8", "")
        )
        columns = len(re.search(r"\\begin\{tabular\}\{(l[r]+)\}", text)[1])  # type: ignore[index]
        body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines() if line.endswith(r"\\")} == {
            columns - 1
        }


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(report: Path, tmp_path: Path) -> None:
    if subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True).returncode:
        pytest.skip("the booktabs package of LaTeX is not installed")
    inputs = "".join(rf"\input{{{path}}}" for path in sorted((report / "tables").glob("*.tex")))
    (tmp_path / "t.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{inputs}\end{{document}}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-1500:]


def test_tables_of_the_config(copy: Path) -> None:
    table = TableConfig(
        title="Chosen", task="faces_x4", rows=("sr3_yoda", "unet"), metrics=("ssim_rgb",), note="Two rows only."
    )
    render(copy, ReportConfig(bootstrap_resamples=100, tables={"main": table}))
    assert sorted(path.name for path in (copy / "tables").glob("*.csv")) == ["main.csv", "main_comparison.csv"]
    assert [c["row"] for c in read_cells(copy / "cells.csv") if c["metric"] == "ssim_rgb"] == ["sr3_yoda", "unet"]
    assert "- Two rows only." in (copy / "tables" / "main.md").read_text()


@pytest.mark.parametrize(
    ("field", "value", "nearest"),
    [("rows", ("unett",), "unet"), ("metrics", ("psnr_rbg",), "psnr_rgb"), ("task", "faces_x9", "faces_x8")],
)
def test_wrong_names_are_met_with_the_nearest(copy: Path, field: str, value: object, nearest: str) -> None:
    settings: dict[str, object] = {"title": "T", "task": "faces_x4"} | {field: value}
    with pytest.raises(SrledgerError) as caught:
        render(copy, ReportConfig(tables={"t": TableConfig.model_validate(settings)}))
    assert caught.value.facts["nearest"] == nearest or field == "task"
    with pytest.raises(ValidationError):
        ReportConfig.model_validate({"bootstrap_resample": 100})


def test_two_protocols_never_share_a_column(copy: Path) -> None:
    results = read_json(copy / "rows" / "results.json")
    results["results"][1]["metric_info"]["psnr_rgb"]["protocol"] = "PSNR over RGB with a border of 4 px"
    write_json(copy / "rows" / "results.json", results)
    with pytest.raises(SrledgerError, match="two protocols"):
        render(copy)


def test_torn_rows_are_refused(copy: Path) -> None:
    path = copy / "rows" / "unet__faces_x4.parquet"
    table = parquet.read_table(path)
    parquet.write_table(table.slice(1), path)
    with pytest.raises(SrledgerError, match="not whole"):
        render(copy)
    kept = [k for k, image in enumerate(table.column("image_id").to_pylist()) if image != "img_003"]
    parquet.write_table(table.take(pa.array(kept)), path)
    with pytest.raises(SrledgerError, match="different images"):
        render(copy)
    path.unlink()
    with pytest.raises(SrledgerError, match="missing"):
        render(copy)


def test_explain_prints_the_chain(report: Path) -> None:
    text = explain(report / "cells.csv", "psnr_rgb/unet/faces_x8")
    found = cell(report, "psnr_rgb", "unet", "faces_x8")
    for expected in (
        found["value"],
        found["data_sha256"],
        found["weights_sha256"],
        "srledger report --scale quick --check",
        "srledger repro --scale quick --only unet",
        "23.04",
    ):
        assert expected in text
    assert "make weights, add the name to scales." in explain(report / "cells.csv", "lpips_alex/unet/faces_x4")
    with pytest.raises(SrledgerError) as caught:
        explain(report / "cells.csv", "psnr_rgb/unett/faces_x8")
    assert caught.value.facts["nearest"] == "psnr_rgb/unet/faces_x8"


def test_plain_numbers() -> None:
    assert [plain(x) for x in (None, 0, 12_345_678_901, 1 / 3, 24.0)] == ["", "0", "12345678901", "0.333333333", "24"]


def test_rounding_of_costs(report: Path) -> None:
    text = (report / "tables" / "faces_x4.md").read_text()
    assert "1.23 M" in text and "3.21 G" in text
    from srledger.reporting.layout import Column

    assert round_to(-0.12345, Column("x", "dB", True, 3, "", "image")) == "\N{MINUS SIGN}0.123"


def test_error_map_and_hardest_crop() -> None:
    hr = np.zeros((24, 24, 3), dtype=np.uint8)
    sr = hr.copy()
    sr[16:20, 4:8] = 64
    shown = error_map(sr, hr)
    assert shown[17, 5].tolist() == [255, 255, 255] and shown[0, 0].tolist() == [0, 0, 0]
    top, left, side = hardest_crop([sr], hr)
    assert side == 8 and top <= 16 and top + side >= 20 and left <= 4 and left + side >= 8
