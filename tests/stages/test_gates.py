"""Faults planted between two stages: each is stopped by its own gate, by name; what is whole passes."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Workspace
from PIL import Image

from srledger.config import Params
from srledger.data import SPLITS
from srledger.datasets import LANDMARK_COLUMNS, build_dataset
from srledger.degrade import degrade_task
from srledger.errors import SrledgerError
from srledger.gates.given_lr import colour_difference, misfit
from srledger.gates.run import run_gates
from srledger.imresize import imresize_uint8
from srledger.io import read_json
from srledger.layout import Layout, fresh_folder, write_inactive
from srledger.packs import Pack, PackWriter
from srledger.plugins import plugin_class, plugin_config
from srledger.prior_maps import precompute_prior

FACES = """source: synthetic_faces
        config: { seed: 0, size_px: 32, n_identities: { train: 4, val: 2, test: 2 }, images_per_identity: 1 }"""


class Data:
    """The data stages of scale `smoke`, run in this process in a folder of their own."""

    def __init__(self, root: Path, faces: str = FACES) -> None:
        self.root = root
        text = (ROOT / "params.yaml").read_text(encoding="utf-8")
        assert FACES in text
        (root / "params.yaml").write_text(
            text.replace("scale: quick", "scale: smoke", 1).replace(FACES, faces, 1), encoding="utf-8"
        )
        self.params = Params.load(root)
        self.layout = Layout("smoke", root)
        self.prior = self.params.priors["landmark_gauss"]

    def download(self) -> None:
        with fresh_folder(self.layout.raw("faces")) as part:
            build_dataset(self.params.datasets["faces"], part)

    def degrade(self) -> None:
        for name, task in self.params.tasks.items():
            if not task.active:
                write_inactive(self.layout.packs(name), "not at this scale")
                continue
            with fresh_folder(self.layout.packs(name)) as part:
                degrade_task(task, self.layout.raw("faces"), part)

    def precompute(self) -> None:
        for name in ("uniform", "landmark_gauss"):
            with fresh_folder(self.layout.prior(name)) as part:
                precompute_prior(self.params, self.params.priors[name], self.layout, part)

    def gate(self, kind: str) -> str:
        return run_gates(kind, self.params, self.layout)

    def stopped(self, kind: str) -> SrledgerError:
        with pytest.raises(SrledgerError) as caught:
            self.gate(kind)
        assert not self.layout.passed(kind).exists(), "nothing is vouched for"
        return caught.value


@pytest.fixture
def data(tmp_path: Path) -> Data:
    made = Data(tmp_path)
    made.download()
    return made


@pytest.fixture
def faces_in_files(tmp_path: Path) -> Path:
    """Forty drawn faces as PNG files in splits, with their landmarks file."""
    config = FACES.replace("train: 4", "train: 36")
    drawn = Data(_folder(tmp_path / "drawn"), config)
    drawn.download()
    folder, raw = tmp_path / "faces", drawn.layout.raw("faces")
    manifest = pd.read_csv(raw / "manifest.csv", dtype={"identity": str})
    for split in SPLITS:
        (folder / split).mkdir(parents=True)
        for image_id, pixels in Pack(raw / split).items():
            Image.fromarray(np.asarray(pixels)).save(folder / split / f"{image_id}.png")
    manifest["file"] = manifest["split"] + "/" + manifest["id"] + ".png"
    manifest[["file", "identity", *LANDMARK_COLUMNS]].to_csv(folder / "landmarks.csv", index=False)
    return folder


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _from_files(folder: Path) -> str:
    return f"""source: folder
        config:
          path: {folder}
          root_env: null
          splits: {{ train: train, val: val, test: test }}
          landmarks_csv: landmarks.csv
          licence: drawn for this test"""


def test_what_is_whole_passes_and_is_vouched_for(data: Data) -> None:
    assert "passed" in data.gate("manifests")
    data.degrade()
    assert "passed" in data.gate("pairs")
    data.precompute()
    gone = data.layout.prior("of_an_older_params_yaml")
    gone.mkdir()
    said = data.gate("priors")
    assert "passed" in said and f"dropped {gone.as_posix()}" in said and not gone.exists()
    assert read_json(data.layout.passed("manifests") / "faces.json")["vouches_for"]
    assert "photos" in read_json(data.layout.passed("manifests") / "photos.json")["inactive"]
    result = read_json(data.layout.gates("pairs") / "faces_x8/pairs.json")
    again = next(check for check in result["checks"] if check["column"] == "max_abs_difference")
    assert again["element_count"] == 8, "every pair of so small a set is made again"


def test_results_of_a_gate_are_the_same_bytes_each_time(data: Data) -> None:
    data.gate("manifests")
    folders = (data.layout.gates("manifests"), data.layout.passed("manifests"))
    first = [path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.json"))]
    data.gate("manifests")
    assert [path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.json"))] == first


@pytest.mark.parametrize("how", ["jpeg", "smaller", "mirrored"])
def test_a_face_of_train_in_test_under_another_name(tmp_path: Path, faces_in_files: Path, how: str) -> None:
    image = Image.open(faces_in_files / "train/train_p0003_i0.png")
    if how == "jpeg":
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=60)
        image = Image.open(buffer)
    elif how == "smaller":
        image = image.resize((24, 24), Image.Resampling.LANCZOS).resize((32, 32), Image.Resampling.BICUBIC)
    else:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image.save(faces_in_files / "test/someone.png")
    table = pd.read_csv(faces_in_files / "landmarks.csv", dtype=str)
    line = table[table["file"] == "train/train_p0003_i0.png"].assign(file="test/someone.png", identity="someone")
    pd.concat([table, line]).to_csv(faces_in_files / "landmarks.csv", index=False)
    data = Data(tmp_path, _from_files(faces_in_files))
    data.download()
    error = data.stopped("manifests")
    assert "test_someone (looks_like train_train_p0003_i0)" in error.facts["found"]
    assert "train_train_p0003_i0 (looks_like test_someone)" in error.facts["found"]
    table_left = Path(error.facts["where"]).read_text(encoding="utf-8")
    assert "| test_someone | train_train_p0003_i0 |" in table_left


def test_one_identity_in_two_splits(tmp_path: Path, faces_in_files: Path) -> None:
    table = pd.read_csv(faces_in_files / "landmarks.csv", dtype=str)
    table.loc[table["file"] == "test/test_p0001_i0.png", "identity"] = "train_p0007"
    table.to_csv(faces_in_files / "landmarks.csv", index=False)
    data = Data(tmp_path, _from_files(faces_in_files))
    data.download()
    error = data.stopped("manifests")
    assert "no identity stands in two splits" in error.facts["found"]
    assert "test_test_p0001_i0 (splits_of_identity test+train)" in error.facts["found"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("left_eye_x", "right_eye_x"),
        ("left_eye_x", "left_eye_y"),
        ("nose_x", "nose_y"),
        ("left_eye_y", "right_eye_y"),
        ("mouth_left_x", "mouth_right_x"),
        ("mouth_left_y", "mouth_right_y"),
        ("nose_y", "mouth_left_y"),
        ("right_eye_y", "nose_x"),
        ("mouth_left_x", "right_eye_x"),
        ("left_eye_y", "mouth_right_y"),
    ],
)
def test_a_swapped_landmark_column(tmp_path: Path, faces_in_files: Path, first: str, second: str) -> None:
    table = pd.read_csv(faces_in_files / "landmarks.csv", dtype=str)
    table[[first, second]] = table[[second, first]].to_numpy()
    table.to_csv(faces_in_files / "landmarks.csv", index=False)
    data = Data(tmp_path, _from_files(faces_in_files))
    data.download()
    error = data.stopped("manifests")
    assert "landmarks" in error.facts["found"]
    assert "train_train_p" in Path(error.facts["where"]).read_text(encoding="utf-8")


def test_one_row_with_swapped_landmarks_is_named(tmp_path: Path, faces_in_files: Path) -> None:
    table = pd.read_csv(faces_in_files / "landmarks.csv", dtype=str)
    row = table["file"] == "train/train_p0011_i0.png"
    table.loc[row, ["left_eye_x", "right_eye_x"]] = table.loc[row, ["right_eye_x", "left_eye_x"]].to_numpy()
    table.to_csv(faces_in_files / "landmarks.csv", index=False)
    data = Data(tmp_path, _from_files(faces_in_files))
    data.download()
    assert "1 failed: train_train_p0011_i0" in data.stopped("manifests").facts["found"]


def _rewrite(stem: Path, image_id: str, values: np.ndarray) -> None:
    """Put other values of one image into a pack whose index still fits."""
    pack = Pack(stem)
    kept = {one: np.array(found) for one, found in pack.items()}
    kept[image_id] = values
    with PackWriter(stem, next(iter(kept.values())).dtype.type) as writer:
        for one, found in kept.items():
            writer.add(one, found)


def test_an_lr_image_that_is_not_the_degradation_of_its_hr_image(data: Data) -> None:
    data.degrade()
    stem = data.layout.packs("faces_x8") / "train_lr"
    pack = Pack(stem)
    first, second = pack.ids[:2]
    _rewrite(stem, first, np.array(pack.by_id(second)))
    error = data.stopped("pairs")
    assert (
        f"faces_x8/pairs: HR and LR come out the same, bit for bit, when made again: 1 failed: {first}"
        in (error.facts["found"])
    )


def test_a_pack_whose_values_changed_is_torn_not_wrong(data: Data) -> None:
    data.degrade()
    path = data.layout.packs("faces_x8") / "train_lr.bin"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(SrledgerError, match="changed since it was written"):
        data.gate("pairs")


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.25, 1.5])
def test_a_map_with_a_value_that_is_none(data: Data, value: float) -> None:
    data.degrade()
    data.precompute()
    stem = data.layout.prior("landmark_gauss") / "faces_x8" / "test"
    pack = Pack(stem)
    broken = np.array(pack[1])
    broken[3, 4, 0] = value
    _rewrite(stem, pack.ids[1], broken)
    found = data.stopped("priors").facts["found"]
    assert "landmark_gauss/faces_x8/maps" in found
    assert f"1 failed: {pack.ids[1]}" in found


def test_a_constant_map_stops_unless_the_prior_is_meant_so(data: Data) -> None:
    data.degrade()
    data.precompute()
    assert "passed" in data.gate("priors"), "uniform is constant and means to be"
    stem = data.layout.prior("landmark_gauss") / "faces_x8" / "val"
    pack = Pack(stem)
    _rewrite(stem, pack.ids[0], np.full_like(pack[0], 0.5))
    assert f"no map is constant: 1 failed: {pack.ids[0]}" in data.stopped("priors").facts["found"]


def test_lr_files_that_were_mixed_up(tmp_path: Path) -> None:
    """A set that brings its own LR files: no derivation tells, the pictures do."""
    from srledger.gates import pairs

    rng = np.random.default_rng(3)
    large = [rng.integers(0, 256, (4, 4, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(6)]
    small = [image[::8, ::8].repeat(2, 0).repeat(2, 1) for image in large]
    small[2], small[5] = small[5], small[2]
    frame = pairs.likeness_of(large, small, [f"image_{k}" for k in range(6)])
    assert frame["resembles_more"].tolist() == [None, None, "image_5", None, None, "image_2"]


@pytest.fixture(scope="module")
def brought() -> tuple[np.ndarray, np.ndarray]:
    """A drawn face of 128 px and its LR image of 32 px."""
    config = plugin_config("data", "synthetic_faces").model_validate_json(
        '{"seed": 5, "size_px": 128, "n_identities": {"train": 1, "val": 1, "test": 1}, "images_per_identity": 1}'
    )
    hr = next(iter(plugin_class("data", "synthetic_faces")(config).images())).pixels
    return hr, imresize_uint8(hr, 32, 32)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (lambda lr: lr, None),
        (lambda lr: (255 * (lr / 255) ** 0.9).astype(np.uint8), None),
        (lambda lr: np.roll(lr, 1, axis=1), "shifted by 1, 0 px"),
        (lambda lr: lr[:, ::-1], "mirrored"),
        (lambda lr: lr[::-1], "upside down"),
        (lambda lr: 255 - lr, "negative"),
    ],
    ids=["right", "another tone curve", "shifted", "mirrored", "upside down", "negative"],
)
def test_how_a_brought_lr_file_would_fit(brought: tuple[np.ndarray, np.ndarray], fault: Any, found: str | None) -> None:
    hr, lr = brought
    assert misfit(hr, np.ascontiguousarray(fault(lr))) == found


def test_a_cut_or_recoloured_lr_file(brought: tuple[np.ndarray, np.ndarray]) -> None:
    hr, lr = brought
    assert misfit(hr, imresize_uint8(np.ascontiguousarray(hr[13:-13, 13:-13]), 32, 32)) == "cut at its borders"
    assert colour_difference(hr, lr) < 1 and colour_difference(hr, lr // 2) > 16


def test_maps_of_the_next_image_are_not_taken_for_ones_own(data: Data) -> None:
    data.degrade()
    data.precompute()
    stem = data.layout.prior("landmark_gauss") / "faces_x8" / "train"
    pack = Pack(stem)
    shifted = [np.array(pack[(k + 1) % len(pack)]) for k in range(len(pack))]
    with PackWriter(stem, np.float16) as writer:
        for image_id, values in zip(pack.ids, shifted, strict=True):
            writer.add(image_id, values)
    found = data.stopped("priors").facts["found"]
    assert f"drawn maps come out the same when they are made again: {len(pack)} failed" in found


def test_a_report_is_not_made_from_what_failed_or_was_never_checked(finished: Workspace, tmp_path: Path) -> None:
    workspace = finished.copy_to(tmp_path / "project")
    path = workspace.folder / "results/smoke/bicubic/rows.parquet"
    rows = pd.read_parquet(path)
    rows["psnr_rgb"] += 1.0
    rows.to_parquet(path)
    done = workspace.run("python", "stages/report.py", check=False)
    assert done.returncode == 1 and "'bicubic' has not passed gate rows as it is now" in done.stderr
    rows["psnr_rgb"] = np.nan
    rows.to_parquet(path)
    assert workspace.run("python", "stages/gate.py", "rows", check=False).returncode == 1
    assert not (workspace.folder / "data/smoke/gates/rows").exists(), "the results of an earlier run are gone"
    assert workspace.run("python", "stages/report.py", check=False).returncode == 1


def test_a_seed_or_a_metric_that_is_missing(finished: Workspace, tmp_path: Path) -> None:
    workspace = finished.copy_to(tmp_path / "project")
    path = workspace.folder / "results/smoke/landmark_unet/rows.parquet"
    rows = pd.read_parquet(path)
    rows[rows["seed"] == 0].drop(columns="gmsd").to_parquet(path)
    done = workspace.run("python", "stages/gate.py", "rows", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "seed 1 (missing 2)" in done.stderr and "gmsd is a number" in done.stderr


def test_measured_values_that_can_be_none(finished: Workspace, tmp_path: Path) -> None:
    workspace = finished.copy_to(tmp_path / "project")
    path = workspace.folder / "results/smoke/bicubic/rows.parquet"
    rows = pd.read_parquet(path)
    rows.loc[0, "ssim_rgb"] = 1.5
    rows.loc[1, "psnr_rgb"] = np.nan
    rows.to_parquet(path)
    done = workspace.run("python", "stages/gate.py", "rows", check=False)
    assert done.returncode == 1
    assert f"{rows['image_id'][0]} seed" in done.stderr and "ssim_rgb lies in [-1, 1]" in done.stderr
    assert f"{rows['image_id'][1]} seed" in done.stderr and "psnr_rgb is a number" in done.stderr
    assert "Traceback" not in done.stderr


def test_dvc_stops_where_a_gate_does(workspace: Workspace, tmp_path: Path, faces_in_files: Path) -> None:
    """A leak: `dvc repro` ends at the gate, nothing after it was run, and goes on once the file is gone."""
    shutil.copyfile(faces_in_files / "train/train_p0003_i0.png", faces_in_files / "test/again.png")
    table = (faces_in_files / "landmarks.csv").read_text(encoding="utf-8")
    line = next(line for line in table.splitlines() if line.startswith("train/train_p0003_i0.png"))
    added = line.replace("train/train_p0003_i0.png,train_p0003", "test/again.png,again")
    (faces_in_files / "landmarks.csv").write_text(f"{table}{added}\n", encoding="utf-8")
    workspace.edit("params.yaml", FACES, _from_files(faces_in_files))
    done = workspace.run("dvc", "repro", "degrade@faces_x8", check=False)
    assert done.returncode != 0
    assert "test_again (splits_of_content test+train)" in done.stderr
    assert (workspace.folder / "scratch/smoke/gates/manifests.md").exists()
    assert not (workspace.folder / "data/smoke/packs").exists()
    (faces_in_files / "test/again.png").unlink()
    (faces_in_files / "landmarks.csv").write_text(table, encoding="utf-8")
    workspace.run("dvc", "repro", "--force", "--single-item", "download@faces")
    workspace.run("dvc", "repro", "degrade@faces_x8")
    assert (workspace.folder / "data/smoke/packs/faces_x8/train_hr.bin").exists()
