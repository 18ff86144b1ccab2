"""Faces that a task moves: where they land, what is recorded, and that tasks without jitter are what they were."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srledger.config import Params
from srledger.datasets import build_dataset, read_manifest
from srledger.degrade import Degrader, degrade_task, fit_hr
from srledger.entries import Jitter
from srledger.errors import SrledgerError
from srledger.exploration import explore_dataset
from srledger.gates.pairs import gates_of
from srledger.imresize import imresize_uint8
from srledger.io import read_json, sha256_file
from srledger.jitter import Move, draw_move
from srledger.layout import Layout
from srledger.packs import Pack
from srledger.plugins import plugin_config
from srledger.provenance import _resolved_task
from srledger.settings import Dataset, Task
from srledger.split_inputs import SplitInputs
from srledger.yamlmap import YamlFile

PARAMS = Path(__file__).parents[2] / "params.yaml"
JITTER = Jitter(shift=0.15, scale=0.2)
POINTS = "12,16,27,16,20,22,14,28,26,28"
HEAD = (
    "file,left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x,nose_y,"
    "mouth_left_x,mouth_left_y,mouth_right_x,mouth_right_y,identity"
)
WITHOUT_JITTER = {  # of the packs as they were made before tasks could have jitter
    "images.json": "ce1d096996123fd41496ef969766fc66e8b276365659a71b821fd3d619ce224f",
    "test_hr.bin": "b3faf892a2e801c83d7572237d09a48eefb5702d9657d2afb255f4272782c39c",
    "test_lr.bin": "028a45eef0e88d9df0dba718fa3b2155d6b23c57fd1fa6fce10ffc1718a80214",
    "train_hr.bin": "2a4d5960f0d1d0d62d4fc1635b0dd2a86649e2e0d0081ce7e33de4a9517cf389",
    "train_lr.bin": "d5608e157775edb820a8f9ed57c473f4d98d9c38843b3ab5748d8a335cc30010",
    "train_hr.json": "594197415ec1d055ec3018c86feee060bcadf006c8d4df3d0fc5f6dfdc60646c",
}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three pictures of 40 px with landmarks, and their packs in ``tmp_path / raw``."""
    rng, lines = np.random.default_rng(0), [HEAD]
    for split, count in (("train", 2), ("test", 1)):
        (tmp_path / "faces" / split).mkdir(parents=True)
        for k in range(count):
            pixels = rng.integers(0, 256, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "faces" / split / f"{k}.png")
            lines.append(f"{split}/{k}.png,{POINTS},p{split}{k}")
    (tmp_path / "faces" / "points.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {"path": str(tmp_path / "faces"), "root_env": None, "splits": {"train": "train", "test": "test"}}
    config |= {"landmarks_csv": "points.csv", "licence": "mine"}
    made = Dataset("mine", "folder", plugin_config("data", "folder")(**config))
    build_dataset(made, tmp_path / "raw")
    return made


def task_of(dataset: Dataset, jitter: Jitter | None = None) -> Task:
    return Task("t", dataset, "bicubic", plugin_config("degradations", "bicubic")(), 4, 32, (), jitter)


def test_without_jitter_every_byte_is_what_it_was(dataset: Dataset, tmp_path: Path) -> None:
    record = degrade_task(task_of(dataset), tmp_path / "raw", tmp_path / "packs")
    assert {name: sha256_file(tmp_path / "packs" / name) for name in WITHOUT_JITTER} == WITHOUT_JITTER
    keys = ["task", "dataset", "degradation", "config", "scale_factor", "hr_size_px"]
    assert list(record) == keys and list(read_json(tmp_path / "packs" / "task.json")) == sorted(keys)


def test_a_rows_hash_knows_of_jitter_only_where_there_is_one(dataset: Dataset) -> None:
    before = {
        "name": "t", "degradation": "bicubic", "config": {}, "scale_factor": 4, "hr_size_px": 32, "dataset": "mine"
    }  # fmt: skip
    assert _resolved_task(task_of(dataset)) == before
    assert _resolved_task(task_of(dataset, JITTER)) == {**before, "jitter": {"shift": 0.15, "scale": 0.2}}


@pytest.mark.parametrize("out_px", [40, 32, 20])
def test_an_image_that_is_moved_by_nothing_is_the_reduced_one(out_px: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    assert np.array_equal(Move(1.0, 0.0, 0.0).image(pixels, out_px), imresize_uint8(pixels, out_px, out_px))


def test_a_shift_by_whole_pixels_is_a_mirrored_copy() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (40, 40, 3), np.uint8)
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)), mode="symmetric")
    right_and_up = padded[6 : 6 + 40, 0:40]  # 4 px to the right, 2 px up
    assert np.array_equal(Move(1.0, 0.1, -0.05).image(pixels, 40), right_and_up)


