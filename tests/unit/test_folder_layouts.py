"""How folders of images are laid out: splits by folder or share, identities, LR files, tables, hashes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_folders import POINTS, RGB, folder, landmarks, save, sha256

from srledger.data._content import digest_files, files_sha256
from srledger.data._landmark_table import COORDINATES
from srledger.errors import SrledgerError


def test_lr_files_are_paired_by_stem(tmp_path: Path) -> None:
    save(tmp_path / "hr" / "a.png")
    lr = save(tmp_path / "lr" / "a.bmp", RGB[::4, ::4])
    (image,) = folder(tmp_path, splits={"test": "hr"}, lr_folder="lr").images()
    np.testing.assert_array_equal(image.lr, RGB[::4, ::4])
    lr.rename(lr.with_name("b.bmp"))
    with pytest.raises(SrledgerError, match=r"no LR file(.|\n)*a\.png"):
        list(folder(tmp_path, splits={"test": "hr"}, lr_folder="lr").images())


def shares(path: Path, **fields: Any) -> dict[str, str]:
    """The split of every image."""
    source = folder(path, splits=None, split_shares={"train": 0.6, "val": 0.2, "test": 0.2}, **fields)
    return {image.id: image.split for image in source.images()}


def test_shares_draw_each_file_by_its_name(tmp_path: Path) -> None:
    for k in range(60):
        save(tmp_path / f"{k:02}.png", RGB[:1, :1])
    drawn = shares(tmp_path)
    counts = {split: list(drawn.values()).count(split) for split in ("train", "val", "test")}
    assert list(drawn.values()) == ["train"] * counts["train"] + ["val"] * counts["val"] + ["test"] * counts["test"]
    assert 24 <= counts["train"] <= 48 and min(counts.values()) >= 4
    for k in range(0, 60, 7):
        (tmp_path / f"{k:02}.png").unlink()
    assert shares(tmp_path).items() <= drawn.items()  # the others stay where they were
    assert shares(tmp_path, split_seed=1) != shares(tmp_path)


def test_shares_keep_an_identity_together(tmp_path: Path) -> None:
    rows = [f"{who}{k}.png,{who},{','.join(map(str, POINTS))}" for who in "abcdefghijklmnopqrst" for k in range(3)]
    for row in rows:
        save(tmp_path / "set" / row.split(",")[0])
    (tmp_path / "set" / "points.csv").write_text("\n".join([f"file,identity,{','.join(COORDINATES)}", *rows]))
    drawn = shares(tmp_path / "set", landmarks_csv="points.csv")
    for row in rows:
        name, identity, *_ = row.split(",")
        save(tmp_path / "people" / identity / name)
    assert len(drawn) == 60 and set(drawn.values()) == {"train", "val", "test"}
    assert all(len({drawn[f"{who}{k}"] for k in range(3)}) == 1 for who in "abcdefghijklmnopqrst")
    by_folder = shares(tmp_path / "people", identity_folders=True)
    assert {name.split("_")[1]: split for name, split in by_folder.items()} == drawn


def test_a_share_that_gets_no_image(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(SrledgerError, match=r"no images for the \w+ split(.|\n)*1 images in all(.|\n)*split_seed"):
        shares(tmp_path)


def test_identity_folders(tmp_path: Path) -> None:
    for name in ("test/anna/1.png", "test/Zoë/1.png", "test/.git/x.png"):
        save(tmp_path / name)
    fields: dict[str, Any] = {"splits": {"test": "test"}, "identity_folders": True}
    images = list(folder(tmp_path, **fields).images())
    assert [(image.id, image.identity) for image in images] == [
        (f"test_Zo__1-{sha256('test/Zoë/1.png')[:8]}", "Zoë"),
        ("test_anna_1", "anna"),
    ]
    landmarks(tmp_path, {"test/anna/1.png": POINTS, "test/Zoë/1.png": POINTS})
    with pytest.raises(SrledgerError, match=r"points.csv:3 says another identity(.|\n)*Zoë/1.png"):
        list(folder(tmp_path, landmarks_csv="points.csv", **fields).images())
    save(tmp_path / "test" / "lost.png")
    save(tmp_path / "test" / "anna" / "more" / "1.png")
    (tmp_path / "test" / "nobody").mkdir()
    source = folder(tmp_path, skip_unreadable=True, **fields)
    assert len(list(source.images())) == 2
    assert [name for name, _ in source.left_out] == ["test/anna/more", "test/lost.png", "test/nobody"]


def test_what_is_ignored_is_not_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    for name in ("Thumbs.db", "desktop.ini", ".hidden", "notes.txt"):
        (tmp_path / name).write_text("no image")
    with pytest.raises(SrledgerError, match=r"where:.*notes\.txt\n"):
        list(folder(tmp_path).images())
    with pytest.raises(SrledgerError, match="3 files"):
        list(folder(tmp_path, ignore=("*.txt",)).images())
    source = folder(tmp_path, ignore=("*.txt", ".*", "[Td]*.[di]*"))
    assert [image.id for image in source.images()] == ["a"] and source.left_out == []


def test_the_lr_file_of_an_image_is_found_by_its_whole_name(tmp_path: Path) -> None:
    for k, name in enumerate(("anna/1", "bert/1")):
        save(tmp_path / "hr" / f"{name}.png")
        save(tmp_path / "lr" / f"{name}.bmp", RGB[k : k + 1])
    fields: dict[str, Any] = {"splits": {"test": "hr"}, "lr_folder": "lr", "identity_folders": True}
    for k, image in enumerate(folder(tmp_path, **fields).images()):
        np.testing.assert_array_equal(image.lr, RGB[k : k + 1])
    (tmp_path / "lr" / "bert" / "1.bmp").write_text("torn")
    source = folder(tmp_path, skip_unreadable=True, **fields)
    assert [image.identity for image in source.images()] == ["anna"]
    assert "its LR file lr/bert/1.bmp: not an image" in dict(source.left_out)["hr/bert/1.png"]
    save(tmp_path / "lr" / "bert" / "1.png")
    with pytest.raises(SrledgerError, match="two LR files would belong to one image"):
        folder(tmp_path, **fields)


def test_two_splits_cant_share_an_lr_file(tmp_path: Path) -> None:
    for name in ("train/a.png", "test/a.png", "lr/a.png"):
        save(tmp_path / name)
    with pytest.raises(SrledgerError, match="two images would share one LR file"):
        folder(tmp_path, splits={"train": "train", "test": "test"}, lr_folder="lr")


def test_one_hash_for_all_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "odd\\n\n.png"):
        save(tmp_path / name)
    save(tmp_path / "lr" / "a.png")
    save(tmp_path / "lr" / "b.png")
    save(tmp_path / "lr" / "odd\\n\n.png")
    save(tmp_path / "lr" / "unpaired.png")
    landmarks(tmp_path, {"a.png": POINTS, "b.png": POINTS})
    text = (tmp_path / "points.csv").read_text()
    (tmp_path / "points.csv").write_text(text + '"odd\\n\n.png",,' + ",".join(map(str, POINTS)) + "\n")
    fields: dict[str, Any] = {"lr_folder": "lr", "landmarks_csv": "points.csv", "max_images": {"test": 1}}
    source = folder(tmp_path, **fields)
    names = [str(file.relative_to(tmp_path)) for file in source.watched_files()]
    assert sorted(names) == sorted({str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")} - {"lr/unpaired.png"})
    printed = subprocess.run(["sha256sum", *names], cwd=tmp_path, capture_output=True, check=True).stdout
    expected = sha256(b"".join(sorted(printed.splitlines(keepends=True))))
    assert files_sha256(digest_files(tmp_path, source.files())) == expected
    assert len(list(folder(tmp_path, files_sha256=expected, **fields).images())) == 1
    save(tmp_path / "b.png", RGB[::-1].copy())
    with pytest.raises(SrledgerError, match=r"the set changed(.|\n)*srledger add-dataset .* --update`") as raised:
        list(folder(tmp_path, files_sha256=expected, **fields).images())
    accepted = raised.value.facts["found"]
    assert accepted in raised.value.facts["mend"] and f"add-dataset {tmp_path} --update" in raised.value.facts["mend"]
    assert len(list(folder(tmp_path, files_sha256=accepted, **fields).images())) == 1


def test_a_changed_file_stops_also_where_refused_ones_are_left_out(tmp_path: Path) -> None:
    data = save(tmp_path / "a.png").read_bytes()
    save(tmp_path / "new.png")
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{sha256(data)}  a.png\n")
    source = folder(tmp_path, sha256sums_sha256=sha256(sums.read_bytes()), skip_unreadable=True)
    with pytest.raises(SrledgerError, match=r"data changed(.|\n)*no line for it(.|\n)*new\.png(.|\n)*sha256sum -c"):
        list(source.images())
    assert source.watched_files() == [tmp_path / "a.png", tmp_path / "new.png", sums]


def test_files_with_another_part_in_the_set_are_no_images(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "tests" / "deep" / "b.png")
    landmarks(tmp_path, {"a.png": POINTS, "tests/deep/b.png": POINTS})
    source = folder(tmp_path, splits={"train": ".", "test": "tests/deep"}, landmarks_csv="points.csv")
    assert [(image.id, image.split) for image in source.images()] == [("a", "train"), ("tests_deep_b", "test")]


def test_subfolders_that_say_nothing_of_who_is_shown(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        save(tmp_path / name)
    images = list(folder(tmp_path, subfolders=True).images())
    assert [(image.id, image.identity) for image in images] == [("a_1", None), ("b_1", None)]
    save(tmp_path / "lost.png")
    with pytest.raises(SrledgerError, match=r"stands in no subfolder(.|\n)*lost.png"):
        list(folder(tmp_path, subfolders=True).images())
    with pytest.raises(ValueError, match="either identity_folders or subfolders"):
        folder(tmp_path, subfolders=True, identity_folders=True)


def test_an_empty_folder_and_an_empty_subfolder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(SrledgerError, match=r"no images for the test split(.|\n)*put images there"):
        folder(tmp_path / "set", subfolders=True)
    (tmp_path / "set" / "a").mkdir()
    with pytest.raises(SrledgerError, match="a folder without images"):
        list(folder(tmp_path / "set", subfolders=True).images())


def test_a_box_takes_its_part_of_every_image_and_the_landmarks_there(tmp_path: Path) -> None:
    save(tmp_path / "test" / "1.png")
    landmarks(tmp_path, {"test/1.png": POINTS})
    fields: dict[str, Any] = {"splits": {"test": "test"}, "landmarks_csv": "points.csv", "box_px": (3, 2, 13, 11)}
    (image,) = folder(tmp_path, **fields).images()
    np.testing.assert_array_equal(image.pixels, RGB[2:11, 3:13])
    np.testing.assert_array_equal(image.landmarks, np.reshape(POINTS, (5, 2)) - [3, 2])


def test_an_image_that_does_not_hold_the_box_is_refused_by_name(tmp_path: Path) -> None:
    save(tmp_path / "large.png")
    save(tmp_path / "small.png", RGB[:8])
    (tmp_path / "torn.png").write_bytes((tmp_path / "large.png").read_bytes()[:60])
    with pytest.raises(SrledgerError) as caught:
        list(folder(tmp_path, box_px=(0, 0, 12, 10)).images())
    said = str(caught.value)
    assert "small.png: 16 x 8 px, which do not hold box_px [0, 0, 12, 10]" in said
    assert "torn.png: broken or cut off" in said
    source = folder(tmp_path, box_px=(0, 0, 12, 10), skip_unreadable=True)
    assert [image.id for image in source.images()] == ["large"]
    assert [name for name, _ in source.left_out] == ["small.png", "torn.png"]


@pytest.mark.parametrize("box_px", [(4, 0, 4, 8), (0, 9, 8, 8), (-1, 0, 8, 8)])
def test_a_box_without_pixels(tmp_path: Path, box_px: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="box_px is"):
        folder(tmp_path, box_px=box_px)
    with pytest.raises(ValueError, match="LR files"):
        folder(tmp_path, box_px=(0, 0, 8, 8), lr_folder="lr")


def test_sets_without_the_newer_settings_keep_the_hash_of_their_settings(tmp_path: Path) -> None:
    written = folder(tmp_path_with_image(tmp_path)).config.model_dump(mode="json")
    assert not {"subfolders", "box_px"} & written.keys()
    assert folder(tmp_path, box_px=(0, 0, 8, 8)).config.model_dump(mode="json")["box_px"] == [0, 0, 8, 8]


def tmp_path_with_image(path: Path) -> Path:
    save(path / "1.png")
    return path
