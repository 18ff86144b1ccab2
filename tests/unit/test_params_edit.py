"""Entries put into params.yaml: every other byte stays, in every style that a file may be written in."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from srledger.add_dataset.params_edit import (
    Append,
    Insert,
    Replace,
    block,
    check_params,
    edit,
    flow,
    read_text,
    replace_params,
)
from srledger.errors import SrledgerError

PARAMS = Path(__file__).parents[2] / "params.yaml"
TASK = {"dataset": "birds", "degradation": "bicubic", "scale_factor": 4}
CONFIG = {
    "path": "/home/me/my birds",
    "root_env": None,
    "splits": {"train": "train", "val": "valid", "test": "test"},
    "licence": 'mine: "all" of it # really',
    "ignore": ["thumb.png", "a b.png"],
    "redistributable": False,
}


def changes_of(params: dict) -> list[Insert | Append]:
    """A dataset at scale quick, as `srledger add-dataset` writes it."""
    changes: list[Insert | Append] = [
        Insert(("datasets",), "birds", {"description": "birds, from afar"}),
        Insert(("tasks",), "birds_x4", TASK),
        Insert(("transfers",), "bicubic_on_birds_x4", {"row": "bicubic", "task": "birds_x4", "prior": "uniform"}),
        Append(("scales", "smoke", "rows"), "bicubic_on_birds_x4"),
        Insert(("scales", "quick", "tasks"), "birds_x4", {"hr_size_px": 64}),
    ]
    for scale in params["scales"]:
        entry = {"source": "folder", "config": CONFIG} if scale == "quick" else None
        changes.append(Insert(("scales", scale, "datasets"), "birds", entry))
    return changes


def values(text: str) -> dict:
    return YAML(typ="safe").load(text)


def without_insertions(new: str, old: str) -> str:
    """``new`` without the lines that ``old`` lacks and, in a line that grew, without what was put into it."""
    kept, old_lines = [], old.splitlines(keepends=True)
    for line in new.splitlines(keepends=True):
        expected = old_lines[len(kept)] if len(kept) < len(old_lines) else None
        if expected is None:
            continue
        cut = next((k for k in range(len(expected)) if line[k : k + 1] != expected[k]), len(expected))
        if line == expected or (cut > 12 and line.endswith(expected[cut:])):  # 12: more than indentation and a name
            kept.append(expected)
    return "".join(kept)


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("final", [True, False], ids=["final newline", "no final newline"])
def test_the_real_file_keeps_every_other_byte(newline: str, final: bool) -> None:
    text = PARAMS.read_text(encoding="utf-8").rstrip("\n") + "\n" * final
    text = text.replace("\n", newline)
    new = edit(text, changes_of(values(text)))
    assert without_insertions(new, text) == text
    assert new.count("\n") - new.count("\r\n") == (0 if newline == "\r\n" else new.count("\n"))
    assert new.endswith(newline) == text.endswith(newline)
    old, now = values(text), values(new)
    assert now["scales"]["quick"]["datasets"].pop("birds") == {"source": "folder", "config": CONFIG}
    for scale in ("smoke", "celeba_cpu", "celeba_gpu", "paper"):
        assert now["scales"][scale]["datasets"].pop("birds") is None
    assert now["scales"]["smoke"]["rows"].pop() == "bicubic_on_birds_x4"
    assert now["tasks"].pop("birds_x4") == TASK and now["datasets"].pop("birds") and now["transfers"].popitem()
    assert now["scales"]["quick"]["tasks"].pop("birds_x4") == {"hr_size_px": 64}
    assert now == old


def test_anchors_and_flow_maps_stay_as_they_are() -> None:
    text = PARAMS.read_text(encoding="utf-8")
    new = edit(text, changes_of(values(text)))
    one_line = [line for line in text.split("\n") if line.startswith("    datasets: {") and "*celeba" in line]
    assert one_line and all(line.replace(" }", ", birds: null }") in new.split("\n") for line in one_line)
    assert new.count("&") == text.count("&") and new.count("*") == text.count("*")
    end_of_tasks = text.index("\n\n", text.index("\ntasks:"))
    entry = "\n  birds_x4: { dataset: birds, degradation: bicubic, scale_factor: 4 }"
    assert text[:end_of_tasks].split("\n")[-1] + entry + text[end_of_tasks : end_of_tasks + 20] in new


def test_doing_it_twice_changes_nothing() -> None:
    text = PARAMS.read_text(encoding="utf-8")
    once = edit(text, changes_of(values(text)))
    assert edit(once, changes_of(values(text))) == once


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("a:\n  b: 1 # one\n  # the end\nz: 2\n", "a:\n  b: 1 # one\n  k: v\n  # the end\nz: 2\n"),
        ("a: {}\nz: 2\n", "a: { k: v }\nz: 2\n"),
        ("a: {} # none yet\n", "a: { k: v } # none yet\n"),
        ("a:\nz: 2", "a: { k: v }\nz: 2"),
        ("a: # none yet\nz: 2\n", "a: { k: v } # none yet\nz: 2\n"),
        ("a: null\n", "a: { k: v }\n"),
        ("a: { b: 1, }\n", "a: { b: 1, k: v, }\n"),
        ("a: { b: 1, # one, two }\n  c: 2 }\n", "a: { b: 1, # one, two }\n  c: 2, k: v }\n"),
        ("z: &x { y: 1 }\na:\n    b: *x\n", "z: &x { y: 1 }\na:\n    b: *x\n    k: v\n"),
        ("a:\n  b: |\n    text\n\n# next\nz: 2\n", "a:\n  b: |\n    text\n  k: v\n\n# next\nz: 2\n"),
        ("a:\n  b:\n    - 1\n    - c: 2", "a:\n  b:\n    - 1\n    - c: 2\n  k: v"),
        ("---\na:\n  b: 'it''s' # x\n...\n", "---\na:\n  b: 'it''s' # x\n  k: v\n...\n"),
        ("a:\n  b: Größe \U0001f426 # ü\n", "a:\n  b: Größe \U0001f426 # ü\n  k: v\n"),
    ],
)
def test_every_style_of_mapping(text: str, new: str) -> None:
    assert edit(text, [Insert(("a",), "k", "v")]) == new


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("a: [b]\n", "a: [b, k]\n"),
        ("a: []\n", "a: [k]\n"),
        ("a:\n- b # one\nz: 1\n", "a:\n- b # one\n- k\nz: 1\n"),
        ("a:\n    -   b", "a:\n    -   b\n    - k"),
    ],
)
def test_every_style_of_list(text: str, new: str) -> None:
    assert edit(text, [Append(("a",), "k")]) == new


def test_a_value_is_replaced_in_its_place_for_all_that_share_it() -> None:
    text = "x: &x { hash: 'old', n: 1 } # kept\ny: *x\n"
    both = [Replace(("x", "hash"), "new"), Replace(("y", "hash"), "new")]
    assert edit(text, both) == "x: &x { hash: new, n: 1 } # kept\ny: *x\n"
    with pytest.raises(SrledgerError, match="other entries"):
        edit(text, both[:1])
    three = [Insert((name,), "hash", "new") for name in "xyz"]
    assert edit("x: &x { n: 1 }\ny: *x\nz: *x\n", three) == "x: &x { n: 1, hash: new }\ny: *x\nz: *x\n"


def test_an_entry_that_would_show_up_elsewhere_is_refused() -> None:
    with pytest.raises(SrledgerError, match="other entries"):
        edit("x: &x { b: 1 }\ny: *x\n", [Insert(("y",), "k", "v")])


@pytest.mark.parametrize(
    "change",
    [
        Insert(("b",), "k", 1),
        Insert(("a",), "c", 2),
        Append(("a",), 1),
        Replace(("a", "d"), 1),
        Insert(("a", "c"), "k", 1),
    ],
)
def test_no_place_and_taken_names(change: Insert | Append | Replace) -> None:
    with pytest.raises(SrledgerError, match="no place"):
        edit("a: { c: 1 }\n", [change])


@pytest.mark.parametrize("text", ["a: [1\n", "a: *nothing\n", "a: 1\n\tb: 2\n"])
def test_broken_yaml_is_said_to_be_so(text: str) -> None:
    with pytest.raises(SrledgerError, match="not valid YAML"):
        edit(text, [Insert(("a",), "k", "v")])


@pytest.mark.parametrize(
    "value",
    ["no", "Null", "1e5", "12", "a: b", "a #b", "- a", "", " a", "it's", 'say "so"', "*.png", "C:\\x", "é", "a\tb",
     "\x85", True, None, 3, 0.8, [], {}, [["a", {"b": []}]], {"a": {"b": None}}],
)  # fmt: skip
def test_what_is_written_is_what_is_read(value: object) -> None:
    assert values(f"k: {flow(value)}") == {"k": value}
    assert values("\n".join(block("k", {"long": "x" * 120, "value": value}))) == {
        "k": {"long": "x" * 120, "value": value}
    }


def test_long_entries_take_a_line_each() -> None:
    lines = block("birds", {"source": "folder", "config": CONFIG}, column=6)
    assert lines[:3] == ["      birds:", "        source: folder", "        config:"]
    assert "          splits: { train: train, val: valid, test: test }" in lines
    long = block("k", {"ignore": [f"{number:040}.png" for number in range(4)]})
    assert long[1:3] == ["  ignore:", f'    - "{0:040}.png"'] and values("\n".join(long))["k"]["ignore"]


def test_the_new_file_is_checked_before_it_is_written(tmp_path: Path) -> None:
    text = PARAMS.read_text(encoding="utf-8")
    check_params(text, ["quick"])
    wrong = edit(text, [Insert(("tasks",), "birds_x4", {**TASK, "dataset": "brids"})])
    with pytest.raises(SrledgerError, match=r"unknown dataset 'brids'(.|\n)*params.yaml:\d+: tasks.birds_x4.dataset"):
        check_params(wrong, ["quick"])


def test_a_file_that_was_saved_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"a: 1\r\n")
    data, text = read_text(path)
    assert text == "a: 1\r\n"
    path.write_bytes(b"a: 2\r\n")
    with pytest.raises(SrledgerError, match="changed meanwhile"):
        replace_params(path, data, "a: 3\n")
    assert path.read_bytes() == b"a: 2\r\n"
    replace_params(path, b"a: 2\r\n", "a: 3\r\n")
    assert path.read_bytes() == b"a: 3\r\n" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"a: \xff")
    with pytest.raises(SrledgerError, match="not UTF-8"):
        read_text(tmp_path / "params.yaml")
