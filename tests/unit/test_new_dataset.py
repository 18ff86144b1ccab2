"""`srledger add-dataset`: what a folder's structure is read as, what is written, and what is refused."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_bytes import png
from PIL import Image

from srledger.add_dataset.command import Sampler, add_dataset
from srledger.add_dataset.place import Place, check_folder, find_place
from srledger.add_dataset.proposal import Proposal, Wishes, propose, source_config
from srledger.add_dataset.survey import survey_folder
from srledger.add_dataset.update import update_dataset
from srledger.config import Params
from srledger.data import SourceImage
from srledger.data._landmark_table import COORDINATES
from srledger.data.folder import Folder
from srledger.errors import SrledgerError

PARAMS = Path(__file__).parents[2] / "params.yaml"
COMMAND = [sys.executable, "-c", "from srledger.cli import main; main()", "add-dataset"]


def save(file: Path, height_px: int = 40, width_px: int = 40, like: str = "") -> Path:
    """An image that is drawn from its name (or from ``like``)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list((like or str(file)).encode()))
    Image.fromarray(rng.integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)).save(file)
    return file


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Params:
    root = tmp_path_factory.mktemp("params")
    shutil.copyfile(PARAMS, root / "params.yaml")
    return Params.load(root)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    shutil.copyfile(PARAMS, root / "params.yaml")
    return root


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """A folder with twelve images."""
    for k in range(12):
        save(tmp_path / "Some birds" / f"{k:02}.png")
    return tmp_path / "Some birds"


def proposed(params: Params, folder: Path, **wishes: Any) -> tuple[Place, Proposal]:
    survey = survey_folder(folder)
    place = find_place(survey)
    return place, propose(params, survey, place, Wishes(**{"licence": "ours", **wishes}))


def given(proposal: Proposal) -> dict[str, list[str]]:
    """Ids by split, as the source gives them."""
    splits: dict[str, list[str]] = {}
    for image in Folder(source_config(proposal.config)).images():
        splits.setdefault(image.split, []).append(image.id)
    return splits


def advised(error: SrledgerError) -> Path:
    """The folder of the command that an error advises."""
    return Path(shlex.split(error.facts["mend"].partition("srledger add-dataset ")[2])[0])


def picture(seed: int, side_px: int = 96) -> np.ndarray:
    """A picture with shapes that survive a smaller size and JPEG."""
    fields = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(fields).resize((side_px, side_px), Image.Resampling.BICUBIC))


def test_images_in_one_folder_are_drawn_into_splits(params: Params, birds: Path) -> None:
    _, proposal = proposed(params, birds)
    assert (proposal.name, proposal.task, proposal.transfer) == (
        "some_birds",
        "some_birds_x4",
        "bicubic_on_some_birds_x4",
    )
    assert (proposal.degradation, proposal.scale_factor, proposal.hr_size_px) == ("bicubic", 4, 40)
    splits = given(proposal)
    assert set(splits) == {"train", "val", "test"} and sum(map(len, splits.values())) == 12
    assert proposal.config["path"] == str(birds) and proposal.config["root_env"] is None
    assert "ignore" not in proposal.config and proposal.config["redistributable"] is False
    assert proposed(params, birds)[1] == proposal


def test_the_hash_notices_an_edited_file(params: Params, birds: Path) -> None:
    _, proposal = proposed(params, birds)
    save(birds / "03.png", like="another")
    with pytest.raises(SrledgerError):
        given(proposal)


