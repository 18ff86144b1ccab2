"""The ablation grid: factors become rows with names and settings, equal ones once, and the lock file follows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from srledger.ablation_lock import LOCK, check_lock, lock_text, scale_of_lock
from srledger.ablation_lock import write_lock as write
from srledger.ablations import absence_of, clear_failures, mark_failed, select
from srledger.config import SCALES, Params
from srledger.errors import SrledgerError
from srledger.io import write_json
from srledger.layout import Layout
from srledger.provenance import GRID, stage_code

ROOT = Path(__file__).parents[2]
FILE = (ROOT / "params.yaml").read_text(encoding="utf-8")
TABLES = """
ablations:
  heatmap:
    base: landmark_unet
    title: on and off
    factors: { heatmap: { levels: { off: { config.lambda_heat: 0, prior: uniform }, soft: { config.floor: 0.5 } } } }
  floor:
    base: landmark_unet
    title: floor
    factors: { floor: { path: config.floor, values: [0.5, 1.0] } }
"""
SEEDS = """  more_seeds:
    base: landmark_unet
    title: three seeds
    training: { seeds: [0, 1, 2] }
    at: { smoke: { training: { steps: 12 } } }
    factors: { floor: { path: config.floor, values: [0.5] } }
"""
CROSSED = """  crossed:
    base: landmark_unet
    title: all combinations
    cross: true
    factors: { floor: { path: config.floor, values: [0.5] }, gamma: { path: config.gamma, values: [1, 3] } }
"""
ASKED = """  asked:
    base: landmark_unet
    title: what the floor does under each exponent
    cross: true
    questions: [{ factor: floor, within: gamma }]
    factors:
      floor: { path: config.floor, values: [0.5], published: { 0.1: landmark_unet/faces_x8_chain, 0.5: edsr } }
      gamma:
        levels: { low: { config.gamma: 0.5 }, both: { config.gamma: 2, config.width: 6 } }
        published: { low: low }
      heat: { base: "on", levels: { off: { config.lambda_heat: 0 } }, published: { on: with } }
