"""Rows of the grid that are not trained: which they are, whose weights they take, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_ablations import FILE, QUICK, TABLES, load

from srledger.ablation_lock import lock_text
from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.provenance import params_sha256

STEPS = """
ablations:
  steps:
    base: sr3_v
    title: steps
    config: { train_steps: 100 }
    at: { quick: { config: { sampling_steps: 8 } } }
    factors:
      bound: { path: config.lower_bound, values: [0.5] }
      bound_sampled: { path: config.lower_bound, values: [0.5], at_sampling: true }
      steps: { path: config.sampling_steps, values: [4], at_sampling: true }
"""
BASE, TRAINED, SAMPLED, FEW = (
    f"sr3_v__{label}__steps" for label in ("base", "bound_0_5", "bound_sampled_0_5", "steps_4")
)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Params:
    folder = tmp_path_factory.mktemp("committed")
    (folder / "params.yaml").write_text(FILE, encoding="utf-8")
    return Params.load(folder, "celeba_gpu")


def test_the_colour_factorial_trains_eight_networks_for_its_32_rows(committed: Params) -> None:
    grid = committed.ablations.grid
    rows = [grid.rows[name] for name in committed.ablations.tables()["yoda_factorial"]]
    trained = [row for row in rows if row.weights_of is None]
    assert (len(rows), len(trained)) == (32, 8)
    only_sampling = {"config.sampler", "config.sampling_end_point"}
    for row in rows:
        weights = grid.rows[row.weights_of or row.name]
        assert weights in trained
        assert weights.settings == {path: row.settings[path] for path in row.settings.keys() - only_sampling}
    assert {len(grid.sampled_from(row.name)) for row in trained} == {3}
    assert len({tuple(sorted(row.settings.items())) for row in rows}) == 32
    assert max(len(f"{row.name}__faces_x4.parquet") for row in rows) <= 100


def test_at_quick_the_factorial_is_a_quarter_and_the_other_tables_wait(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(FILE, encoding="utf-8")
    params = Params.load(tmp_path, "quick").ablations
    tables = params.tables()
    trained = {table: sum(params.grid.rows[row].weights_of is None for row in rows) for table, rows in tables.items()}
    sizes = {table: (len(rows), trained[table]) for table, rows in tables.items() if table.startswith("yoda")}
    assert sizes == {"yoda_factorial": (8, 4)}


def test_a_table_may_have_a_task_and_scales_of_its_own(tmp_path: Path, committed: Params) -> None:
    rows = committed.ablations.tables()["yoda_photos_sr3"]
    assert len(rows) == 4 and {committed.ablations.rows[row].task.name for row in rows} == {"photos_x4"}
    assert '"prior": "photos_dino_max", "prior_entry": "ablation_priors.photos_dino_max"' in lock_text(
        committed.ablations
    )
    (tmp_path / "params.yaml").write_text(FILE, encoding="utf-8")
    assert not Params.load(tmp_path, "quick").ablations.asked_for() & {*rows}
    for part, said in (("task: photos_x5", "nearest:  photos_x4"), ("scales: [qick]", "nearest:  quick")):
        with pytest.raises(SrledgerError, match=said):
            load(tmp_path, STEPS.replace("title: steps", f"title: steps\n    {part}"))


def test_tables_share_their_trained_rows(committed: Params) -> None:
    maps, steps = (committed.ablations.grid.tables[table] for table in ("yoda_maps", "yoda_steps"))
    assert set(steps) & set(maps) == {"sr3_v__base", "sr3_v__map_dino_max"}
    assert committed.ablations.grid.rows["sr3_v__map_dino_max__steps_5"].weights_of == "sr3_v__map_dino_max"


def test_a_setting_swept_in_training_and_at_sampling_gives_two_rows(tmp_path: Path) -> None:
    params = load(tmp_path, STEPS, scale="quick").ablations
    assert params.grid.tables["steps"] == (BASE, TRAINED, SAMPLED, FEW)
    base, trained, sampled, few = (params.rows[name] for name in params.grid.tables["steps"])
    assert sampled.config == trained.config == base.config.model_copy(update={"lower_bound": 0.5})
    assert sampled.trained is base and few.trained is base and trained.trained is trained
    assert sampled.training == base.training
    assert params_sha256(params, params.evaluations[SAMPLED]) != params_sha256(params, params.evaluations[TRAINED])
    assert params.runs() == (BASE, TRAINED)
    note = params.report.tables["steps"].note
    assert "2 of the 4 rows are not trained: they change config.lower_bound, config.sampling_steps" in note


def test_a_table_has_settings_of_its_own_before_its_rows_change_them(tmp_path: Path) -> None:
    params = load(tmp_path, STEPS, scale="quick").ablations
    config = {name: params.rows[name].config.model_dump() for name in (BASE, FEW)}
    assert [(one["train_steps"], one["sampling_steps"]) for one in config.values()] == [(100, 8), (100, 4)]


def test_the_lock_keeps_trained_and_sampled_rows_apart(tmp_path: Path) -> None:
    params = load(tmp_path, STEPS, scale="quick")
    text = lock_text(params.ablations)
    trained, _, rest = text.partition("\nsampled:\n")
    sampled = rest.partition("\nmaps:\n")[0]
    assert [line.split(":")[0].strip() for line in trained.splitlines()[2:]] == [BASE, TRAINED]
    assert [line.split(":")[0].strip() for line in sampled.splitlines()] == [SAMPLED, FEW]
    assert all(f'"weights_of": "{BASE}"' in line for line in sampled.splitlines())
    nothing = load(tmp_path)
    assert lock_text(nothing.ablations).endswith("\nsampled: {}\nmaps: {}\n")


def test_a_scale_may_ask_for_whole_tables_and_factors_may_stay_away(tmp_path: Path) -> None:
    tables = ("rows: all\n      training: { seeds: [0] }", "rows: [floor]\n      training: {}")
    params = load(tmp_path, TABLES, tables).ablations
    assert params.active_rows() == params.grid.tables["floor"]
    elsewhere = TABLES.replace("values: [0.5, 1.0]", "values: [0.5, 1.0], scales: [quick]")
    params = load(tmp_path, elsewhere, tables).ablations
    # Level 0.5 stands in the other table too, and runs for its sake.
    assert params.active_rows() == ("landmark_unet__base", "landmark_unet__heatmap_soft")


@pytest.mark.parametrize(
    ("old", "new", "edit", "said"),
    [
        ("values: [4], at_sampling: true", "values: [4]", None,
         ["would train the network of another row again", "config.sampling_steps", "at_sampling: true to the factor"]),
        ("path: config.sampling_steps, values: [4]", "path: training.steps, values: [4]", None,
         ["'training.steps' is no setting of sampling", "leave at_sampling out"]),
        ("path: config.sampling_steps, values: [4]", "path: prior, values: [dino_max]", None,
         ["'prior' is no setting of sampling"]),
        ("values: [4]", "values: [8]", None, ["is the row whose weights it takes at scale quick"]),
        ("values: [4], at_sampling: true", "values: [4], at_sampling: true, scales: [quik]", None,
         ["unknown scale", "nearest:  quick", "factors.steps.scales"]),
        ("config: { train_steps", "config: { train_step", None, ["unknown key 'train_step'", "ablations.steps.config"]),
        ("", "", (QUICK, QUICK.replace("all", f"[{FEW}]")),
         ["runs without the row whose weights it takes", f"add {BASE} to scales.quick.ablations.rows"]),
        ("", "", (QUICK, QUICK.replace("all", "[step]")), ["unknown ablation row or table", "nearest:  steps"]),
        ("values: [4], at", "values: [4], scales: [paper], at", (QUICK, QUICK.replace("all", f"[steps, {FEW}]")),
         ["does not run at scale quick", "add quick to the scales of its factors"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, edit: tuple[str, str] | None, said: list[str]) -> None:
    assert old in STEPS
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, STEPS.replace(old, new, 1), *([edit] if edit else []), scale="quick")
    for words in said:
        assert words in str(caught.value), str(caught.value)


def test_a_name_is_not_given_to_a_trained_and_a_sampled_row(tmp_path: Path) -> None:
    again = "{ heatmap: { levels: { soft: { config.floor: 0.5 } }, at_sampling: true } }"
    tables = f"{TABLES}  again: {{ base: landmark_unet, title: again, factors: {again} }}\n"
    with pytest.raises(SrledgerError, match="two ablations give the name 'landmark_unet__heatmap_soft'"):
        load(tmp_path, tables)