def test_three_images_are_enough_and_two_are_not(params: Params, tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / "few" / f"{name}.png")
    assert {split: len(ids) for split, ids in given(proposed(params, tmp_path / "few")[1]).items()} == {
        "train": 1,
        "val": 1,
        "test": 1,
    }
    (tmp_path / "few" / "c.png").unlink()
    with pytest.raises(SrledgerError, match=r"too few images for splits(.|\n)*at least 3"):
        proposed(params, tmp_path / "few")


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), {"train": "train", "val": "val", "test": "test"}),
        (("Training", "Validation", "eval"), {"train": "Training", "val": "Validation", "test": "eval"}),
        (("DIV2K_train_HR", "DIV2K_valid_HR"), {"train": "DIV2K_train_HR", "test": "DIV2K_valid_HR"}),
        (("test",), {"test": "test"}),
    ],
)
def test_splits_are_found_by_name(
    params: Params, tmp_path: Path, folders: tuple[str, ...], splits: dict[str, str]
) -> None:
    for folder in folders:
        save(tmp_path / "set" / folder / "a.png")
    save(tmp_path / "set" / "outside.png")
    place, proposal = proposed(params, tmp_path / "set")
    assert proposal.config["splits"] == splits and "split_shares" not in proposal.config
    assert set(given(proposal)) == set(splits)
    assert any("outside.png" in note for note in place.notes)


def test_splits_that_cant_be_told(params: Params, tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / "set" / "train" / f"{name}.png")
    with pytest.raises(SrledgerError, match=r"none to measure on(.|\n)*add-dataset .*train") as raised:
        proposed(params, tmp_path / "set")
    assert proposed(params, advised(raised.value))[1].name == "train"
    save(tmp_path / "set" / "training" / "a.png")
    with pytest.raises(SrledgerError, match=r"two subfolders(.|\n)*train, training"):
        proposed(params, tmp_path / "set")
    for name in ("Set5", "Set14", "B100", "Urban100", "Set5_LRx4"):  # benchmarks side by side, and no people
        save(tmp_path / "general" / name / "a.png")
    with pytest.raises(SrledgerError, match=r"neither splits nor people"):
        proposed(params, tmp_path / "general")
    for name in ("cats", "dogs"):
        save(tmp_path / "zoo" / name / "a.png")
    with pytest.raises(SrledgerError, match=r"neither splits nor people(.|\n)*put the images into one folder"):
        proposed(params, tmp_path / "zoo")


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (("a/b/1.png", "a/b/2.png", "a/b/3.png", "a/c/1.png", "d/1.png"), "b"),
        (("a/1.png", "a/b/1.png", "a/b/2.png", "a/b/c d/1.png", "a/b/c d/2.png", "a/b/c d/3.png"), "c_d"),
        (("a/train/1.png", "a/test/1.png", "b/1.png", "b/2.png", "b/3.png"), "b"),
        (("a/train/1.png", "a/train/2.png", "a/train/3.png", "a/test/1.png", "b/1.png"), "a"),
        ((*(f"a/p{person}/{k}.png" for person in range(6) for k in "12"), "b/1.png"), "a"),
        (("a/b/HR/1.png", "a/b/HR/2.png", "a/b/HR/3.png", "a/b/LR/1.png", "c/1.png"), "hr"),
    ],
)
def test_nested_folders_are_refused_with_a_command_that_works(
    params: Params, tmp_path: Path, files: tuple[str, ...], name: str
) -> None:
    for file in files:
        save(tmp_path / "set" / file, *((10, 10) if "/LR/" in file else ()))
    with pytest.raises(SrledgerError, match="neither splits nor people") as raised:
        proposed(params, tmp_path / "set")
    assert proposed(params, advised(raised.value))[1].name == name


@pytest.mark.parametrize("names", [("HR", "LR"), ("GT", "LRx4"), ("hr", "Set_LRx4_matlab")])
def test_hr_and_lr_subfolders_are_a_benchmark(params: Params, tmp_path: Path, names: tuple[str, str]) -> None:
    for stem in "ab":
        save(tmp_path / "set" / names[0] / f"{stem}.png", 42, 50)
        save(tmp_path / "set" / names[1] / f"{stem}.bmp", 10, 12)
    _, proposal = proposed(params, tmp_path / "set")
    assert (proposal.degradation, proposal.scale_factor, proposal.hr_size_px) == ("given_lr", 4, None)
    images = list(Folder(source_config(proposal.config)).images())
    assert [(image.split, image.lr is not None and image.lr.shape) for image in images] == [("test", (10, 12, 3))] * 2


