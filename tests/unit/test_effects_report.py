"""Effects and papers' numbers in a whole report: section, files and figure are there, and a check finds them true."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
import reporting_fixture
from pytest import MonkeyPatch
from test_ablations import with_tables

from srledger.datasets import settings_sha256
from srledger.errors import SrledgerError
from srledger.io import read_json, write_json
from srledger.provenance import code_sha256, params_sha256
from srledger.reporting.check import compare_report
from srledger.reporting.config import Crossed, Question, ReportConfig, TableConfig
from srledger.reporting.explain import read_cells
from srledger.reporting.render import render_report
from srledger.reporting.stage import render
from srledger.reporting.verify import check_report
from srledger.reports import open_report

ROOT = Path(__file__).parents[2]
ROWS = {
    "sr3__base": ("eps", "uniform"),
    "sr3__prior_dino": ("eps", "dino"),
    "sr3__target_v": ("v", "uniform"),
    "sr3__target_v__prior_dino": ("v", "dino"),
}
CROSSED = Crossed(
    factors={"target": ("eps", "v"), "prior": ("uniform", "dino")}, rows=ROWS,
    questions=(Question(factor="prior", within="target"),),
)  # fmt: skip
SENTENCE = (
    r"prior dino against uniform, psnr_rgb \(higher is better\): \+0\.\d{3} dB \[.*\] within target eps \(better\)"
)


def config_of(**table: object) -> ReportConfig:
    settings = {"title": "A table", "task": "faces_x4", "baseline": "sr3__base", "crossed": CROSSED}
    settings |= {"metrics": ("psnr_rgb", "lpips_alex")} | table
    return ReportConfig(bootstrap_resamples=200, tables={"t": TableConfig.model_validate(settings)})


def write(folder: Path, config: ReportConfig) -> Path:
    render_report(folder / "rows", folder, config, folder / "published", list(ROWS))
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with MonkeyPatch.context() as patch:
        for row, gain in zip(ROWS, (0.0, 0.6, 0.5, 0.5), strict=True):
            patch.setitem(reporting_fixture.GAIN, row, gain)
        folder = tmp_path_factory.mktemp("effects") / "rows"
        reporting_fixture.build_rows(folder, rows=tuple(ROWS), tasks=("faces_x4",), failed=None, pairs=False)
    (folder / "curves.parquet").unlink()
    return folder


@pytest.fixture
def folder(rows: Path, tmp_path: Path) -> Path:
    shutil.copytree(rows, tmp_path / "a" / "rows")
    return tmp_path / "a"


def test_section_files_and_figure_are_there_and_the_same_elsewhere(folder: Path, tmp_path: Path) -> None:
    page = (write(folder, config_of()) / "index.html").read_text("utf-8")
    assert re.search(SENTENCE, page) and "Effects of the factors" in page and 'aria-label="Interaction plot' in page
    markdown = (folder / "tables/t_effects.md").read_text("utf-8")
    assert (
        re.search(f"- {SENTENCE}", markdown) and "| prior: dino minus uniform, within target v minus eps |" in markdown
    )
    with (folder / "tables/t_effects.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["kind"] for line in lines if line["metric"] == "psnr_rgb"] == ["main"] * 2 + ["interaction"] + [
        "simple"
    ] * 2
    assert lines[2]["minus"] == "eps" and float(lines[2]["ci_low"]) < float(lines[2]["difference"]) < 0
    assert "eps" in (folder / "figures/interaction_t_prior_target.svg").read_text("utf-8")
    text = (folder / "tables/t_effects.tex").read_text("utf-8")
    bare = re.sub(r"\\[{}]", "", text)
    assert text.isascii() and bare.count("{") == bare.count("}")

    shutil.copytree(folder / "rows", tmp_path / "b" / "rows")
    assert compare_report(write(tmp_path / "b", config_of()), folder) == []
    table = tmp_path / "b" / "tables/t_effects.csv"
    table.write_text(table.read_text("utf-8").replace(lines[2]["difference"], "0.5"), encoding="utf-8")
    assert [one.what for one in compare_report(folder, tmp_path / "b")] == ["tables/t_effects.csv, line 4"]


def test_a_table_that_is_not_crossed_has_none(folder: Path) -> None:
    page = (write(folder, config_of(crossed=None)) / "index.html").read_text("utf-8")
    assert "Effects" not in page and not list((folder / "tables").glob("*effects*"))
    assert not list((folder / "figures").glob("interaction*"))


def test_a_crossing_of_other_rows_is_refused(folder: Path) -> None:
    crossed = Crossed(factors=CROSSED.factors, rows={f"{row}_of_old": levels for row, levels in ROWS.items()})
    with pytest.raises(SrledgerError, match="none of its combinations"):
        write(folder, config_of(crossed=crossed))


def test_levels_can_not_break_out_of_the_page(folder: Path) -> None:
    bad = "</p><script>alert(1)</script>"
    factors = {"target": ("eps", bad), "prior": ("uniform", "dino")}
    levels = {row: (bad if target == "v" else target, prior) for row, (target, prior) in ROWS.items()}
    crossed = Crossed(factors=factors, rows=levels, questions=CROSSED.questions)
    page = (write(folder, config_of(crossed=crossed)) / "index.html").read_text("utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


def test_a_failed_row_is_named_with_its_effects(folder: Path) -> None:
    results = read_json(folder / "rows/results.json")
    results["results"][3] |= {"failed": "loss became NaN", "image_metrics": [], "set_metrics": {}, "metric_info": {}}
    write_json(folder / "rows/results.json", results)
    page = (write(folder, config_of()) / "index.html").read_text("utf-8")
    assert "Missing: sr3__target_v__prior_dino (failed: loss became NaN)." in page
    assert "nothing within target v: rows are missing" in page and "over target eps alone" in page


PUBLISHED = """paper,artefact,task,row,metric,value,unit,source,grade,note
yoda,fig2,faces_x8,sr3,psnr_rgb,22.35,dB,"YODA, Figure 2",A,"16->128, FFHQ; RGB assumed; reproduced by others"
yoda,table1,faces_x8,sr3,psnr_rgb,17.44,dB,"YODA, Table 1",A,"64->512 assumed"
yoda,fig2,faces_x8,sr3_dino,psnr_rgb,23.46,dB,"YODA, Figure 2",A,"16->128, FFHQ; RGB assumed"
yoda,fig2,faces_x8,sr3_dino,lpips_alex,0.103,,"YODA, Figure 2",A,"16->128, FFHQ; backbone not stated"
yoda,table1,faces_x4,sr3_own,psnr_rgb,26.33,dB,"YODA, Table 1",B,"sizes assumed"
"""


def test_papers_rows_of_other_names_stand_beside_and_say_what_they_are(folder: Path) -> None:
    (folder / "published").mkdir()
    (folder / "published/yoda.csv").write_text(PUBLISHED, encoding="utf-8")
    beside = {"sr3__base": ("sr3/faces_x8/fig2",), "sr3__prior_dino": ("sr3_dino/faces_x8", "sr3_own")}
    write(folder, config_of(published=beside))
    cells = {(cell["row"], cell["metric"]): cell for cell in read_cells(folder / "cells.csv")}
    assert cells["sr3__base", "psnr_rgb"]["published"] == "22.35"
    assert "there sr3 on faces_x8; 16->128" in cells["sr3__base", "psnr_rgb"]["published_source"]
    assert cells["sr3__prior_dino", "lpips_alex"]["published"] == "0.103"  # the measured one is not to be had
    assert cells["sr3__target_v", "psnr_rgb"]["published"] == ""
    text = (folder / "tables/t.md").read_text("utf-8")
    line = next(line for line in text.splitlines() if line.startswith("| sr3__prior_dino |"))
    assert "| 23.46 (A); 26.33 (B) |" in line
    note = (
        "Measured here: faces_x4: gallery, bicubic, x4 to 64 px. The published numbers beside it are of another task: "
        "YODA, Figure 2, faces_x8. psnr_rgb: 16->128, FFHQ; RGB assumed. lpips_alex: there sr3_dino on faces_x8; "
        "16->128, FFHQ; backbone not stated."
    )
    assert f"- {note}" in text and note.replace(">", "&gt;") in (folder / "index.html").read_text("utf-8")
    assert "Table 1" not in text  # of another table of the paper; of the table's own task, where nothing is to be said
    with pytest.raises(SrledgerError, match="unknown published row 'sr3_dinno/faces_x8'") as caught:
        write(folder, config_of(published={"sr3__base": ("sr3_dinno/faces_x8",)}))
    assert caught.value.facts["nearest"] == "sr3_dino/faces_x8"
    with pytest.raises(SrledgerError, match="unknown published row 'sr3/faces_x8/fig3'") as caught:
        write(folder, config_of(published={"sr3__base": ("sr3/faces_x8/fig3",)}))
    assert caught.value.facts["nearest"] == "sr3/faces_x8/fig2"


TABLE = """ablations:
  crossed:
    base: landmark_unet
    title: "Heatmap and exponent"
    cross: true
    questions: [{ factor: heatmap, within: gamma }]
    factors:
      heatmap: { base: "on", levels: { off: { config.lambda_heat: 0.0 } } }
      gamma: { path: config.gamma, values: [3.0] }
