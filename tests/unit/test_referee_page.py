"""The page "What the referee asked": sentences say what the tests found; entries can't name what there is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import reporting_fixture

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.reporting.comparisons import compare_table
from srledger.reporting.config import RefereeConfig, ReportConfig, TableConfig
from srledger.reporting.layout import lay_out
from srledger.reporting.published import read_published
from srledger.reporting.referee_page import answer_referees
from srledger.reporting.render import render_report
from srledger.reporting.rows import read_rows
from srledger.reporting.views import MINUS, p_text, signed_text
from srledger.yamlmap import YamlFile

FILE = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
ROWS = ("bicubic", "unet", "sr3_yoda")
SMALL = {"rows": ROWS, "tasks": ("faces_x8",), "pairs": False}  # sr3_yoda failed
METRICS = ("psnr_rgb", "enc_lpips", "fed")


def asked(**changes: object) -> TableConfig:
    values: dict[str, object] = {
        "title": "Is <i>unet</i> better?", "task": "faces_x8", "rows": ("bicubic", "unet"), "metrics": METRICS,
        "baseline": "bicubic",
    }  # fmt: skip
    return TableConfig.model_validate(values | changes)


def config_of(**questions: TableConfig) -> ReportConfig:
    groups = {"paper": RefereeConfig(title="A & B", text="Why.", questions=questions)} if questions else {}
    return ReportConfig(bootstrap_resamples=200, referee=groups)


def answers(tmp_path: Path, **questions: TableConfig) -> list[tuple[str, ...]]:
    rows = read_rows(reporting_fixture.build_rows(tmp_path / "rows", **SMALL), list(ROWS))  # type: ignore[arg-type]
    (group,) = answer_referees(rows, [], config_of(**questions), {})
    return [answer.sentences for answer in group.answers]


def test_a_sentence_has_the_numbers_and_the_verdict_of_the_comparison(tmp_path: Path) -> None:
    ((sentence,),) = answers(tmp_path, better=asked())
    rows = read_rows(tmp_path / "rows", list(ROWS))
    plain = ReportConfig(bootstrap_resamples=200, tables={"t": asked()})
    (table,) = lay_out(rows, plain)
    for found in compare_table(rows, table, plain):
        (one,) = found.against_baseline
        assert f"{found.column.metric} {signed_text(one.difference, found.column, found.column.unit)}, " in sentence
        assert p_text(one.p_holm) in sentence
    assert sentence.startswith("unet: psnr_rgb +0.7") and sentence.count(": better") == 3
    ((backwards,),) = answers(tmp_path, worse=asked(rows=("unet", "bicubic"), baseline="unet"))
    assert f"psnr_rgb {MINUS}0.7" in backwards and ": worse" in backwards


def test_without_metrics_it_is_about_costs(tmp_path: Path) -> None:
    ((sentence,),) = answers(tmp_path, cost=asked(metrics=()))
    assert "parameters" in sentence and "macs" in sentence and "psnr" not in sentence
    ((same,),) = answers(tmp_path, cost=asked(metrics=(), rows=("unet", "bicubic"), baseline="unet"))
    assert "against" in same


def test_papers_numbers_stand_beside_where_both_have_one(tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    rows = read_rows(reporting_fixture.build_rows(tmp_path / "rows", **SMALL), list(ROWS))  # type: ignore[arg-type]
    published = read_published(reporting_fixture.write_published(folder))
    config = config_of(two=asked(metrics=("psnr_rgb",), published={"bicubic": ("pulse",)}), one=asked(metrics=("fed",)))
    (group,) = answer_referees(rows, [], config, published)
    assert "(published: 23.04 [B] against 16.88 [B])" in group.answers[0].sentences[0]
    assert "published" not in group.answers[1].sentences[0]


def test_what_no_row_has_is_said_once(tmp_path: Path) -> None:
    rows = read_rows(reporting_fixture.build_rows(tmp_path / "rows", **SMALL), list(ROWS))  # type: ignore[arg-type]
    (group,) = answer_referees(rows, [], config_of(one=asked(metrics=("psnr_rgb", "lpips_alex"))), {})
    (answer,) = group.answers
    assert f"lpips_alex unavailable: {reporting_fixture.WHY}" in answer.about
    assert "lpips" not in answer.sentences[0] and "psnr_rgb" in answer.sentences[0]


def test_a_row_that_failed_says_so(tmp_path: Path) -> None:
    ((sentence,),) = answers(tmp_path, failed=asked(rows=("bicubic", "sr3_yoda"), metrics=("psnr_rgb",)))
    assert "psnr_rgb failed" in sentence


def test_the_page_is_made_from_the_rows_and_names_can_not_break_out(tmp_path: Path) -> None:
    reporting_fixture.build_rows(tmp_path / "rows", **SMALL)  # type: ignore[arg-type]
    render_report(tmp_path / "rows", tmp_path, config_of(better=asked()), tmp_path / "published", list(ROWS))
    page = (tmp_path / "referee.html").read_text(encoding="utf-8")
    assert "A &amp; B" in page and "Is &lt;i&gt;unet" in page and "<i>unet" not in page
    render_report(tmp_path / "rows", tmp_path, config_of(), tmp_path / "published", list(ROWS))
    assert "Nothing was asked" in (tmp_path / "referee.html").read_text(encoding="utf-8")


def load(tmp_path: Path, entry: str, scale: str = "quick") -> Params:
    text = FILE.replace("\nreferee:\n", f"\nreferee:\n  mine: {entry}\n")
    assert text != FILE
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params(YamlFile.read(tmp_path / "params.yaml"), scale)


def test_rows_that_a_scale_does_without_are_passed_over(tmp_path: Path) -> None:
    questions = "{ one: { question: q, baseline: bicubic, rows: [rrdb, landmark_unet], metrics: [psnr_rgb] } }"
    entry = f"{{ title: t, questions: {questions} }}"
    assert load(tmp_path, entry).referee["mine"].questions["one"].rows == ("bicubic", "rrdb", "landmark_unet")
    assert load(tmp_path, entry, "smoke").referee["mine"].questions["one"].rows == ("bicubic", "landmark_unet")
    gone = load(tmp_path, entry.replace("[rrdb, landmark_unet]", "[rrdb]"), "smoke")
    assert gone.referee["mine"].questions == {}
    assert "mine" not in load(tmp_path, entry).ablations.referee


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        ("{ question: q, baseline: bicubik, rows: [rrdb] }", "nearest:  bicubic"),
        ("{ question: q, baseline: bicubic, rows: [rdbr] }", "unknown row 'rdbr'"),
        ("{ question: q, baseline: bicubic, rows: [sr3] }", "belong to one task"),
        ("{ question: q, baseline: bicubic, rows: [rrdb], metrics: [psnr] }", "unknown metric 'psnr'"),
        ("{ question: q, baseline: bicubic, rows: [] }", "rows"),
        ("{ question: q, base: bicubic, rows: [rrdb] }", "baseline"),
    ],
)
def test_a_question_can_not_name_what_is_not(tmp_path: Path, questions: str, said: str) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, f"{{ title: t, questions: {{ one: {questions} }} }}").referee  # noqa: B018
    assert said in str(caught.value) and "params.yaml" in str(caught.value)


def test_probes_of_the_other_report_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="unknown probe 'yoda_factorial_colour_shift'"):
        load(tmp_path, "{ title: t, probes: [yoda_factorial_colour_shift] }").referee  # noqa: B018


def test_a_transfer_answers_under_the_name_that_the_tables_have(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(FILE, encoding="utf-8")
    found = Params(YamlFile.read(tmp_path / "params.yaml"), "quick").referee["faces_unlike"].questions
    assert list(found) == ["cartoon"], "the other's rows have no images here"
    assert found["cartoon"].rows == ("bicubic", "rrdb_blind", "osdface") and found["cartoon"].baseline == "bicubic"
    assert found["cartoon"].task == "cartoon_blind"
    settings = "{ row: vosr, task: faces_real_x4, prior: dino_tokens, config: { sampling_steps: 3 } }"
    question = "{ question: q, baseline: vosr, rows: [mine], metrics: [psnr_rgb] }"
    text = FILE.replace("\ntransfers:\n", f"\ntransfers:\n  mine: {settings}\n")
    text = text.replace("\nreferee:\n", f"\nreferee:\n  one: {{ title: t, questions: {{ q: {question} }} }}\n")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    found = Params(YamlFile.read(tmp_path / "params.yaml"), "quick").referee["one"].questions
    assert found["q"].rows == ("vosr", "mine"), "one of other settings has a name of its own"