def test_a_folder_of_lr_images_beside_it(params: Params, tmp_path: Path) -> None:
    save(tmp_path / "Set5" / "a.png", 30, 30)
    save(tmp_path / "Set5_LRx3" / "a.png", 10, 10)
    save(tmp_path / "other" / "a.png", 10, 10)
    _, proposal = proposed(params, tmp_path / "Set5", name="three")
    assert (proposal.task, proposal.degradation) == ("three_x3", "given_lr")
    assert proposal.config["lr_folder"] == "Set5_LRx3" and proposal.config["path"] == str(tmp_path)
    assert given(proposal) == {"test": ["Set5_a"]}


def test_lr_images_that_dont_fit_are_not_used(params: Params, tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / "set" / "HR" / f"{name}.png")
        save(tmp_path / "set" / "LR" / f"{name}x4.png", 10, 10)
    place, proposal = proposed(params, tmp_path / "set")
    assert proposal.degradation == "bicubic" and "lr_folder" not in proposal.config
    assert any("LR is not used" in note for note in place.notes)
    with pytest.raises(SrledgerError, match="brings no LR"):
        proposed(params, tmp_path / "set", degradation="given_lr")


def test_people_stay_in_one_split(params: Params, tmp_path: Path) -> None:
    for person in range(8):
        for k in range(3):
            save(tmp_path / "people" / f"p{person}" / f"{k}.png")
    save(tmp_path / "people" / "p0" / "again.png", like=str(tmp_path / "people" / "p0" / "0.png"))
    (tmp_path / "people" / "readme.md").write_text("eight people")
    (tmp_path / "people" / "empty").mkdir()
    _, proposal = proposed(params, tmp_path / "people")
    assert proposal.config["identity_folders"] is True and "*.md" in proposal.config["ignore"]
    assert proposal.left_out == {}  # the copy shows the same person, who is in one split anyway
    split_of: dict[str | None, set[str]] = {}
    for image in Folder(source_config(proposal.config)).images():
        split_of.setdefault(image.identity, set()).add(image.split)
    assert len(split_of) == 8 and all(len(splits) == 1 for splits in split_of.values())
    assert set.union(*split_of.values()) == {"train", "val", "test"}


def test_people_inside_splits(params: Params, tmp_path: Path) -> None:
    for split, people in {"train": 4, "val": 1, "test": 1}.items():
        for person in range(people):
            save(tmp_path / "people" / split / f"{split}{person}" / "a.png")
    place, proposal = proposed(params, tmp_path / "people")
    assert place.identity_folders and {split: len(ids) for split, ids in given(proposal).items()} == {
        "train": 4,
        "val": 1,
        "test": 1,
    }


def test_one_picture_never_stands_in_two_splits(params: Params, birds: Path, tmp_path: Path) -> None:
    shutil.copy(birds / "03.png", birds / "copy of 03.png")
    _, proposal = proposed(params, birds)
    assert proposal.left_out == {"copy of 03.png": "the same picture as 03.png"}
    assert sum(map(len, given(proposal).values())) == 12
    for split in ("train", "val", "test"):
        save(tmp_path / "set" / split / f"{split}.png", like="one")
        save(tmp_path / "set" / split / f"{split}2.png")
    _, proposal = proposed(params, tmp_path / "set")
    assert set(proposal.left_out) == {"train/train.png", "val/val.png"}  # what is measured on is kept
    assert given(proposal)["test"] == ["test_test", "test_test2"]