"""
QUICK = "    ablations: { rows: all, training: { steps: 150, seeds: [0], threads: 1 }, evaluation: { threads: 1 } }\n"
RRDB = "  rrdb: { base: rrdb, title: width, factors: { width: { path: config.width, values: [8] } } }\n"


def with_tables(tables: str) -> str:
    """params.yaml with other tables, all of them at quick, and without what names one of its own."""
    text = re.sub(r"(?ms)^ablations:\n.*?(?=^metrics:)", lambda _: tables.lstrip() + "\n", FILE)
    text = re.sub(r"(?m)^  (?:yoda_factorial_colour_shift|frontier_steps):\n(?:    .*\n)*", "", text)
    text = re.sub(r"(?ms)^referee:\n.*?(?=^# )", "", text)
    return re.sub(r"(?ms)^    ablations: # two rows at a time.*?(?=^    tasks:)", QUICK, text)


def load(tmp_path: Path, tables: str = TABLES, *edits: tuple[str, str], scale: str = "smoke") -> Params:
    text = with_tables(tables)
    text = re.sub(r"rows: \[landmark_unet__base, [^\]]*\]", "rows: all", text)
    text = re.sub(r"rows: \[yoda_maps, [^\]]*\]", "rows: []", text)  # of scale celeba_cpu
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params.load(tmp_path, scale)


@pytest.mark.parametrize("scale", SCALES)
def test_the_committed_grid_is_whole_at_every_scale(tmp_path: Path, scale: str) -> None:
    (tmp_path / "params.yaml").write_text(FILE, encoding="utf-8")
    params = Params.load(tmp_path, scale)
    if scale == scale_of_lock(ROOT):
        check_lock(params.ablations, ROOT)
    grid = params.ablations.grid
    for rows in params.ablations.tables().values():
        swept = {name for row in rows for change in grid.rows[row].changes for name in change.of("training")}
        budgets = {params.row(row).training.model_dump_json(exclude={"seeds", *swept}) for row in rows}
        assert len(budgets) == 1  # or the comparison with the base would not be fair


def test_rows_are_named_after_what_they_change_and_equal_ones_are_one(tmp_path: Path) -> None:
    grid = load(tmp_path).ablations.grid
    off, soft, plain = ("landmark_unet__heatmap_off", "landmark_unet__heatmap_soft", "landmark_unet__floor_1_0")
    assert grid.tables == {
        "heatmap": ("landmark_unet__base", off, soft),
        "floor": ("landmark_unet__base", soft, plain),  # floor 0.5 stands there already, under its first name
    }
    assert list(grid.rows) == ["landmark_unet__base", off, soft, plain]


def test_a_row_is_its_base_with_its_settings_changed(tmp_path: Path) -> None:
    params = load(tmp_path)
    main, base, off = (
        params.row(name) for name in ("landmark_unet", "landmark_unet__base", "landmark_unet__heatmap_off")
    )
    assert base.config == main.config and base.kind == "ablation" and base.active
    assert base.training == main.training.model_copy(update={"seeds": (0,)})  # scales.smoke.ablations.training
    assert off.config == base.config.model_copy(update={"lambda_heat": 0.0})
    assert (off.prior.name, base.prior.name) == ("uniform", "landmark_gauss")
    assert "landmark_unet__base" not in params.rows and "landmark_unet" not in params.ablations.rows


def test_a_value_below_zero_has_a_name_of_its_own(tmp_path: Path) -> None:
    factor = "{ path: config.guidance, values: [-1.0, 1.0], at_sampling: true }"
    signed = f"ablations:\n  signed: {{ base: vosr, title: signs, factors: {{ w: {factor} }} }}\n"
    rows = load(tmp_path, signed, scale="quick").ablations.rows
    found = {name: row.config.guidance for name, row in rows.items()}
    assert found == {"vosr__base": 0.5, "vosr__w_minus_1_0": -1.0, "vosr__w_1_0": 1.0}


def test_a_table_with_its_own_training_shares_no_row(tmp_path: Path) -> None:
    params = load(tmp_path, TABLES + SEEDS)
    own = ("landmark_unet__base__more_seeds", "landmark_unet__floor_0_5__more_seeds")
    assert params.ablations.grid.tables["more_seeds"] == own
    for name in own:
        training = params.row(name).training
        assert (training.seeds, training.steps) == ((0, 1, 2), 12)  # the table's, then the table's at this scale
    assert params.row("landmark_unet__base").training.seeds == (0,)


def test_crossed_factors_give_every_combination(tmp_path: Path) -> None:
    grid = load(tmp_path, TABLES + CROSSED).ablations.grid
    assert grid.tables["crossed"] == (
        "landmark_unet__base", "landmark_unet__gamma_1", "landmark_unet__gamma_3", "landmark_unet__heatmap_soft",
        "landmark_unet__floor_0_5__gamma_1", "landmark_unet__floor_0_5__gamma_3",
    )  # fmt: skip
    assert grid.rows["landmark_unet__floor_0_5__gamma_3"].settings == {"config.floor": 0.5, "config.gamma": 3}


def test_each_table_is_compared_with_its_own_base(tmp_path: Path) -> None:
    report = load(tmp_path, TABLES + SEEDS, scale="smoke").ablations.report
    assert {name: table.baseline for name, table in report.tables.items()} == {
        "heatmap": "landmark_unet__base",
        "floor": "landmark_unet__base",
        "more_seeds": "landmark_unet__base__more_seeds",
    }
    assert "landmark_unet__base: config.floor 0.1; landmark_unet__heatmap_soft: config.floor 0.5" in (
        report.tables["floor"].note
    )


def test_a_crossed_table_knows_the_levels_of_its_rows_and_the_papers_rows_beside_them(tmp_path: Path) -> None:
    plain = load(tmp_path).ablations.report.tables["floor"]
    assert plain.crossed is None and plain.published == {}
    table = load(tmp_path, TABLES + ASKED).ablations.report.tables["asked"]
    assert table.crossed is not None and table.rows is not None
    assert table.crossed.factors == {"floor": ("0.1", "0.5"), "gamma": ("base", "low", "both"), "heat": ("on", "off")}
    assert [(one.factor, one.within) for one in table.crossed.questions] == [("floor", "gamma")]
    assert tuple(table.crossed.rows) == table.rows and len(table.rows) == 12
    assert table.crossed.rows["landmark_unet__base"] == ("0.1", "base", "on")
    assert table.crossed.rows["landmark_unet__heatmap_soft"] == ("0.5", "base", "on")  # its name in another table
    assert table.crossed.rows["landmark_unet__floor_0_5__gamma_both__heat_off"] == ("0.5", "both", "off")
    assert table.published == {
        "landmark_unet__base": ("landmark_unet/faces_x8_chain", "with"),
        "landmark_unet__heatmap_soft": ("edsr",),
        "landmark_unet__gamma_low": ("low",),
    }  # none for a combination, of which no level speaks alone


def test_a_crossed_table_knows_the_rows_that_do_not_run(tmp_path: Path) -> None:
    few = (
        "rows: all\n      training: { seeds: [0] }",
        "rows: [landmark_unet__base, landmark_unet__floor_0_5]\n      training: {}",
    )
    table = load(tmp_path, "ablations:\n" + ASKED, few).ablations.report.tables["asked"]
    assert table.rows == ("landmark_unet__base", "landmark_unet__floor_0_5")
    assert table.crossed is not None and len(table.crossed.rows) == 12


def test_the_two_reports_of_a_scale_link_each_other(tmp_path: Path) -> None:
    params = load(tmp_path)
    assert params.report.links == {"ablations of smoke": "../smoke_ablations/index.html"}
    assert params.ablations.report.links == {"main results of smoke": "../smoke/index.html"}
    assert Params.load(tmp_path, "celeba_cpu").report.links == {}  # no ablation runs there


def test_a_table_shows_what_runs_at_its_scale(tmp_path: Path) -> None:
    few = (
        "rows: all\n      training: { seeds: [0] }",
        "rows: [landmark_unet__base, landmark_unet__heatmap_off]\n      training: {}",
    )
    params = load(tmp_path, TABLES, few)
    assert params.ablations.active_rows() == ("landmark_unet__base", "landmark_unet__heatmap_off")
    assert params.ablations.tables() == {"heatmap": ("landmark_unet__base", "landmark_unet__heatmap_off")}
    with pytest.raises(SrledgerError, match="no ablation runs at this scale"):
        _ = Params.load(tmp_path, "celeba_cpu").ablations.report


ONE_VALUE = "heatmap: { levels: { off: { config.gamma: 2 } } }"
CROP = "{ path: training.crop_px, values: [12] }"


@pytest.mark.parametrize(
    ("more", "old", "new", "said"),
    [
        ("", "base: landmark_unet", "base: landmark_nut", ["unknown variant", "nearest:  landmark_unet"]),
        ("", "config.floor: 0.5", "config.flor: 0.5", ["unknown key 'flor'", "nearest:  floor", "params.yaml:"]),
        ("", "path: config.floor", "path: config.flor", ["unknown key 'flor'", "ablations.floor.factors.floor"]),
        ("", "path: config.floor", "path: floor", ["an ablation can't change 'floor'", "config.<setting>"]),
        ("", "values: [0.5, 1.0]", "values: [0.5, 2.0]", ["less than or equal to 1", "2.0"]),
        ("", "values: [0.5, 1.0]", "values: [0.5, 0.5]", ["gives no name of its own", "levels:"]),
        ("", "values: [0.5, 1.0]", "values: [0.1, 1.0]", ["is its base at scale smoke"]),
        ("", "values: [0.5, 1.0]", "levels: {}", ["either `path` and `values`, or `levels`"]),
        ("", "prior: uniform", "prior: unifrom", ["unknown prior", "nearest:  uniform"]),
        ("", "{ config.floor: 0.5 }", "{}", ["a level changes nothing"]),
        ("", "off:", "o__f:", ["must do as a part of a file name", "o__f"]),
        (CROSSED, "cross:", "crosss:", ["unknown key 'crosss'", "nearest:  cross"]),
        (CROSSED, "config.gamma", "config.floor", ["two crossed factors change one setting"]),
        (CROSSED, "floor: { path: config.floor, values: [0.5] }", ONE_VALUE, ["two ablations give the name", "rename"]),
        (ASKED, "within: gamma", "within: gama", ["unknown factor", "nearest:  gamma", "params.yaml:"]),
        (ASKED, "within: gamma", "within: floor", ["can't be asked for within itself"]),
        (ASKED, "    cross: true\n", "", ["answers no questions", "cross: true"]),
        (ASKED, "{ on: with }", "{ onn: with }", ["unknown level 'onn'", "nearest:  on", "published.onn"]),
        (SEEDS, "at: { smoke:", "at: { smok:", ["unknown scale", "nearest:  smoke"]),
        (RRDB, "{ path: config.width, values: [8] }", CROP, ["the scale factor does not divide the crop"]),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, more: str, old: str, new: str, said: list[str]) -> None:
    assert old in TABLES + more
    rows = ("rows: [bicubic, landmark_unet, landmark_unet_student]", "rows: all")
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, (TABLES + more).replace(old, new, 1), rows)
    for words in said:
        assert words in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("rows: all\n      training: { seeds: [0] }", "rows: [landmark_unet__bass]\n      training: {}"),
         ["unknown ablation row", "nearest:  landmark_unet__base"]),
        (("rows: all\n      training: { seeds: [0] }", "rows: [landmark_unet__heatmap_off]\n      training: {}"),
         ["runs without its base", "add landmark_unet__base"]),
        (("  bicubic: { method", "  bi__cubic: { method"), ["stands in the names of ablation rows alone"]),
    ],
)  # fmt: skip
def test_a_mistake_beside_the_tables_is_named(tmp_path: Path, edit: tuple[str, str], said: list[str]) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, TABLES, edit)
    for words in said:
        assert words in str(caught.value), str(caught.value)


def test_an_unknown_row_of_the_grid_has_a_nearest_name(tmp_path: Path) -> None:
    params = load(tmp_path)
    for ask in (params.row, params.is_active, params.ablations.row):
        with pytest.raises(SrledgerError, match="nearest:  landmark_unet__floor_1_0"):
            ask("landmark_unet__flor_1_0")


def test_the_lock_does_not_depend_on_the_order_of_tables(tmp_path: Path) -> None:
    first, second = "  heatmap:" + TABLES.partition("  heatmap:")[2].partition("  floor:")[0], SEEDS
    texts = set()
    for tables in (first + second, second + first):
        params = load(tmp_path, f"ablations:\n{tables}")
        texts.add(lock_text(params.ablations))
    assert len(texts) == 1


def test_a_lock_that_is_not_the_grid_is_refused(tmp_path: Path) -> None:
    params = load(tmp_path)
    with pytest.raises(SrledgerError, match="no lock file"):
        check_lock(params.ablations, tmp_path)
    assert write(params.ablations, tmp_path)
    assert not write(params.ablations, tmp_path)
    check_lock(params.ablations, tmp_path)
    assert (tmp_path / LOCK).read_text(encoding="utf-8").startswith("# Made by `srledger ablations --write`")

    moved = load(tmp_path, TABLES.replace("values: [0.5, 1.0]", "values: [0.5, 0.9]"))
    with pytest.raises(SrledgerError) as caught:
        check_lock(moved.ablations, tmp_path)
    assert "landmark_unet__floor_0_9, landmark_unet__floor_1_0" in str(caught.value)
    assert "srledger ablations --write" in str(caught.value)


def test_the_lock_holds_the_rows_of_one_scale_and_names_it(tmp_path: Path) -> None:
    budget = "\n      training: { seeds: [0] }"
    params = load(tmp_path, TABLES, (f"rows: all{budget}", f"rows: [landmark_unet__base]{budget}"))
    write(params.ablations, tmp_path)
    text = (tmp_path / LOCK).read_text(encoding="utf-8")
    assert scale_of_lock(tmp_path) == "smoke" and [line.split(":")[0] for line in text.splitlines()[2:]] == [
        "  landmark_unet__base", "sampled", "maps",
    ]  # fmt: skip
    with pytest.raises(SrledgerError, match=r"of another scale(?s:.*)found: +smoke(?s:.*)expected: +quick"):
        check_lock(load(tmp_path, scale="quick").ablations, tmp_path)


def test_rows_are_chosen_by_name_and_by_table(tmp_path: Path) -> None:
    grid = load(tmp_path).ablations.grid
    assert select(grid, []) == tuple(grid.rows)
    assert select(grid, ["floor"]) == grid.tables["floor"]
    assert select(grid, ["landmark_unet__floor_1_0", "heatmap"]) == tuple(grid.rows)
    with pytest.raises(SrledgerError, match="nearest:  heatmap"):
        select(grid, ["heatmaps"])


def test_a_failure_stands_until_there_is_a_result(tmp_path: Path) -> None:
    layout, row = Layout("smoke", tmp_path), "landmark_unet__base"
    write_json(layout.result(row) / "result.json", {"of": "earlier settings"})
    mark_failed(layout, row, "the loss is\n no longer a number")
    absence = absence_of(layout, row)
    assert absence is not None and absence.status == "failed: the loss is no longer a number"
    assert not layout.result(row).exists()
    clear_failures(layout, [row])
    assert absence_of(layout, row) is not None
    write_json(layout.result(row) / "result.json", {})
    assert absence_of(layout, row) is None
    clear_failures(layout, [row])
    assert not layout.failure(row).exists()


def test_ablations_lie_apart_and_share_the_data() -> None:
    main, grid = Layout("quick"), Layout("quick", ablations=True)
    for layout in (main, grid):
        assert layout.run("unet__base").as_posix() == "runs/quick_ablations/unet__base"
        assert layout.packs("faces_x8").as_posix() == "data/quick/packs/faces_x8"
        assert layout.result("unet__base").as_posix() == "results/quick_ablations/unet__base"
    assert main.run("unet").as_posix() == "runs/quick/unet"
    assert (main.report().as_posix(), grid.report().as_posix()) == ("reports/quick", "reports/quick_ablations")


def test_rows_evaluated_with_weights_of_another_run_the_same_code() -> None:
    item = {"key": "sr3__sampler_ddim", "method": "sr3"}
    assert stage_code(ROOT, "evaluate", item, GRID) == stage_code(ROOT, "evaluate_sampled", item, GRID)


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_both_graphs_watch_the_same_code(stage: str) -> None:
    item = {"key": "landmark_unet__base", "method": "landmark_unet"}
    assert stage_code(ROOT, stage, item) == stage_code(ROOT, stage, item, GRID)