@pytest.mark.parametrize("move", [Move(1.2, 0.15, -0.1), Move(0.8, -0.15, 0.12), Move(1.0, 0.03, 0.0)])
@pytest.mark.parametrize("out_px", [128, 64])
def test_landmarks_move_with_the_image(move: Move, out_px: int) -> None:
    y, x = np.indices((128, 128))
    mark = np.array([[44.3, 71.8]])
    blob = 255 * np.exp(-0.5 * ((x - mark[0, 0]) ** 2 + (y - mark[0, 1]) ** 2) / 6**2)
    moved = move.image(np.repeat(blob[..., None], 3, axis=2).round().astype(np.uint8), out_px)[..., 0].astype(float)
    rows, columns = np.indices(moved.shape)
    centre = [(columns * moved).sum() / moved.sum(), (rows * moved).sum() / moved.sum()]
    assert np.allclose(move.points(mark, 128, out_px)[0], centre, atol=0.05)


def test_what_shrinks_is_smoothed() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    middle = Move(0.8, 0.0, 0.0).image(np.repeat(board[..., None], 3, axis=2), 32)[4:-4, 4:-4].astype(float)
    assert abs(middle.mean() - 127.5) < 1 and middle.std() < 3


def test_moves_are_drawn_evenly_by_image_within_the_limits() -> None:
    moves = [draw_move(JITTER, f"face{k}") for k in range(2000)]
    drawn = np.array([dataclasses.astuple(move) for move in moves])
    assert (np.abs(drawn - [1, 0, 0]) <= [0.2, 0.15, 0.15]).all()
    assert np.allclose(drawn.mean(axis=0), [1, 0, 0], atol=0.012)
    assert np.allclose(drawn.std(axis=0), np.array([0.2, 0.15, 0.15]) / 3**0.5, rtol=0.05)
    assert draw_move(JITTER, "face0") == moves[0] != moves[1]


def test_a_moved_task_is_recorded_and_made_again_from_its_record(dataset: Dataset, tmp_path: Path) -> None:
    task = task_of(dataset, JITTER)
    record = degrade_task(task, tmp_path / "raw", tmp_path / "packs")
    assert record["jitter"] == {"shift": 0.15, "scale": 0.2} == read_json(tmp_path / "packs" / "task.json")["jitter"]
    images = {image["id"]: image for image in read_json(tmp_path / "packs" / "images.json")}
    unmoved = Pack(tmp_path / "raw" / "train")
    hrs, lrs = Pack(tmp_path / "packs" / "train_hr"), Pack(tmp_path / "packs" / "train_lr")
    for row in read_manifest(tmp_path / "raw"):
        assert images[row.id]["drawn"]["jitter"] == dataclasses.asdict(draw_move(JITTER, row.id))
        if row.split == "train":
            move = Move(**images[row.id]["drawn"]["jitter"])
            assert np.array_equal(hrs.by_id(row.id), move.image(np.asarray(unmoved.by_id(row.id)), 32))
            assert np.array_equal(lrs.by_id(row.id), imresize_uint8(np.asarray(hrs.by_id(row.id)), 8, 8))
            assert row.landmarks is not None
            expected = move.points(row.landmarks, 40, 32)
            assert np.allclose(images[row.id]["landmarks"], expected, atol=1e-4)
    assert len({tuple(image["drawn"]["jitter"].values()) for image in images.values()}) == 3


def test_the_data_page_learns_of_it(dataset: Dataset, tmp_path: Path) -> None:
    for name, jitter in (("moved", JITTER), ("still", None)):
        degrade_task(task_of(dataset, jitter), tmp_path / "raw", tmp_path / name)
    tasks = {name: tmp_path / name for name in ("moved", "still")}
    facts = explore_dataset("mine", tmp_path / "raw", tasks, tmp_path / "explored")["tasks"]
    assert facts["moved"]["jitter"] == {"shift": 0.15, "scale": 0.2} and "jitter" not in facts["still"]
    assert all("jitter" in sample["drawn"] for sample in facts["moved"]["samples"])


class OneTask:
    """As much of Params as the gate of pairs looks at."""

    def __init__(self, task: Task) -> None:
        self.tasks = {task.name: task}


def test_the_gate_makes_moved_pairs_again(dataset: Dataset, tmp_path: Path) -> None:
    task, layout = task_of(dataset, JITTER), Layout("s", tmp_path)
    layout.raw("mine").parent.mkdir(parents=True)
    (tmp_path / "raw").rename(layout.raw("mine"))
    degrade_task(task, layout.raw("mine"), layout.packs("t"))
    (pairs,) = (gate.frame for gate in gates_of("t", OneTask(task), layout) if gate.name == "t/pairs")  # type: ignore[arg-type]
    assert len(pairs) == 3 and (pairs["max_abs_difference"] == 0).all()
    otherwise = dataclasses.replace(task, jitter=Jitter(shift=0.1, scale=0.2))
    (pairs,) = (gate.frame for gate in gates_of("t", OneTask(otherwise), layout) if gate.name == "t/pairs")  # type: ignore[arg-type]
    assert (pairs["max_abs_difference"] > 0).all()