def test_a_picture_in_other_pixels_never_stands_in_two_splits(params: Params, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for split, seeds in {"train": range(20), "val": range(20, 24), "test": range(24, 30)}.items():
        (folder / split).mkdir(parents=True)
        for seed in seeds:
            Image.fromarray(picture(seed)).save(folder / split / f"{seed:02}.png")
    Image.fromarray(picture(24)).save(folder / "train" / "encoded.jpg", quality=20)
    Image.fromarray(picture(25)).resize((64, 64), Image.Resampling.LANCZOS).save(folder / "train" / "smaller.png")
    Image.fromarray(picture(26)[:, ::-1]).save(folder / "val" / "turned.png")
    Image.fromarray(picture(20, 1200)).save(folder / "train" / "larger.webp", quality=80)
    Image.fromarray(picture(0)[:, ::-1]).save(folder / "train" / "turned in train.png")  # in one split: its own affair
    for split in ("train", "test"):
        Image.fromarray(np.full((96, 96, 3), 3 + len(split), np.uint8)).save(folder / split / f"blank {split}.png")
    _, proposal = proposed(params, folder)
    assert proposal.left_out == {
        "train/encoded.jpg": "looks like test/24.png",
        "train/smaller.png": "looks like test/25.png",
        "val/turned.png": "looks like test/26.png, mirrored",
        "train/larger.webp": "looks like val/20.png",
    }
    assert {split: len(ids) for split, ids in given(proposal).items()} == {"train": 22, "val": 4, "test": 7}


def test_splits_are_drawn_so_that_none_shows_what_another_does(params: Params, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for seed in range(12):
        Image.fromarray(picture(seed)).save(tmp_path / "set" / f"{seed}.png")
        Image.fromarray(picture(seed)).save(tmp_path / "set" / f"{seed} again.jpg", quality=30)
    _, proposal = proposed(params, tmp_path / "set", hr_size="as-is")
    assert proposal.left_out
    splits = given(proposal)
    assert set(splits) == {"train", "val", "test"}
    split_of: dict[str, set[str]] = {}
    for split, ids in splits.items():
        for image in ids:
            split_of.setdefault(re.match(r"\d+", image)[0], set()).add(split)  # type: ignore[index]
    assert len(split_of) == 12 and all(len(found) == 1 for found in split_of.values())


def test_a_split_of_copies_alone_is_told(params: Params, tmp_path: Path) -> None:
    for split, name in {"train": "a.png", "test": "b.png"}.items():
        (tmp_path / "set" / split).mkdir(parents=True)
        Image.fromarray(picture(1)).save(tmp_path / "set" / split / name)
    Image.fromarray(picture(1)[:, ::-1]).save(tmp_path / "set" / "train" / "a.png")
    with pytest.raises(SrledgerError, match=r"no image of the train split(.|\n)*train/a.png: looks like test/b.png"):
        proposed(params, tmp_path / "set")


def test_a_name_that_two_images_share_is_not_ignored(params: Params, tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / "set" / split / "a.png", like="one")
    save(tmp_path / "set" / "train" / "b.png")
    with pytest.raises(SrledgerError, match=r"train/a.png: the same picture as test/a.png(.|\n)*no other image has"):
        proposed(params, tmp_path / "set")


def test_what_is_no_image_is_named_and_left_out(params: Params, birds: Path) -> None:
    (birds / "notes.txt").write_text("x")
    (birds / "[1].csv").write_text("a,b")
    (birds / "broken.png").write_text("hello")
    (birds / "thumbnails").mkdir()
    (birds / ".hidden").write_text("x")
    save(birds / "tiny.png", 3, 3)
    survey = survey_folder(birds)
    assert [seen.name for seen in survey.broken] == ["broken.png"] and "text" in survey.broken[0].problem
    assert [seen.name for seen in survey.others] == ["[1].csv", "notes.txt"]
    _, proposal = proposed(params, birds)
    assert proposal.config["skip_unreadable"] is True
    assert proposal.config["ignore"][3:] == ["*.csv", "*.txt", "thumbnails", "tiny.png"]
    assert sum(map(len, given(proposal).values())) == 12


def test_a_film_among_the_images_costs_no_memory(project: Path, birds: Path) -> None:
    sizes_bytes = {"movie.mp4": 6 << 30, "points.csv": 6 << 30, "x.png": 600_000_000}
    for name, size_bytes in sizes_bytes.items():
        with (birds / name).open("wb") as film:
            film.truncate(size_bytes)
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({4 << 30}, {4 << 30})); {COMMAND[2]}"
    done = subprocess.run(
        [sys.executable, "-c", limited, "add-dataset", str(birds), "--licence", "mine", "--dry-run"],
        cwd=project, capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, size_bytes in sizes_bytes.items():
        assert f"{name}: {size_bytes} bytes, more than a picture" in done.stdout
    assert '"*.mp4"' in done.stdout and "skip_unreadable: true" in done.stdout


@pytest.mark.parametrize(
    ("bits", "kind"), [(12, "grey"), (12, "rgb"), (12, "rgba"), (14, "grey"), (16, "grey"), (16, "rgb")]
)
def test_images_that_use_a_small_part_of_16_bits_are_told(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], bits: int, kind: str
) -> None:
    rng = np.random.default_rng(bits)
    channels, colour = {"grey": (1, 0), "rgb": (3, 2), "rgba": (4, 6)}[kind]
    (tmp_path / "deep").mkdir()
    for k in range(3):
        values = rng.integers(0, 1 << bits, (24, 24, channels)).astype(">u2")
        values[0, 0] = (1 << bits) - 1
        values[1:, :, 3:] = 0xFFFF  # what lies below transparent pixels is stored all the same
        data = png(24, 24, 16, colour, b"".join(b"\0" + row.tobytes() for row in values))
        (tmp_path / "deep" / f"{k}.png").write_bytes(data)
    save(tmp_path / "deep" / "of 8 bits.png", 24, 24)
    add_dataset(project, tmp_path / "deep", Wishes(licence="mine"), dry_run=True, sure=False)
    said = " ".join(capsys.readouterr().out.split())
    warned = "no value of the 3 images with 16 bits a channel is above 4095 of 65535, so 16 of 256 levels are left"
    assert (warned in said) == (bits == 12) and ("multiplied by 16 first" in said) == (bits == 12)


@pytest.mark.parametrize(
    ("sizes", "wishes", "hr_size_px", "left_out"),
    [
        ([(70, 70), (66, 66), (80, 80), (90, 90)], {}, 64, 0),
        ([(70, 70), (66, 66), (80, 80), (90, 90)], {"scale_factor": 8, "hr_size": "as-is"}, None, 0),
        ([(70, 70), (66, 66), (80, 80), (90, 90)], {"hr_size": "68"}, 68, 1),
        ([(70, 60), (66, 66), (80, 80), (90, 90)], {}, None, 0),
        ([(70, 60), (66, 66), (80, 80), (90, 90)], {"hr_size": "64"}, 64, 1),
        ([(7, 7), (6, 6), (5, 5)], {}, None, 0),
    ],
)
def test_the_hr_size(
    params: Params, tmp_path: Path, sizes: list[tuple[int, int]], wishes: dict, hr_size_px: int | None, left_out: int
) -> None:
    for k, (height_px, width_px) in enumerate(sizes):
        save(tmp_path / "set" / f"{k}.png", height_px, width_px)
    _, proposal = proposed(params, tmp_path / "set", **wishes)
    assert proposal.hr_size_px == hr_size_px and len(proposal.left_out) == left_out


@pytest.mark.parametrize("hr_size", ["66", "4", "-8", "x", "64px"])
def test_an_hr_size_that_cant_be(params: Params, birds: Path, hr_size: str) -> None:
    with pytest.raises(SrledgerError, match=r"HR size that can't be used(.|\n)*a multiple of 4"):
        proposed(params, birds, hr_size=hr_size)


def test_landmarks_and_their_identities(params: Params, birds: Path) -> None:
    point = ",".join(["5"] * len(COORDINATES))
    rows = [f"{k:02}.png,person{k // 3},{point}" for k in range(12)]
    (birds / "points.csv").write_text("\n".join([f"file,identity,{','.join(COORDINATES)}", *rows]) + "\n")
    _, proposal = proposed(params, birds)
    assert proposal.config["landmarks_csv"] == "points.csv"
    images = list(Folder(source_config(proposal.config)).images())
    assert len(images) == 12 and all(image.landmarks is not None for image in images)
    assert len({(image.identity, image.split) for image in images}) == 4


@pytest.mark.parametrize("mistake", ["outside", "no row", "no file"])
def test_a_mistake_in_the_landmarks_file_is_mended_there(project: Path, birds: Path, mistake: str) -> None:
    rows = {f"{k:02}.png": ["5"] * len(COORDINATES) for k in range(12)}
    if mistake == "outside":
        rows["03.png"][0] = "400"
    elif mistake == "no row":
        del rows["03.png"]
    else:
        rows["lost.png"] = rows["03.png"]
    lines = [",".join([name, *points]) for name, points in rows.items()]
    (birds / "points.csv").write_text("\n".join([f"file,{','.join(COORDINATES)}", *lines]) + "\n")
    with pytest.raises(SrledgerError) as raised:
        add_dataset(project, birds, Wishes(licence="mine"), dry_run=True, sure=False)
    mend = raised.value.facts["mend"]
    assert "row" in mend and "points.csv" in str(raised.value)
    assert "ignore" not in mend and "skip_unreadable" not in mend


def test_the_mirror_is_not_written_as_a_path(params: Params, birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRLEDGER_MIRROR", str(birds.parent))
    _, proposal = proposed(params, birds)
    assert proposal.config["path"] == "Some birds" and "root_env" not in proposal.config
    assert sum(map(len, given(proposal).values())) == 12


def test_a_benchmark_of_the_mirror(params: Params, mirror: Path) -> None:
    _, proposal = proposed(params, mirror / "general" / "Set5", name="five")
    assert (proposal.degradation, proposal.scale_factor) == ("given_lr", 4)
    assert proposal.config["path"] == "general" and proposal.config["lr_folder"] == "Set5_LRx4_matlab"
    assert len(given(proposal)["test"]) == 5


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"name": "faces"}, r"there is a dataset 'faces'(.|\n)*nearest: +faces_2"),
        ({"name": "my birds"}, r"can't be a key(.|\n)*letters, digits"),
        ({"name": "4birds"}, r"can't be a key"),
        ({"scales": ("quikc",)}, r"unknown scale(.|\n)*nearest: +quick"),
        ({"degradation": "bicubik"}, r"unknown degradation(.|\n)*nearest: +bicubic"),
        ({"scale_factor": 64}, r"no image fits(.|\n)*smaller than 64 px"),
    ],
)
def test_wishes_that_cant_be(params: Params, birds: Path, wishes: dict, said: str) -> None:
    with pytest.raises(SrledgerError, match=said):
        proposed(params, birds, **wishes)