"""


def test_a_committed_report_with_effects_is_checked(tmp_path: Path) -> None:
    """The committed rows of the grid under another table, of which one row does not run."""
    for name in ("src", "stages", "published", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "ablations", tmp_path / "ablations")
    text = with_tables(TABLE)
    kept = ("landmark_unet__base", "landmark_unet__heatmap_off", "landmark_unet__gamma_3_0")
    text = text.replace(
        "ablations: { rows: all, training: { steps: 150",
        f"ablations: {{ rows: [{', '.join(kept)}], training: {{ steps: 150",
    )
    text = text.replace(
        "rows: [landmark_unet__base, landmark_unet__heatmap_off, landmark_unet__gamma_0_5]\n", "rows: []\n"
    )
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    params, layout = open_report("quick", ablations=True, root=tmp_path)
    source, rows = ROOT / "reports/quick_ablations/rows", layout.report() / "rows"
    rows.mkdir(parents=True)
    for row in kept:
        shutil.copyfile(source / f"{row}__faces_x8.parquet", rows / f"{row}__faces_x8.parquet")
    results = read_json(source / "results.json")
    results["results"] = [record for record in results["results"] if record["row"] in kept]
    for record in results["results"]:  # of this tree, whatever the committed rows are of
        evaluation = params.evaluations[record["row"]]
        record["code_sha256"] = code_sha256(tmp_path, params, evaluation)
        record["params_sha256"] = params_sha256(params, evaluation)
    for name, about in results["datasets"].items():
        about["settings_sha256"] = settings_sha256(params.datasets[name])
    write_json(rows / "results.json", results)
    write_json(rows / "gates.json", [])
    render(params, layout.report(), rows, tmp_path)
    assert "3 rows re-rendered, equal to what is committed" in check_report(params, layout)
    table = layout.report() / "tables/crossed_effects.md"
    text = table.read_text("utf-8")
    assert "gamma 1.3, 3.0. An effect" in text and "| heatmap: off minus on |" in text
    assert "Missing: landmark_unet__heatmap_off__gamma_3_0 (does not run at this scale)." in text
    assert "nothing within gamma 3.0: rows are missing" in text and "with one seed" in text
    table.write_text(text.replace("minus on", "minus off"), encoding="utf-8")
    with pytest.raises(SrledgerError, match=r"crossed_effects\.md"):
        check_report(params, layout)
