"""Edits of files outside the project are noticed before anything runs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.io import read_json
from srledger.layout import Layout
from srledger.watched import check_files, note_files


@pytest.fixture
def params(tmp_path: Path) -> Params:
    """A project at scale smoke whose faces are three files."""
    for k, split in enumerate(("train", "val", "test")):
        (tmp_path / "images" / split).mkdir(parents=True)
        Image.fromarray(np.full((32, 32, 3), 40 * k, np.uint8)).save(tmp_path / "images" / split / "a.png")
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("scale: quick", "scale: smoke", 1)
    start = text.index("source: synthetic_faces")
    end = text.index("\n", text.index("config:", start))
    entry = f"source: folder\n        config: {{ path: {tmp_path / 'images'}, root_env: null, licence: made here,"
    entry += " splits: { train: train, val: val, test: test } }"
    (tmp_path / "params.yaml").write_text(text[:start] + entry + text[end:], encoding="utf-8")
    return Params.load(tmp_path)


def test_nothing_is_said_of_what_was_never_read(params: Params, tmp_path: Path) -> None:
    (tmp_path / "images/test/a.png").write_bytes(b"")
    check_files(params, Layout("smoke", tmp_path))


@pytest.mark.parametrize("edit", ["other pixels", "one byte", "gone"])
def test_an_edited_or_removed_file_is_named(params: Params, tmp_path: Path, edit: str) -> None:
    layout, file = Layout("smoke", tmp_path), tmp_path / "images/test/a.png"
    note_files(params.datasets["faces"], layout)
    check_files(params, layout)
    if edit == "gone":
        file.unlink()
    elif edit == "one byte":
        file.write_bytes(file.read_bytes()[:-1] + b"\0")
    else:
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(file)
    with pytest.raises(SrledgerError, match="changed after it was read") as caught:
        check_files(params, layout)
    assert "1 of 3" in caught.value.facts["found"] and "test/a.png" in caught.value.facts["found"]
    assert "dvc repro --force download@faces" in caught.value.facts["mend"]


def test_a_folder_that_was_copied_or_mounted_again_is_not_an_edit(params: Params, tmp_path: Path) -> None:
    layout = Layout("smoke", tmp_path)
    note_files(params.datasets["faces"], layout)
    for file in (tmp_path / "images").rglob("*.png"):
        os.utime(file, ns=(1, 1))
    check_files(params, layout)
    noted = read_json(layout.watched("faces"))
    assert {state[1] for state in noted.values()} == {1}  # so that the next look need not hash again


def test_a_dataset_is_a_source_or_unavailable_and_never_both(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    wrong = text.replace("set5: null", 'set5: { unavailable: "why", source: folder }', 1)
    (tmp_path / "params.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(SrledgerError, match="give source") as caught:
        Params.load(tmp_path)
    assert "set5" in caught.value.facts["where"]
