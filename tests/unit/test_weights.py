"""The weights catalogue: what it says, where it looks, and that no unchecked file is ever used."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from srledger.errors import SrledgerError
from srledger.io import sha256_bytes
from srledger.weights import Entry, Resolved, catalogue, fetch, file_hash, resolve, resolve_all

MIRROR = os.environ.get("SRLEDGER_MIRROR")  # read before a fixture below replaces it
GOOD = b"the bytes of a network"
BAD = b"some other bytes"
NAMES_IN_MIRROR = (
    "lpips_alex_heads", "lpips_vgg_heads", "squeezenet1_1_caffe", "niqe_pris_params", "imdn_x4", "mobilefacenet",
    "fan_squeeze68", "pfld",
)  # fmt: skip


def entry(file: str = "nets/a.bin", **changes: object) -> Entry:
    fields = {"file": file, "url": None, "sha256": sha256_bytes(GOOD), "licence": "MIT", "size_bytes": None, "note": ""}
    return Entry.model_validate({**fields, **changes})


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The three folders a file may lie in, all empty."""
    for variable in ("SRLEDGER_WEIGHTS", "SRLEDGER_MIRROR", "SRLEDGER_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    return {
        "own": tmp_path / "SRLEDGER_WEIGHTS",
        "mirror": tmp_path / "SRLEDGER_MIRROR" / "weights",
        "cache": tmp_path / "SRLEDGER_CACHE" / "weights",
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a real HTTP server on this machine that serves ``tmp_path/served``."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_the_catalogue_is_whole() -> None:
    entries = catalogue()
    named = ("alexnet_imagenet", "vgg16_imagenet", "inception_fid")
    encoders = (
        "dino_resnet50",
        "dino_vits8",
        "dinov2_vitb14",
        "dinov2_vitl14",
        "yolo_world",
        "clip_vit_b32",
        "sd21_vae",
    )
    assert {*NAMES_IN_MIRROR, *named, *encoders} == set(entries)
    assert {needed for entry in entries.values() for needed in entry.needs} <= set(entries)
    for name in named:
        prefix = entries[name].sha256_prefix
        assert prefix is not None and prefix in entries[name].file  # torchvision's custom: the hash is in the name


def test_a_file_of_unknown_hash_is_never_used(folders: dict[str, Path]) -> None:
    path = put(folders["own"] / "nets/a.bin", GOOD)
    unknown = {"net": entry(sha256="unknown")}
    why = "the sha256 of weights 'net' is not known (enter it in weights.yaml)"
    assert resolve("net", unknown) == Resolved(None, why) == fetch(["net"], unknown)["net"]
    assert path.exists() and resolve("dino_vits8").path is None


def test_the_mirror_holds_the_files_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = MIRROR or pytest.skip("SRLEDGER_MIRROR is not set: no mirror folder to read weights from")
    monkeypatch.setenv("SRLEDGER_MIRROR", mirror)
    found = resolve_all(NAMES_IN_MIRROR)
    assert list(found) == list(NAMES_IN_MIRROR)
    assert all(file_hash(path) == catalogue()[name].sha256 for name, path in found.items())
    assert all(path.stat().st_size == catalogue()[name].size_bytes for name, path in found.items())


@pytest.mark.parametrize("place", ["own", "mirror", "cache"])
@pytest.mark.parametrize("file", ["nets/a.bin", "a.bin"])
def test_a_file_is_found_at_its_path_and_at_its_base_name(folders: dict[str, Path], place: str, file: str) -> None:
    path = put(folders[place] / file, GOOD)
    assert resolve("net", {"net": entry()}).path == path


def test_the_folders_are_asked_in_order(folders: dict[str, Path]) -> None:
    paths = [put(folders[place] / "nets/a.bin", GOOD) for place in ("cache", "mirror", "own")]
    for path in reversed(paths):
        assert resolve("net", {"net": entry()}).path == path
        path.unlink()
    assert resolve("net", {"net": entry()}).path is None


def test_the_reason_for_a_missing_file_names_no_machine() -> None:
    reason = resolve("alexnet_imagenet").reason
    assert reason == "weights 'alexnet_imagenet' are not at hand (make weights)"
    assert resolve_all(["alexnet_imagenet"]) == {}


@pytest.mark.parametrize("hashes", [{}, {"sha256": None, "sha256_prefix": sha256_bytes(GOOD)[:8]}])
def test_a_file_with_another_hash_is_an_error_and_never_used(
    folders: dict[str, Path], hashes: dict[str, object]
) -> None:
    path = put(folders["own"] / "nets/a.bin", BAD)
    put(folders["mirror"] / "nets/a.bin", GOOD)  # a good one further on does not excuse the bad one
    with pytest.raises(SrledgerError) as caught:
        resolve("net", {"net": entry(**hashes)})
    message = str(caught.value)
    assert str(path) in message and sha256_bytes(BAD) in message and sha256_bytes(GOOD)[:8] in message
    put(path, GOOD)
    assert resolve("net", {"net": entry(**hashes)}).path == path  # a changed file is hashed again


def test_an_unknown_name_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(SrledgerError, match="alexnet_imagenet"):
        resolve("alexnet_imagnet")


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://example.org/a.bin"},
        {"url": "file:///etc/hostname"},
        {"file": "../a.bin"},
        {"file": "/a.bin"},
        {"sha256": None},
        {"sha256_prefix": "0" * 8},
        {"sha256": "0" * 63},
        {"extra": 1},
    ],
)
def test_an_entry_that_is_not_safe_or_not_whole_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        entry(**changes)


