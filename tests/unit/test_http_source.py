"""The source `http` and its catalogue: what is downloaded, what stops it, and that it is read as a folder is."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile_server as hostile
import numpy as np
import pytest
from hostile_server import HostileServer
from PIL import Image
from pydantic import ValidationError

from srledger.data import SourceImage
from srledger.data._arrangements import arrange_celeba, arrange_ffhq
from srledger.data._catalogue import Entry, RemoteFile, catalogue
from srledger.data._fetched import DIGESTS, TREE, make_tree, status_of
from srledger.data.folder import Config as FolderConfig
from srledger.data.folder import Folder
from srledger.data.http import Config, Http, centre_square
from srledger.errors import SrledgerError
from srledger.io import sha256_bytes
from srledger.plugins import plugin_class, plugin_config, plugin_names

NAMES = ("celeba", "ffhq_thumbnails_128", "div2k", "set5", "set14", "b100", "realsr", "screensr")


def picture(seed: int, height: int = 12, width: int = 10, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


PICTURES = {f"set/{split}/{k}.png": picture(k + 10 * n) for n, split in enumerate(("train", "test")) for k in range(3)}
ARCHIVE = packed({**PICTURES, "set/readme.txt": b"words", "set/train/broken.png": b"no picture"})


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    for name in ("SRLEDGER_CACHE", "SRLEDGER_DOWNLOADS"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    return {"cache": tmp_path / "SRLEDGER_CACHE", "own": tmp_path / "SRLEDGER_DOWNLOADS"}


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


def config(**fields: Any) -> Config:
    """As params.yaml is read: from JSON, strictly."""
    return Config.model_validate_json(json.dumps(fields))


def of_archive(url: str | None, data: bytes = ARCHIVE, **fields: Any) -> Config:
    file = {"url": url, "sha256": sha256_bytes(data), "archive": "zip", "members": r".*/\d\.png"}
    file |= {} if url else {"name": "set.zip"}
    layout = {"path": "set/set", "splits": {"train": "train", "test": "test"}}
    return config(**{"files": [file], "folder": layout, "licence": "ours", "redistributable": True, **fields})


def test_it_is_found_as_a_plugin() -> None:
    assert "http" in plugin_names("data") and plugin_class("data", "http") is Http
    assert plugin_config("data", "http") is Config


def test_a_set_is_downloaded_once_and_read_as_a_folder(server: HostileServer, tmp_path: Path) -> None:
    settings = of_archive(server.at("/set.zip", hostile.whole(ARCHIVE)))
    source = Http(settings)
    assert server.requests == []
    got = list(source.images())
    again = list(Http(settings).images())
    assert len(server.requests) == 1 and (source.licence, source.redistributable) == ("ours", True)
    for name, data in PICTURES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    layout = {"train": "train", "test": "test"}
    expected = list(Folder(FolderConfig(path=str(tmp_path / "set"), root_env=None, splits=layout, licence="")).images())
    for images in (got, again):
        assert [(image.id, image.split) for image in images] == [(image.id, image.split) for image in expected]
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(images, expected, strict=True))


def test_a_wrong_archive_leaves_no_tree(server: HostileServer, folders: dict[str, Path]) -> None:
    settings = of_archive(server.at("/set.zip", hostile.whole(ARCHIVE[:-1] + b"!")))
    with pytest.raises(SrledgerError, match="sha256"):
        list(Http(settings).images())
    unsafe = packed({"set/train/0.png": b"", "../1.png": b""})
    with pytest.raises(SrledgerError, match="unsafe name"):
        list(Http(of_archive(server.at("/set.zip", hostile.whole(unsafe)), unsafe)).images())
    assert [path for path in (folders["cache"] / "datasets").rglob("*") if path.suffix != ".lock"] == []


@pytest.mark.parametrize("place", ["own", "cache"])
def test_a_file_that_a_person_downloaded_is_taken_first(
    server: HostileServer, folders: dict[str, Path], place: str
) -> None:
    folder = folders["own"] if place == "own" else folders["cache"] / "downloads"
    folder.mkdir(exist_ok=True)
    (folder / "set.zip").write_bytes(ARCHIVE)
    assert len(list(Http(of_archive(server.at("/set.zip", hostile.status(500)))).images())) == 6
    assert server.requests == []


def test_a_file_for_a_person_is_asked_for_by_name_hash_and_folder(folders: dict[str, Path]) -> None:
    settings = of_archive(None)
    with pytest.raises(SrledgerError) as caught:
        list(Http(settings).images())
    for word in ("set.zip", sha256_bytes(ARCHIVE), str(folders["own"])):
        assert word in str(caught.value)
    (folders["own"] / "set.zip").write_bytes(ARCHIVE + b"!")
    with pytest.raises(SrledgerError, match=sha256_bytes(ARCHIVE + b"!")):
        list(Http(settings).images())
    (folders["own"] / "set.zip").write_bytes(ARCHIVE)
    assert len(list(Http(settings).images())) == 6


def test_single_files_make_a_set(server: HostileServer) -> None:
    files = [
        {"url": server.at(f"/{k}.png", hostile.whole(picture(k))), "sha256": sha256_bytes(picture(k))} for k in range(3)
    ]
    source = Http(config(files=files, folder={"splits": {"test": "."}, "max_images": {"test": 2}}, licence="ours"))
    assert [image.id for image in source.images()] == ["0", "1"]


def archive_into(place: str) -> dict[str, str]:
    return {"name": "set.zip", "sha256": sha256_bytes(ARCHIVE), "archive": "zip", "into": place}


def single_into(place: str, name: str = "0.png", seed: int = 0) -> dict[str, str]:
    return {"name": name, "sha256": sha256_bytes(picture(seed)), "into": place}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        [single_into("hr"), archive_into("hr")],
        [single_into("hr/more"), archive_into("hr")],
        [single_into(".", "hr"), archive_into("hr")],
        [single_into(".", "hr"), archive_into("hr/more")],
        [archive_into("all/test/p1"), archive_into("all/test")],
        [archive_into("all/test"), archive_into("all"), single_into("all-test")],
        [archive_into("hr"), archive_into("HR")],
        [single_into("hr"), single_into("hr", seed=1)],
        [single_into("hr"), single_into("hr/", seed=1)],
        [single_into("."), archive_into(".")],
        [archive_into(".hr.part"), archive_into("hr")],  # as the folder is called while it is filled
    ],
)
def test_files_that_would_take_one_place_are_refused_when_params_are_read(
    files: list[dict[str, str]], turned: bool
) -> None:
    with pytest.raises(ValidationError, match=r"take one place|folder of its own|dot before"):
        config(files=files[::-1] if turned else files, folder={"splits": {"test": "."}}, licence="ours")


def test_files_that_stand_side_by_side_are_taken() -> None:
    files = [archive_into("all/test/p1"), archive_into("all/test/p10"), archive_into("all-test")]
    files += [single_into("all/test"), single_into("all/test", "1.png"), single_into(".")]
    config(files=files, folder={"splits": {"test": "."}}, licence="ours")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (single_into("hr"), archive_into("hr")),
        (archive_into("all/test/p1"), archive_into("all/test")),
        (single_into("hr"), single_into("hr", seed=1)),
        (archive_into("hr"), single_into("hr/set/train", "0.png", seed=1)),
    ],
)
def test_nothing_is_overwritten_while_a_tree_is_made(
    server: HostileServer, folders: dict[str, Path], first: dict[str, str], second: dict[str, str]
) -> None:
    contents = {sha256_bytes(data): data for data in (ARCHIVE, picture(0), picture(1))}
    files = []
    for k, fields in enumerate((first, second)):
        url = server.at(f"/{k}/{fields['name']}", hostile.whole(contents[fields["sha256"]]))
        files.append(RemoteFile.model_validate({**fields, "url": url}))
    with pytest.raises(SrledgerError, match="would overwrite another"):
        make_tree(files, None, None, 1 << 20, allow_http=False)
    assert [path for path in (folders["cache"] / "datasets").iterdir() if path.suffix != ".lock"] == []


@pytest.fixture
def unpacked(folders: dict[str, Path]) -> Path:
    """The tree of the archive, read once."""
    (folders["own"] / "set.zip").write_bytes(ARCHIVE)
    assert len(list(Http(of_archive(None)).images())) == 6
    (digests,) = (folders["cache"] / "datasets").glob(f"*/{DIGESTS}")
    return digests.parent / TREE / "set/set"


def refusal() -> str:
    """What is said when the set is read again; not an image comes before it."""
    with pytest.raises(SrledgerError) as caught:
        next(Http(of_archive(None)).images())
    return str(caught.value)


def test_an_edited_tree_is_refused_by_name_until_it_is_removed(unpacked: Path) -> None:
    (unpacked / "train/1.png").write_bytes(picture(77))
    (unpacked / "test/0.png").rename(unpacked / "test/new.png")
    said = refusal()
    assert "3 files" in said and "train/0.png" not in said
    for name, reason in (("train/1", "changed"), ("test/0", "gone"), ("test/new", "not there")):
        assert re.search(rf"set/{name}\.png: it (is |was )?{reason}", said)
    home = unpacked.parents[2]
    assert f"rm -r {home}" in said
    shutil.rmtree(home)
    assert len(list(Http(of_archive(None)).images())) == 6


def test_one_changed_bit_is_found_though_size_and_date_stay(unpacked: Path) -> None:
    file = unpacked / "train/2.png"
    before, data = file.stat(), bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "train/2.png" in refusal()


@pytest.mark.parametrize("change", ["fifo", "link", "folder link", "torn hashes", "no list"])
def test_a_tree_with_other_than_its_files_is_refused(unpacked: Path, tmp_path: Path, change: str) -> None:
    file = unpacked / "train/0.png"
    if change == "fifo":
        file.unlink()
        os.mkfifo(file)
    elif change == "link":
        file.unlink()
        file.symlink_to(tmp_path / "nowhere.png")
    elif change == "folder link":
        (unpacked / "train/more").symlink_to(tmp_path, target_is_directory=True)
    else:
        (unpacked.parents[2] / DIGESTS).write_text("{" if change == "torn hashes" else "[1]")
    assert "rm -r" in refusal()


def test_a_tree_without_hashes_is_made_anew(unpacked: Path) -> None:
    (unpacked.parents[2] / DIGESTS).unlink()
    (unpacked / "train/0.png").unlink()
    assert len(list(Http(of_archive(None)).images())) == 6


def test_max_bytes_holds_for_download_and_content(server: HostileServer) -> None:
    zeros = packed({"set/train/0.png": bytes(5000)})
    url = server.at("/set.zip", hostile.whole(zeros))
    with pytest.raises(SrledgerError, match="max_bytes"):
        list(Http(of_archive(url, zeros, max_bytes=1000)).images())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "entry"),
        ({"entry": "celebra"}, "celeba"),
        ({"entry": "div2k", "licence": "mine"}, "catalogue states the licence"),
        ({"entry": "div2k", "folder": {"split": {}}}, "splits"),
        ({"entry": "div2k", "folder": {"licence": "mine"}}, "unknown key 'licence'"),
        ({"entry": "div2k", "folder": {"path": "../elsewhere"}}, "below"),
        ({"entry": "div2k", "folder": {"max_images": {"train": 0}}}, "folder.max_images.train"),
        ({"files": [{"url": "https://example.org/a.zip"}], "licence": "x"}, "sha256"),
        ({"files": [{"url": "https://example.org/a.zip", "sha256": "0" * 64}]}, "licence"),
        ({"files": [{"url": "http://example.org/a.zip", "sha256": "0" * 64}], "licence": "x"}, "encrypted"),
        ({"files": [{"url": "https://a:99999/a.zip", "sha256": "0" * 64}], "licence": "x"}, "https://a:99999/a.zip"),
        ({"files": [{"sha256": "0" * 64}], "licence": "x"}, "url or name"),
        ({"files": [{"name": "../a", "sha256": "0" * 64}], "licence": "x"}, "path"),
        ({"files": [{"name": "a", "into": "../b", "sha256": "0" * 64}], "licence": "x"}, "plain name"),
        ({"files": [{"name": "a", "members": "(", "sha256": "0" * 64}], "licence": "x"}, "regular expression"),
        ({"files": [{"name": "a", "sha256": "0" * 64, "archive": "zip"}] * 2, "licence": "x"}, "folder of its own"),
    ],
)
def test_settings_that_can_not_work_are_told_at_once(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config(**fields)


def test_the_catalogue_is_whole_and_says_where_each_hash_was_published() -> None:
    assert tuple(catalogue()) == NAMES
    for entry in catalogue().values():
        assert all(file.source and (file.url or entry.homepage) for file in entry.files)


def test_the_states_of_the_catalogue_name_no_machine(folders: dict[str, Path]) -> None:
    states = {name: status_of(name) for name in NAMES}
    assert {name: state for name, (state, _) in states.items()} == {
        "celeba": "needs consent", "ffhq_thumbnails_128": "can be downloaded", "div2k": "can be downloaded",
        "set5": "can be downloaded", "set14": "can be downloaded", "b100": "can be downloaded",
        "realsr": "unavailable", "screensr": "unavailable",
    }  # fmt: skip
    state, reason = status_of("celeba", accept_licence=True)
    assert state == "unavailable" and "img_align_celeba.zip" in reason
    assert all(str(folder) not in reason for _, reason in states.values() for folder in folders.values())
    for file in catalogue()["celeba"].files:
        (folders["own"] / file.file_name).touch()
    assert status_of("celeba", accept_licence=True) == ("at hand", "downloaded")
    with pytest.raises(SrledgerError, match="celeba"):
        status_of("celebra")


def test_nothing_is_fetched_before_the_licence_is_accepted() -> None:
    with pytest.raises(SrledgerError, match=r"(?s)non-commercial.*accept_licence: true"):
        Http(config(entry="celeba"))
    with pytest.raises(SrledgerError, match="by a person"):  # past the licence, it says what to download
        list(Http(config(entry="celeba", accept_licence=True)).images())


@pytest.mark.parametrize("name", ["realsr", "screensr"])
def test_an_unavailable_entry_shows_what_to_write_instead(name: str) -> None:
    with pytest.raises(SrledgerError, match=r"(?s)no published sha256.*source: folder"):
        Http(config(entry=name))


def test_an_entry_without_a_published_hash_must_say_that_it_is_unavailable() -> None:
    whole = catalogue()["b100"].model_dump()
    file = {**whole["files"][0], "sha256": None}
    with pytest.raises(ValidationError, match="published sha256"):
        Entry.model_validate({**whole, "files": (file,)})
    with pytest.raises(ValidationError, match="no word why"):
        Entry.model_validate({**whole, "files": ()})


def test_the_files_of_the_mirror_are_those_of_the_catalogue(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, folder in (("set5", "Set5"), ("set14", "Set14")):
        monkeypatch.setenv("SRLEDGER_DOWNLOADS", str(mirror / "general" / folder))
        assert status_of(name) == ("at hand", "downloaded")
        ids = [image.id for image in Http(config(entry=name)).images()]
        assert ids == sorted(path.stem for path in (mirror / "general" / folder).glob("*.png"))


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("div2k", ("DIV2K_train_HR/0001.png", "DIV2K_valid_HR/0801.png")),
        ("b100", ("BSR/BSDS500/data/images/val/101085.jpg",)),
    ],
)
def test_an_entry_reads_the_tree_that_its_archives_make(tmp_path: Path, name: str, members: tuple[str, ...]) -> None:
    settings = config(entry=name)
    for file, member in zip(settings.resolved().files, members, strict=True):
        assert re.fullmatch(file.members, member)
        path = tmp_path / file.place / member
        path.parent.mkdir(parents=True)
        path.write_bytes(picture(len(member)))
    assert len(list(Folder(settings.folder_config(tmp_path)).images())) == len(members)


def test_official_celeba_becomes_splits_and_a_table(tmp_path: Path) -> None:
    names = [f"{k:06}.jpg" for k in range(1, 5)]
    folder = tmp_path / "img_align_celeba/img_align_celeba"
    folder.mkdir(parents=True)
    for k, name in enumerate(names):
        (folder / name).write_bytes(picture(k, 218, 178, "jpeg"))
    points = [69, 109, 106, 113, 77, 142, 73, 152, 108, 154]
    (tmp_path / "list_eval_partition.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(names, "0012", strict=True)))
    (tmp_path / "identity_CelebA.txt").write_text("".join(f"{name} {k}\n" for k, name in enumerate(names)))
    (tmp_path / "list_landmarks_align_celeba.txt").write_text(
        "4\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y\n"
        + "".join(f"{name}  {'   '.join(map(str, points))}\n" for name in names)
    )
    arrange_celeba(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"train", "val", "test", "landmarks.csv"}
    layout = catalogue()["celeba"].folder
    images = list(Folder(FolderConfig(path=str(tmp_path), root_env=None, licence="", **layout)).images())
    assert [(image.id, image.split, image.identity) for image in images] == [
        ("train_000001", "train", "0"), ("train_000002", "train", "1"), ("val_000003", "val", "2"),
        ("test_000004", "test", "3"),
    ]  # fmt: skip
    square = centre_square(images[0])
    assert square.pixels.shape == (178, 178, 3) and np.array_equal(square.pixels, images[0].pixels[20:198])
    assert square.landmarks is not None and square.landmarks[0].tolist() == [69, 89]


def test_a_table_that_lacks_an_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    for name in ("list_eval_partition.txt", "identity_CelebA.txt", "list_landmarks_align_celeba.txt"):
        (tmp_path / name).write_text("")
    with pytest.raises(SrledgerError, match="no row"):
        arrange_celeba(tmp_path)
    (tmp_path / "identity_CelebA.txt").write_text("a.jpg\n")
    with pytest.raises(SrledgerError, match=r"identity_CelebA\.txt:1"):
        arrange_celeba(tmp_path)


@pytest.mark.parametrize("deeper", [False, True])
def test_ffhq_is_split_by_number_wherever_its_files_lie(tmp_path: Path, deeper: bool) -> None:
    for number in (0, 59_999, 60_000, 69_999):
        folder = tmp_path / "thumbnails128x128" / (f"{number // 1000 * 1000:05}" if deeper else ".")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05}.png").write_bytes(b"")
    arrange_ffhq(tmp_path)
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == ["00000.png", "59999.png"]
    assert sorted(path.name for path in (tmp_path / "val").iterdir()) == ["60000.png", "69999.png"]


def test_a_square_that_would_lose_a_landmark_is_refused() -> None:
    landmarks = np.array([[5.0, 1], [6, 1], [5, 5], [4, 8], [6, 8]])
    with pytest.raises(SrledgerError, match="landmark outside"):
        centre_square(SourceImage("a", "train", np.zeros((20, 10, 3), np.uint8), landmarks=landmarks))
    odd = centre_square(SourceImage("a", "train", np.zeros((10, 13, 3), np.uint8), landmarks=landmarks))
    assert odd.pixels.shape == (10, 10, 3) and odd.landmarks is not None and odd.landmarks[0].tolist() == [4, 1]
