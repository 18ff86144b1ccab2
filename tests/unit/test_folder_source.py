"""Folders of images: what is read, how it becomes RGB, and an error a person can act on for every bad input."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_folders import POINTS, RGB, folder, landmarks, save, sha256
from PIL import Image

from srledger.data._read_ahead import in_order
from srledger.data.folder import Config, Folder
from srledger.errors import SrledgerError


def only_image(path: Path, **fields: Any) -> np.ndarray:
    (image,) = folder(path, **fields).images()
    return image.pixels


def test_ids_splits_and_order(tmp_path: Path) -> None:
    for name in ("train/b.png", "train/a.PNG", "train/Ö ä.png", "test/a.png"):
        save(tmp_path / name)
    (tmp_path / "train" / ".DS_Store").write_text("left out on purpose")
    source = folder(tmp_path, splits={"test": "test", "train": "train"}, max_images={"train": 2}, redistributable=True)
    assert [(image.id, image.split) for image in source.images()] == [
        ("train_a", "train"),
        ("train_b", "train"),
        ("test_a", "test"),
    ]
    assert (source.licence, source.redistributable) == ("ours", True)
    every = [image.id for image in folder(tmp_path, splits={"train": "train"}).images()]
    assert every == ["train_a", "train_b", f"train____-{sha256('train/Ö ä.png')[:8]}"]
    assert all(image.pixels.tolist() == RGB.tolist() for image in source.images())


def test_odd_names_keep_apart(tmp_path: Path) -> None:
    names = ["Ö.png", "Ü.png", "Ü.jpg", "_.png", "-.png", "(1).png", "a b.png", "a_b.png", "v1.2", "v1.3"]
    for name in names:
        save(tmp_path / "images" / name, format="PNG")
    ids = {image.id for image in folder(tmp_path / "images").images()}
    marked = {"image": ["Ö.png", "Ü.png", "Ü.jpg", "_.png", "-.png"], "1_": ["(1).png"], "a_b": ["a b.png"]}
    assert ids == {"a_b", "v1.2", "v1.3"} | {f"{id}-{sha256(n)[:8]}" for id, group in marked.items() for n in group}


def test_the_variable_names_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "set" / "a.png")
    config = Config(path="set", splits={"val": "."}, licence="ours", root_env="SRLEDGER_TEST_ROOT")
    monkeypatch.delenv("SRLEDGER_TEST_ROOT", raising=False)
    with pytest.raises(SrledgerError, match=r"export SRLEDGER_TEST_ROOT=/path/to/folder.*CelebA"):
        Folder(config)
    monkeypatch.setenv("SRLEDGER_TEST_ROOT", str(tmp_path / "elsewhere"))
    with pytest.raises(SrledgerError, match="no such folder"):
        Folder(config)
    monkeypatch.setenv("SRLEDGER_TEST_ROOT", str(tmp_path))
    assert [image.id for image in Folder(config).images()] == ["a"]


def test_greyscale_palette_and_16_bits_become_rgb(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    as_rgb = np.repeat(grey[..., None], 3, axis=2)
    save(tmp_path / "grey" / "a.png", grey)
    np.testing.assert_array_equal(only_image(tmp_path / "grey"), as_rgb)
    save(tmp_path / "deep" / "a.png", grey.astype(np.uint16) * 257)
    np.testing.assert_array_equal(only_image(tmp_path / "deep"), as_rgb)
    palette = Image.fromarray(grey % 4)
    palette.putpalette([9, 8, 7, 255, 0, 0, 0, 255, 0, 1, 2, 3])
    (tmp_path / "palette").mkdir()
    palette.save(tmp_path / "palette" / "a.png")
    table = np.array([[9, 8, 7], [255, 0, 0], [0, 255, 0], [1, 2, 3]], np.uint8)
    np.testing.assert_array_equal(only_image(tmp_path / "palette"), table[grey % 4])


def test_transparent_pixels_lie_over_white(tmp_path: Path) -> None:
    alpha = np.zeros((12, 16, 1), np.uint8)
    alpha[:, 8:] = 255
    save(tmp_path / "a.png", np.concatenate([RGB, alpha], axis=2))
    pixels = only_image(tmp_path)
    assert (pixels[:, :8] == 255).all()
    np.testing.assert_array_equal(pixels[:, 8:], RGB[:, 8:])


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the file must be turned clockwise
    save(tmp_path / "a.png", RGB, exif=exif)
    np.testing.assert_array_equal(only_image(tmp_path), np.rot90(RGB, -1))


def test_a_text_file_called_png_and_a_torn_jpeg_are_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("hello")
    with pytest.raises(SrledgerError, match=r"b\.png"):
        list(folder(tmp_path).images())
    torn = save(tmp_path / "b.png").with_name("c.jpg")
    save(torn, quality=95)
    torn.write_bytes(torn.read_bytes()[:-200])
    with pytest.raises(SrledgerError, match=r"c\.jpg"):
        list(folder(tmp_path).images())
    assert [image.id for image in folder(tmp_path, skip_unreadable=True).images()] == ["a", "b"]


def test_floating_point_files_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", np.ones((4, 4), np.float32))
    with pytest.raises(SrledgerError, match="unknown range"):
        list(folder(tmp_path).images())


def test_landmarks_and_identity_are_read(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    landmarks(tmp_path, {"a.png": POINTS})
    (image,) = folder(tmp_path, landmarks_csv="points.csv").images()
    assert image.identity == "anna"
    assert image.landmarks is not None
    assert image.landmarks.tolist() == [[4, 4], [11, 4], [8, 7], [5, 9], [10, 9]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a.png": [15.6, *POINTS[1:]]}, r"outside(.|\n)*points.csv:2(.|\n)*left_eye"),
        ({"a.png": ["nan", *POINTS[1:]]}, r"outside(.|\n)*points.csv:2"),
        ({"a.png": ["x", *POINTS[1:]]}, r"not a number(.|\n)*points.csv:2"),
        ({"a.png": POINTS, "b.png": POINTS}, r"not there(.|\n)*points.csv:3"),
        ({}, r"no row(.|\n)*a.png"),
    ],
)
def test_bad_landmarks_name_file_and_row(tmp_path: Path, rows: dict[str, list[float]], message: str) -> None:
    save(tmp_path / "a.png")
    landmarks(tmp_path, rows)
    with pytest.raises(SrledgerError, match=message):
        list(folder(tmp_path, landmarks_csv="points.csv").images())


def test_a_landmarks_file_without_its_columns(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "points.csv").write_text("file,nose_x\na.png,3\n")
    with pytest.raises(SrledgerError, match=r"lacks columns(.|\n)*left_eye_x"):
        folder(tmp_path, landmarks_csv="points.csv")


def test_folders_that_cant_be_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="no images"):
        folder(tmp_path)
    save(tmp_path / "a.png")
    with pytest.raises(SrledgerError, match="two splits"):
        folder(tmp_path, splits={"train": ".", "test": "./"})
    with pytest.raises(SrledgerError, match="leads out"):
        folder(tmp_path, splits={"train": "../x"})
    save(tmp_path / "a.jpg")
    with pytest.raises(SrledgerError, match=r"one name(.|\n)*a\.png"):
        folder(tmp_path)


def test_sha256sums_guard_every_file(tmp_path: Path) -> None:
    data = save(tmp_path / "a.png").read_bytes()
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{hashlib.sha256(data).hexdigest()}  a.png\n")
    pinned = hashlib.sha256(sums.read_bytes()).hexdigest()
    assert len(list(folder(tmp_path, sha256sums_sha256=pinned).images())) == 1
    save(tmp_path / "a.png", RGB[::-1].copy())
    with pytest.raises(SrledgerError, match=r"data changed(.|\n)*a\.png"):
        list(folder(tmp_path, sha256sums_sha256=pinned).images())
    sums.write_text(f"{hashlib.sha256((tmp_path / 'a.png').read_bytes()).hexdigest()}  a.png\n")
    with pytest.raises(SrledgerError, match=r"data changed(.|\n)*SHA256SUMS"):
        folder(tmp_path, sha256sums_sha256=pinned)


def test_one_error_names_all_rows_that_are_wrong(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    landmarks(tmp_path, {"a.png": POINTS, "b.png": POINTS, "c.png": POINTS})
    text = (tmp_path / "points.csv").read_text()
    (tmp_path / "points.csv").write_text(text + "\n\na.png,too,few\na.png,anna," + ",".join(map(str, POINTS)) + "\n")
    with pytest.raises(SrledgerError) as raised:
        folder(tmp_path, landmarks_csv="points.csv")
    said = str(raised.value)
    for row, reason in {
        3: "not there, b.png",
        4: "not there, c.png",
        7: "fewer values",
        8: "line 2 has it too",
    }.items():
        assert re.search(rf"points\.csv:{row}: .*{reason}", said)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0f", b'file,"no end\n', b"\0\0\0"])
def test_a_landmarks_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "points.csv").write_bytes(content)
    with pytest.raises(SrledgerError, match="the landmarks file"):
        folder(tmp_path, landmarks_csv="points.csv")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"splits": None}, "give either splits"),
        ({"split_shares": {"train": 1.0}}, "give either splits"),
        ({"splits": None, "split_shares": {"train": 0.5, "test": 0.4}}, "have the sum 0.9"),
        ({"splits": None, "split_shares": {"train": 1.5, "test": -0.5}}, "greater than 0"),
        ({"splits": None, "split_shares": {"train": float("nan")}}, "greater than 0"),
        ({"max_megapixels": 0.0}, "greater than 0"),
        ({"files_sha256": "abc"}, "match pattern"),
    ],
)
def test_settings_that_cant_be(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        folder(tmp_path, **fields)


def test_a_larger_limit_lets_a_larger_picture_in(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros((100, 101, 3), np.uint8))
    with pytest.raises(SrledgerError, match=r"0\.0101 megapixels, more than max_megapixels \(0\.01\)"):
        list(folder(tmp_path, max_megapixels=0.01).images())
    assert only_image(tmp_path, max_megapixels=0.0101).shape == (100, 101, 3)


def test_an_iteration_can_end_early_and_begin_again(tmp_path: Path) -> None:
    for k in range(40):
        save(tmp_path / f"{k:02}.png")
    source = folder(tmp_path)
    threads = threading.active_count()
    for image in source.images():
        assert image.id == "00"
        break
    assert [image.id for image in source.images()] == [f"{k:02}" for k in range(40)]
    assert threading.active_count() == threads


def test_only_so_many_are_read_ahead() -> None:
    begun: list[int] = []
    results = in_order(lambda item: begun.append(item) or item * item, range(100), workers=2, ahead=5)
    for k in range(50):
        assert next(results) == (k, k * k)
        assert len(begun) <= k + 1 + 5
    results.close()
    assert len(begun) <= 55


def test_real_faces_of_the_mirror(mirror: Path) -> None:
    sums = sha256((mirror / "SHA256SUMS").read_bytes())
    config = Config(
        path="faces/celeba",
        splits={"val": "val", "test": "test"},
        landmarks_csv="landmarks.csv",
        licence="research only",
        sha256sums_sha256=sums,
        max_images={"val": 20, "test": 20},
    )
    images = list(Folder(config).images())
    assert [image.id for image in images[:2]] == ["val_00000", "val_00001"]
    assert {image.pixels.shape for image in images} == {(128, 128, 3)}
    people = {split: {image.identity for image in images if image.split == split} for split in ("val", "test")}
    assert not people["val"] & people["test"]
    # The README's template: eyes, nose and mouth corners of an average face.
    average = np.mean([image.landmarks for image in images if image.landmarks is not None], axis=0)
    np.testing.assert_allclose(average, [[48, 56], [80, 56], [64, 75.9], [49.6, 89.2], [78.2, 89.2]], atol=4)