def test_fetch_downloads_what_is_missing_into_the_cache(tmp_path: Path, folders: dict[str, Path], server: str) -> None:
    put(tmp_path / "served/a.bin", GOOD)
    whole = entry(url=f"{server}/a.bin")
    prefix = entry("b.bin", url=f"{server}/a.bin", sha256=None, sha256_prefix=sha256_bytes(GOOD)[:8])
    found = fetch(["whole", "prefix"], {"whole": whole, "prefix": prefix})
    assert found["whole"].path == folders["cache"] / "nets/a.bin" and found["prefix"].path == folders["cache"] / "b.bin"
    assert all(got.path is not None and got.path.read_bytes() == GOOD for got in found.values())
    (tmp_path / "served/a.bin").unlink()
    assert fetch(["whole"], {"whole": whole}) == {"whole": found["whole"]}  # now from the cache


def test_fetch_takes_what_is_at_hand_before_the_network(folders: dict[str, Path], server: str) -> None:
    path = put(folders["own"] / "nets/a.bin", GOOD)
    assert fetch(["net"], {"net": entry(url=f"{server}/absent.bin")})["net"].path == path


def test_fetch_leaves_nothing_of_a_wrong_download(tmp_path: Path, folders: dict[str, Path], server: str) -> None:
    put(tmp_path / "served/a.bin", BAD)
    with pytest.raises(SrledgerError, match=sha256_bytes(BAD)):
        fetch(["net"], {"net": entry(url=f"{server}/a.bin")})
    assert [path for path in folders["cache"].rglob("*") if path.is_file()] == []


def test_fetch_says_why_and_goes_on(tmp_path: Path, server: str) -> None:
    put(tmp_path / "served/a.bin", GOOD)
    entries = {
        "private": entry("p.bin"),
        "gone": entry("g.bin", url=f"{server}/gone.bin"),
        "net": entry(url=f"{server}/a.bin"),
    }
    found = fetch(list(entries), entries)
    assert found["private"].path is None and "no public address" in found["private"].reason
    assert found["gone"].path is None and found["gone"].reason == "weights 'gone' could not be downloaded (HTTPError)"
    assert found["net"].path is not None
