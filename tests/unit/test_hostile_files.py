"""Hostile and odd files in a folder of images: each is read rightly, or refused by its name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_files import READ, REFUSED, Case
from image_bytes import PNG, chunk, png
from image_folders import folder

from srledger.errors import SrledgerError


def escaped(name: str) -> str:
    return repr(name)[1:-1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder for a set."""
    path = tmp_path / "set"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def no_word_from_pillow(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> Any:
    """No case may leak a warning, or a line from a library in C."""
    yield
    assert [str(warning.message) for warning in recwarn] == []
    assert capfd.readouterr().err == ""


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", READ, ids=lambda case: case.title)
def test_what_can_be_read_is_read_rightly(case: Case, place: Path) -> None:
    case.make(place / case.name)
    (image,) = folder(place).images()
    assert case.pixels is not None
    assert image.pixels.dtype == np.uint8 and image.pixels.shape == case.pixels.shape
    assert np.abs(image.pixels.astype(int) - case.pixels).max() <= case.within
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", image.id)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.title)
def test_what_can_not_be_read_stops_the_set_by_name(case: Case, place: Path) -> None:
    (place / "good.png").write_bytes(PNG)
    case.make(place / case.name)
    with pytest.raises(SrledgerError) as raised:
        list(folder(place).images())
    message = str(raised.value)
    assert case.refused in message and f"/{escaped(case.name)}\n" in message and "skip_unreadable: true" in message
    assert message.isprintable() or all(line.isprintable() for line in message.split("\n"))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.title)
def test_the_others_come_where_the_settings_say_so(case: Case, place: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("good.png", "zoo.png"):
        (place / name).write_bytes(PNG)
    case.make(place / case.name)
    source = folder(place, skip_unreadable=True)
    assert [image.id for image in source.images()] == ["good", "zoo"]
    ((name, reason),) = source.left_out
    assert name == escaped(case.name) and case.refused in reason
    assert [record.getMessage() for record in caplog.records] == [f"left out: {name}: {reason}"]


def test_all_that_is_refused_is_told_at_once(place: Path, tmp_path: Path) -> None:
    (place / "good.png").write_bytes(PNG)
    cases = [case for case in REFUSED if not case.title.startswith("a link")]
    names = [f"bad{k:02}.png" for k in range(len(cases))]
    for name, case in zip(names, cases, strict=True):
        case.make(tmp_path / case.name)
        (tmp_path / case.name).rename(place / name)
    with pytest.raises(SrledgerError) as raised:
        list(folder(place).images())
    message = str(raised.value)
    assert f"{len(names)} files can't be used" in message and f"... and {len(names) - 20} more" in message
    assert [name in message for name in names] == [True] * 20 + [False] * (len(names) - 20)
    source = folder(place, skip_unreadable=True)
    assert [image.id for image in source.images()] == ["good"]
    assert [name for name, _ in source.left_out] == names


def test_a_set_of_refused_files_alone_is_no_set(place: Path) -> None:
    os.mkfifo(place / "x.png")
    with pytest.raises(SrledgerError, match="a fifo"):
        list(folder(place).images())
    with pytest.raises(SrledgerError, match="no image of the test split can be used"):
        list(folder(place, skip_unreadable=True).images())


def test_vast_files_cost_no_memory(place: Path) -> None:
    vast = [case for case in REFUSED if "vast" in case.title or "4 GiB" in case.title]
    for k, case in enumerate(vast):
        case.make(place / f"{k}{Path(case.name).suffix}")
    (place / "good.png").write_bytes(PNG)
    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    (place / "much.png").write_bytes(
        png(1, 1, 8, 0, b"").replace(b"\0\0\0\0IEND", chunk(b"IDAT", rows) + b"\0\0\0\0IEND")
    )
    script = textwrap.dedent(
        """
        import resource, sys
        from srledger.data.folder import Config, Folder
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        source = Folder(Config(path=sys.argv[1], root_env=None, splits={"test": "."}, licence="", skip_unreadable=True))
        assert [image.id for image in source.images()] == ["good", "much"]
        print(len(source.left_out), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(place)], capture_output=True, text=True, check=True, timeout=60
    )
    left_out, grown_kib = map(int, done.stdout.split())
    assert left_out == len(vast) and grown_kib < 50 << 10


@pytest.mark.parametrize("hidden", ["file", "folder"])
def test_files_that_may_not_be_read_are_named(place: Path, hidden: str) -> None:
    (place / "people" / "a").mkdir(parents=True)
    (place / "people" / "b").mkdir()
    for name in ("people/a/1.png", "people/b/2.png"):
        (place / name).write_bytes(PNG)
    (place / ("people/b/2.png" if hidden == "file" else "people/b")).chmod(0)
    script = textwrap.dedent(
        """
        import sys
        from srledger.data.folder import Config, Folder
        from srledger.errors import SrledgerError
        fields = dict(path=sys.argv[1], root_env=None, splits={"test": "people"}, licence="", identity_folders=True)
        try:
            list(Folder(Config(**fields)).images())
        except SrledgerError as error:
            print(error)
        source = Folder(Config(**fields, skip_unreadable=True))
        print([image.id for image in source.images()], source.left_out)
        """
    )
    command = [sys.executable, "-c", script, str(place)]
    if os.geteuid() == 0:  # root reads everything unless it gives that right away
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv to give up root's right to read everything")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    (place / "people/b").chmod(0o700)
    name = "people/b/2.png" if hidden == "file" else "people/b"
    assert f"a file can't be used: it can't be read: permission denied\n  where:    {place}/{name}\n" in done.stdout
    assert f"['people_a_1'] [('{name}', \"it can't be read: permission denied\")]" in done.stdout