def test_landmarks_may_leave_the_image_and_are_kept(dataset: Dataset, tmp_path: Path) -> None:
    far = Jitter(shift=0.9, scale=0.0)
    degrade_task(task_of(dataset, far), tmp_path / "raw", tmp_path / "packs")
    points = np.array([image["landmarks"] for image in read_json(tmp_path / "packs" / "images.json")])
    assert ((points < -0.5) | (points > 31.5)).any() and np.isfinite(points).all()
    inputs = SplitInputs(tmp_path / "packs", "train")
    assert all(image.landmarks is not None for image in inputs.values())


def test_an_image_of_another_shape_stops_it(dataset: Dataset, tmp_path: Path) -> None:
    task = dataclasses.replace(task_of(dataset, JITTER), hr_size_px=44)
    with pytest.raises(SrledgerError, match="does not fit its task"):
        Degrader(task, tmp_path / "raw").pair(next(iter(read_manifest(tmp_path / "raw"))))
    with pytest.raises(SrledgerError, match="does not fit its task"):
        fit_hr(np.zeros((40, 44, 3), np.uint8), None, task_of(dataset, JITTER), "a", Move(1.0, 0.0, 0.0))


TEXT = re.sub(r"(?m)^scale: \w+", "scale: quick", PARAMS.read_text(encoding="utf-8"))
QUICK = ("    scales: [celeba_cpu, celeba_gpu, paper]\n", "    scales: [quick, celeba_cpu, celeba_gpu, paper]\n")


def load(folder: Path, *edits: tuple[str, str], scale: str | None = None) -> Params:
    text = TEXT
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return Params(YamlFile.read(folder / "params.yaml"), scale)


@pytest.mark.parametrize(("scale", "runs"), [("smoke", False), ("quick", False), ("celeba_gpu", True)])
def test_a_task_and_its_transfers_run_at_its_own_scales(tmp_path: Path, scale: str, runs: bool) -> None:
    params = load(tmp_path, scale=scale)
    task = params.tasks["faces_x8_jittered"]
    assert task.active is runs and params.tasks["faces_x8"].active
    assert task.why_inactive == (None if runs else "task faces_x8_jittered")
    for row in ("bicubic", "landmark_unet", "landmark_unet_no_heatmap"):
        assert params.is_active(f"{row}_on_faces_x8_jittered") is runs, row


def test_a_transfer_may_run_at_some_of_the_scales_that_take_all_rows(tmp_path: Path) -> None:
    line = "bicubic_on_faces_x4: { row: bicubic, task: faces_x4, prior: uniform"
    edit = (line, f"{line}, scales: [celeba_cpu, paper]")
    states = [load(tmp_path, edit, scale=scale).is_active("bicubic_on_faces_x4") for scale in ("quick", "paper")]
    assert states == [False, True]
    with pytest.raises(SrledgerError, match="nearest:  paper"):
        load(tmp_path, (line, f"{line}, scales: [papre]"))
    with pytest.raises(SrledgerError, match="'bicubic_on_faces_x4' runs at other scales"):
        load(tmp_path, (line, f"{line}, scales: [paper]"))  # which celeba_cpu lists


def test_a_listed_row_needs_its_task(tmp_path: Path) -> None:
    edit = (QUICK[0], "    scales: [paper]\n")
    listed = ("      - bicubic_on_photos_x4\n", "      - bicubic_on_faces_x8_jittered\n")
    with pytest.raises(SrledgerError, match=r"its task 'faces_x8_jittered' is not made there(?s:.*)add celeba_cpu to"):
        load(tmp_path, edit, listed)


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ((QUICK,), "only images that are reduced to a square can be moved"),
        (
            (QUICK, ("    degradation: bicubic\n    scale_factor: 8\n    jitter", "    degradation: given_lr\n"
             "    scale_factor: 8\n    hr_size_px: 64\n    jitter")),
            "an LR image that the dataset brings can't move",
        ),
        ((("jitter: { shift: 0.15,", "jitter: { shift: 1.5,"),), "shift"),
        ((("shift: 0.15, scale: 0.2 }", "shift: 0.15, scale: 0.2, scalle: 1 }"),), "nearest:  scale"),
        ((("jitter: { shift: 0.15, scale: 0.2 }", "jitter: { shift: 0.15, scale: -0.2 }"),), "scale"),
    ],
)  # fmt: skip
def test_jitter_that_can_not_be_is_said_before_any_work(
    tmp_path: Path, edits: tuple[tuple[str, str], ...], said: str
) -> None:
    with pytest.raises(SrledgerError) as caught:
        _ = load(tmp_path, *edits).tasks["faces_x8_jittered"]
    assert said in str(caught.value) and "params.yaml:" in str(caught.value)
