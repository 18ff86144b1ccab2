"""Images of which nobody has better ones: what is measured on them, what says why not, and what refuses them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from encoder_tools import untrained_encoder
from PIL import Image

from srledger.config import Params
from srledger.datasets import build_dataset
from srledger.degradations import none
from srledger.degrade import degrade_task
from srledger.errors import SrledgerError
from srledger.evaluation.measure import NO_REFERENCE, Panel
from srledger.evaluation.runner import evaluate
from srledger.exploration import explore_dataset
from srledger.gates.pairs import gates_of as pairs_gates
from srledger.gates.rows import gates_of as rows_gates
from srledger.io import read_json
from srledger.layout import Layout
from srledger.metrics import MetricName
from srledger.packs import Pack, PackWriter
from srledger.plugins import plugin_class, plugin_names
from srledger.provenance import _resolved_task
from srledger.reporting.collect import collect
from srledger.reporting.config import ReportConfig
from srledger.reporting.render import render_report
from srledger.seeds import numpy_generator
from srledger.tracking.mirror import _sample_grid
from srledger.training.stage import train
from srledger.yamlmap import YamlFile

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
TASK, SIDE_PX, IMAGES = "faces_real_lq", 32, 4
ON_BICUBIC = (  # every scale lists the row
    ("bicubic: { method: bicubic, task: faces_x8,", f"bicubic: {{ method: bicubic, task: {TASK},"),
    ("scales: &unlike [quick,", "scales: &unlike [smoke, quick,"),
)
PAIRED = [name for name in plugin_names("metrics") if plugin_class("metrics", name).paired]
UNPAIRED = [name for name in plugin_names("metrics") if name not in PAIRED]


def params_of(folder: Path, *edits: tuple[str, str], scale: str = "quick") -> Params:
    text = TEXT
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return Params(YamlFile.read(folder / "params.yaml"), scale)


@pytest.fixture
def project(tmp_path: Path) -> tuple[Params, Layout]:
    """A project whose only row is bicubic on poor pictures of a folder, as far as the evaluate stage."""
    for name in ("src", "stages", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    for k in range(IMAGES):
        pixels = numpy_generator("poor", k).integers(0, 256, (2 * SIDE_PX, 2 * SIDE_PX, 3), np.uint8)
        path = tmp_path / "poor" / ("ab"[k % 2]) / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    unavailable = re.search(r"real_lq: (\{ unavailable: .*real faces.*\})\n", TEXT)
    assert unavailable is not None
    source = f'{{ path: {tmp_path}/poor, root_env: null, splits: {{ test: . }}, subfolders: true, licence: "mine" }}'
    params = params_of(
        tmp_path,
        (unavailable[1], f"{{ source: folder, config: {source} }}"),
        *ON_BICUBIC,
        ('no network, minutes"\n    rows: all\n', 'no network, minutes"\n    rows: [bicubic]\n'),
    )
    layout = Layout("quick", tmp_path)
    build_dataset(params.datasets["real_lq"], layout.raw("real_lq"))
    degrade_task(params.tasks[TASK], layout.raw("real_lq"), layout.packs(TASK))
    for split in ("train", "val", "test"):
        with PackWriter(layout.prior("uniform") / TASK / split, np.float16) as maps:
            for image_id in Pack(layout.packs(TASK) / f"{split}_hr").ids:
                maps.add(image_id, np.ones((1, 1, 1), np.float16))
    shutil.copytree(untrained_encoder("scene_statistics"), layout.encoder("scene_statistics"))
    return params, layout


def test_the_input_is_the_image_itself_at_the_tasks_size(project: tuple[Params, Layout]) -> None:
    params, layout = project
    record = read_json(layout.packs(TASK) / "task.json")
    hrs, lrs = (Pack(layout.packs(TASK) / f"test_{kind}") for kind in ("hr", "lr"))
    assert record["reference"] is False and hrs.ids == lrs.ids == ["a_0", "a_2", "b_1", "b_3"]
    for hr, lr in zip(hrs, lrs, strict=True):
        np.testing.assert_array_equal(hr, lr)
        assert hr.shape == (SIDE_PX, SIDE_PX, 3)
    for gate in pairs_gates(TASK, params, layout):
        assert len(gate.frame)


def test_other_tasks_say_nothing_of_a_reference(tmp_path: Path) -> None:
    tasks = params_of(tmp_path).tasks
    assert all("reference" not in _resolved_task(tasks[name]) for name in tasks if name != TASK)
    assert _resolved_task(tasks[TASK])["reference"] is False


def test_only_a_size_of_its_own_is_possible() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(SrledgerError, match=r"their own size(.|\n)*scale factor 4"):
        none.NoDegradation(none.Config(), 4).degrade(image, np.random.default_rng(0), None)


def test_paired_metrics_are_unavailable_and_others_are_as_ever(tmp_path: Path) -> None:
    layout = Layout("quick", tmp_path)
    shutil.copytree(untrained_encoder("scene_statistics"), layout.encoder("scene_statistics"))
    names = [*PAIRED, "psnr_y_ycbcr_crop4", "niqe_fitted"]
    panel, usual = Panel(names, (), layout, reference=False), Panel(["niqe_fitted"], (), layout)
    assert panel.unavailable == dict.fromkeys(names[:-1], NO_REFERENCE)
    noise = torch.from_numpy(numpy_generator("sr").integers(0, 256, (3, 3, 32, 32), np.uint8))
    found = []
    for one, hr in ((panel, noise), (usual, 255 - noise)):
        measured = one.start_seed()
        one.take(noise, hr, measured)
        found.append(one.finish(measured))
    assert list(found[0].images) == ["niqe_fitted"] and found[0].sets == {}
    assert found[0].images == found[1].images and len(found[0].images["niqe_fitted"]) == 3


def test_weights_that_are_missing_are_still_the_reason_of_an_unpaired_metric(tmp_path: Path) -> None:
    panel = Panel(["niqe", "fid_inception"], (), Layout("quick", tmp_path), reference=False)
    assert "niqe_pris_params" in panel.unavailable["niqe"] and panel.unavailable["fid_inception"] == NO_REFERENCE


def test_a_row_is_measured_shown_without_hr_and_says_what_is_missing(
    project: tuple[Params, Layout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, layout = project
    monkeypatch.chdir(tmp_path)
    train(params, "bicubic")
    folder = layout.result("bicubic")
    folder.mkdir(parents=True)
    record = evaluate(params, params.evaluations["bicubic"], layout, folder)
    assert record["image_metrics"] == ["niqe_fitted"] and record["set_metrics"] == {} and record["n_test"] == IMAGES
    missing = {name for name, why in record["unavailable"].items() if why == NO_REFERENCE}
    asked = params.metrics_of(params.tasks[TASK])
    assert missing == {name for name in asked if plugin_class("metrics", MetricName.parse(name).plugin).paired}
    assert set(asked) == {*missing, *UNPAIRED}
    grid = _sample_grid(layout, "bicubic", TASK)
    assert grid.shape == (IMAGES * SIDE_PX, 2 * SIDE_PX, 3), "LR and SR alone"
    for gate in rows_gates("bicubic", params, layout):
        assert not gate.frame.empty

    for private in (False, True):
        rows, out = tmp_path / "out" / str(private) / "rows", tmp_path / "out" / str(private)
        rows.mkdir(parents=True)
        collect(params, layout, rows, private=private)
        config = ReportConfig(bootstrap_resamples=100)
        render_report(rows, out, config, tmp_path / "published", ["bicubic"])
        page = (out / "index.html").read_text(encoding="utf-8")
        assert "none, without HR images" in page and f"{TASK}: real_lq, none, x1 to 32 px, without HR images" in page
        table = (out / "tables" / f"{TASK}.md").read_text(encoding="utf-8")
        assert f"unavailable: {NO_REFERENCE}" in table and "niqe_fitted" in table
        shown = sorted(path.name for path in (rows / "pictures").rglob("*.png"))
        assert shown == (["bicubic.png"] * IMAGES + ["lr.png"] * IMAGES if private else [])
        assert ('data-name="LR"' in page) == private and 'data-name="HR"' not in page
        grids = list((out / "figures").glob("pictures_*.png"))
        assert len(grids) == (IMAGES if private else 0)
        for path in grids:
            with Image.open(path) as image:
                assert image.size[0] < 3 * image.size[1], "two columns, not three"


def test_the_data_page_shows_the_image_alone(project: tuple[Params, Layout], tmp_path: Path) -> None:
    _, layout = project
    facts = explore_dataset("real_lq", layout.raw("real_lq"), {TASK: layout.packs(TASK)}, tmp_path / "explored")
    about = facts["tasks"][TASK]
    assert about["reference"] is False and all(list(one["pictures"]) == ["lr"] for one in about["samples"])


TRAINED = "rrdb_blind:\n    method: rrdb\n    task: faces_blind"
ENCODER = "scene_statistics: { encoder: scene_statistics, task: faces_blind"
PROBE = "\nprobes:\n  mine: "


@pytest.mark.parametrize(
    ("edit", "what", "said"),
    [
        ((TRAINED, TRAINED.replace("faces_blind", TASK)), ("rows", "rrdb_blind"), "a row that is trained needs HR"),
        ((ENCODER, ENCODER.replace("faces_blind", TASK)), ("encoders", "scene_statistics"), "an encoder that is train"),
        (
            ("\nprobes:\n", f"{PROBE}{{ title: t, probe: colour_shift, config: {{ rows: [bicubic_on_{TASK}] }} }}\n"),
            ("probes", "mine"),
            "a probe needs HR",
        ),
        (
            (
                "\nprobes:\n",
                f"{PROBE}{{ title: t, probe: backbones, config: {{ task: {TASK}, encoders: [random_vit] }} }}\n",
            ),
            ("probes", "mine"),
            "a probe needs HR",
        ),
        (("degradation: none, scale_factor: 1,", "degradation: none, scale_factor: 4,"), ("tasks", TASK), "own size"),
    ],
)
def test_what_needs_hr_images_is_refused_where_it_is_named(
    tmp_path: Path, edit: tuple[str, str], what: tuple[str, str], said: str
) -> None:
    params = params_of(tmp_path, edit)
    with pytest.raises(SrledgerError, match=rf"{said}(.|\n)*params.yaml:\d+"):
        getattr(params, what[0])[what[1]]


def test_a_row_that_learns_nothing_may_have_such_a_task(tmp_path: Path) -> None:
    assert not params_of(tmp_path, *ON_BICUBIC).rows["bicubic"].task.has_reference


def test_where_there_is_no_mirror_its_rows_say_so(tmp_path: Path) -> None:
    params = params_of(tmp_path)
    why = params.why_unavailable(f"osdface_on_{TASK}")
    assert why is not None and "local folder" in why
    assert params.tasks[TASK].why_inactive == "dataset real_lq"


def test_the_real_faces_of_the_mirror_are_taken_to_the_places_of_the_others(mirror: Path, tmp_path: Path) -> None:
    params = params_of(tmp_path, scale="celeba_cpu")
    record = build_dataset(params.datasets["real_lq"], tmp_path / "raw")
    task = degrade_task(params.tasks[TASK], tmp_path / "raw", tmp_path / "packs")
    assert record["counts"] == {"train": 0, "val": 0, "test": 31} and record["identities"] == 0
    assert not record["redistributable"] and task["hr_size_px"] == 64
    assert mirror.is_dir() and set(Pack(tmp_path / "raw" / "test").shapes) == {(482, 482, 3)}