def test_places_that_cant_be(project: Path) -> None:
    (project / "data" / "quick").mkdir(parents=True)
    (project.parent / "link").symlink_to(project / "data")
    for place, said in {
        project / "nowhere": "no such folder",
        project / "params.yaml": "a file, where a folder",
        project / "data" / "quick": "the project itself writes",
        project.parent / "link": "the project itself writes",
        project.parent: "contains the project",
    }.items():
        with pytest.raises(SrledgerError, match=said):
            check_folder(place, project)


def test_folders_without_images(params: Params, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SrledgerError, match=r"no images(.|\n)*0 other files"):
        proposed(params, tmp_path / "empty")
    (tmp_path / "empty" / "a.png").write_text("hello")
    with pytest.raises(SrledgerError, match=r"no images(.|\n)*a\.png: not an image"):
        proposed(params, tmp_path / "empty")


def test_links_that_go_in_circles(params: Params, birds: Path) -> None:
    (birds / "more").symlink_to(birds)
    os.mkfifo(birds / "fifo")
    _, proposal = proposed(params, birds)
    assert proposal.config["ignore"][3:] == ["fifo", "more"] and sum(map(len, given(proposal).values())) == 12


def test_everything_is_written_and_can_be_loaded(
    project: Path, birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wishes = Wishes(name="birds", scales=("smoke", "paper"), licence="own photographs", redistributable=True)
    add_dataset(project, birds, wishes, dry_run=True, sure=False)
    assert (project / "params.yaml").read_bytes() == PARAMS.read_bytes()
    assert not (project / "scratch" / "sources").exists()
    add_dataset(project, birds, wishes, dry_run=False, sure=True)
    for scale in ("smoke", "paper"):
        loaded = Params.load(project, scale)
        assert loaded.tasks["birds_x4"].hr_size_px == 40 and loaded.datasets["birds"].source == "folder"
        assert loaded.priors["uniform"].tasks[-1] == "birds_x4"
    assert Params.load(project, "smoke").evaluations["bicubic_on_birds_x4"].active
    assert Params.load(project, "quick").datasets["birds"].source is None
    listing = json.loads((project / "scratch" / "sources" / "birds.json").read_text())
    assert listing["03.png"]["size_bytes"] == (birds / "03.png").stat().st_size and len(listing) == 12
    with Image.open(project / "scratch" / "contact_sheets" / "birds.png") as sheet:
        assert sheet.width > 500
    said = capsys.readouterr().out
    assert "12 (.png 12)" in said and "40x40 px, all of one size" in said
    assert "+  birds_x4: { dataset: birds, degradation: bicubic, scale_factor: 4, hr_size_px: 40 }" in said
    assert "next: srledger repro --scale smoke --only bicubic_on_birds_x4" in said


def test_nothing_is_written_without_a_yes_or_a_licence(project: Path, birds: Path) -> None:
    for arguments, said in {
        (): '--licence "CC0-1.0"',
        ("--licence", "mine"): "add --yes",
        ("--licence", "mine", "--name", "faces"): "nearest:  faces_2",
    }.items():
        done = subprocess.run(
            [*COMMAND, str(birds), *arguments], cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
    assert (project / "params.yaml").read_bytes() == PARAMS.read_bytes()


@pytest.mark.parametrize(("typed", "written"), [("y\n", True), ("n\n", False), ("\x03", False)])
def test_a_person_is_asked(project: Path, birds: Path, typed: str, written: bool) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [*COMMAND, str(birds)], cwd=project, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal, as at a terminal
    )  # fmt: skip
    os.close(theirs)
    said, answers = b"", [(b"in the report)", "own photographs\n"), (b"Write this to params.yaml?", typed)]
    while True:
        if not select.select([ours], [], [], 1.0)[0]:
            if not answers and typed == "\x03":  # pressed in the moment before Python reads, it is forgotten: once more
                os.write(ours, b"\x03")
            continue
        try:
            said += os.read(ours, 4096)
        except OSError:  # the terminal closed
            break
        if answers and answers[0][0] in said:
            os.write(ours, answers.pop(0)[1].encode())
    assert (done.wait() == 0) == written and not answers and b"Traceback" not in said
    assert ("own photographs" in (project / "params.yaml").read_text(encoding="utf-8")) == written


def test_broken_params_are_said_to_be_so_first(project: Path, birds: Path) -> None:
    (project / "params.yaml").write_text("scale: [quick\n")
    with pytest.raises(SrledgerError, match="not valid YAML"):
        add_dataset(project, birds, Wishes(licence="mine"), dry_run=False, sure=True)
    (project / "params.yaml").unlink()
    with pytest.raises(SrledgerError, match="missing"):
        add_dataset(project, birds, Wishes(licence="mine"), dry_run=False, sure=True)


def test_an_edited_folder_is_accepted(project: Path, birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SrledgerError, match="no dataset reads this folder"):
        update_dataset(project, birds, "", dry_run=False, sure=True)
    add_dataset(project, birds, Wishes(scales=("smoke", "quick"), licence="mine"), dry_run=False, sure=True)
    before = (project / "params.yaml").read_text(encoding="utf-8")
    update_dataset(project, birds, "", dry_run=False, sure=True)
    assert (project / "params.yaml").read_text(encoding="utf-8") == before
    (birds / "03.png").rename(birds / "renamed.png")
    save(birds / "04.png", like="another")
    with pytest.raises(SrledgerError, match=r"does not read this folder(.|\n)*nearest: +some_birds"):
        update_dataset(project, birds, "sone_birds", dry_run=False, sure=True)
    capsys.readouterr()
    update_dataset(project, birds, "some_birds", dry_run=True, sure=False)
    assert (project / "params.yaml").read_text(encoding="utf-8") == before
    update_dataset(project, birds, "some_birds", dry_run=False, sure=True)
    said = capsys.readouterr().out
    assert "added: renamed.png" in said and "removed: 03.png" in said and "changed: 04.png" in said
    after = (project / "params.yaml").read_text(encoding="utf-8")
    changed = [(old, new) for old, new in zip(before.split("\n"), after.split("\n"), strict=True) if old != new]
    assert len(changed) == 2 and all(re.match(r" +files_sha256: ", new) for _, new in changed)
    config = Params.load(project, "quick").datasets["some_birds"].config
    assert config is not None and len(list(Folder(config).images())) == 12  # type: ignore[arg-type]


@pytest.mark.parametrize("edited", ["ignore", "splits"])
def test_an_entry_edited_by_hand_is_accepted_in_one_step(project: Path, birds: Path, edited: str) -> None:
    (birds / "odd.txt").write_text("so that there is an ignore list")
    if edited == "splits":
        for k, file in enumerate(sorted(birds.glob("*.png"))):
            (birds / ("train" if k else "test")).mkdir(exist_ok=True)
            file.rename(birds / ("train" if k else "test") / file.name)
        (birds / "odd.txt").rename(birds / "train" / "odd.txt")
    add_dataset(project, birds, Wishes(scales=("quick",), licence="mine"), dry_run=False, sure=True)
    path = project / "params.yaml"
    text = path.read_text(encoding="utf-8")
    old, new = {
        "ignore": ('"*.txt"]', '"*.txt", 03.png]'),
        "splits": ("splits: { train: train, test: test }", "splits: { test: train }"),
    }[edited]
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")

    def read() -> list[str]:
        config = Params.load(project, "quick").datasets["some_birds"].config
        return [image.id for image in Folder(config).images()]  # type: ignore[arg-type]

    with pytest.raises(SrledgerError, match="the set changed") as raised:
        read()
    command = re.search(r"`srledger (.*)`", raised.value.facts["mend"])
    assert command is not None
    words = shlex.split(command[1])
    done = subprocess.run([*COMMAND[:-1], *words, "--yes"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "removed: " in done.stdout and len(read()) == 11


def test_an_entry_that_scales_share_is_updated_once(project: Path, birds: Path) -> None:
    add_dataset(project, birds, Wishes(scales=("celeba_cpu",), licence="mine"), dry_run=False, sure=True)
    path = project / "params.yaml"
    text = re.sub(r"\n +files_sha256: .*(\n +licence: mine)", r"\1", path.read_text(encoding="utf-8"))
    text = text.replace("\n      some_birds:\n", "\n      some_birds: &some_birds\n")
    head, tail = text.split("\n  celeba_gpu:\n")
    path.write_text(f"{head}\n  celeba_gpu:\n{tail.replace('some_birds: null', 'some_birds: *some_birds')}")
    assert path.read_text().count("*some_birds") == 2
    update_dataset(project, birds, "", dry_run=False, sure=True)
    scales = ("celeba_cpu", "celeba_gpu", "paper")
    configs = [Params.load(project, scale).datasets["some_birds"].config for scale in scales]
    (found,) = {getattr(config, "files_sha256", None) for config in configs}
    assert found is not None
    assert len(path.read_text().split("\n")) == len(text.split("\n")) + 1


def test_the_sheet_shows_images_from_all_over_a_split() -> None:
    sampler = Sampler()
    for k in range(1000):
        sampler.offer(SourceImage(f"i{k}", "test", np.zeros((8, 8, 3), np.uint8)))
    shown = [int(re.findall(r"i(\d+)", tile.label)[0]) for tile in sampler.tiles]
    assert 8 <= len(shown) <= 16 and shown[0] == 0 and shown[-1] >= 850 and len(set(np.diff(shown))) == 1


def test_images_without_a_reference_keep_their_size(params: Params, birds: Path) -> None:
    _, proposal = proposed(params, birds, degradation="none")
    assert (proposal.task, proposal.degradation, proposal.scale_factor) == ("some_birds_x1", "none", 1)
    assert proposal.hr_size_px == 40
    with pytest.raises(SrledgerError, match="restored at their own size"):
        proposed(params, birds, degradation="none", scale_factor=4)
