"""The data page and the gates page: rendered from rows alone, safe, whole, and without a picture that is restricted."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reporting_fixture
from exploration_fixture import build_photos, build_task, photo
from PIL import Image

from srledger.data import LANDMARK_NAMES
from srledger.exploration import explore_dataset
from srledger.io import read_json, write_json
from srledger.layout import Layout
from srledger.reporting.collect import collect_exploration, collect_gates
from srledger.reporting.config import ReportConfig
from srledger.reporting.data_page import render_data_page, shifts_of
from srledger.reporting.gates_page import render_gates_page, summarise
from srledger.reporting.render import render_report

CONFIG = ReportConfig(bootstrap_resamples=100)


def check(
    name: str, *, severity: str = "stop", n: int = 50, unexpected: list[list[Any]] | None = None
) -> dict[str, Any]:
    """One check of a gate's result."""
    return {
        "check": name, "title": f"Title of {name}", "expectation": "expect_column_values_to_be_between",
        "column": "some_column", "severity": severity, "element_count": n,
        "unexpected_count": len(unexpected or []), "unexpected": (unexpected or [])[:20], "success": not unexpected,
        "why": f"without {name} a number is wrong",
    }  # fmt: skip


def gate(kind: str, name: str, *checks: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "name": name, "checked": 50, "checks": list(checks)}


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stage explore leaves of a public set of one size and a restricted one of several."""
    folder = tmp_path_factory.mktemp("explored")
    square = {"train": {f"t{k}": photo(f"t{k}", 32, 32) for k in range(4)}, "test": {"x": photo("x", 32, 32)}}
    mixed = {"test": {"a": photo("a", 48, 32), "b": photo("b", 36, 44)}}
    for name, images, free in (("open_set", square, True), ("closed_set", mixed, False)):
        raw = build_photos(folder / name, images, redistributable=free)
        packs = build_task(name, raw, folder / name / "packs")
        write_json(
            folder / "data" / f"{name}.json",
            explore_dataset(name, raw, {f"{name}_x4": packs}, folder / "data"),
        )
    return folder / "data"


def build_rows(folder: Path, explored: Path, *, private: bool = False) -> Path:
    reporting_fixture.build_rows(folder, pairs=False)
    collect_exploration(explored, folder, private=private)
    return folder


class _Page(HTMLParser):
    """Anchors, targets, pictures and what a page would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.targets: set[str] = set()
        self.pictures: list[str] = []
        self.mute = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a":
            self.links.append(found.get("href") or "")
        if tag in ("img", "image"):
            self.pictures.append(found.get("src") or found.get("href") or "")
            self.mute += tag == "img" and not found.get("alt")
        if "id" in found:
            self.targets.add(found["id"] or "")


def test_public_pictures_are_shown_and_restricted_ones_never(explored: Path, tmp_path: Path) -> None:
    rows = build_rows(tmp_path / "rows", explored)
    assert not [path for path in rows.rglob("*.png") if "closed_set" in path.as_posix()]
    text = render_data_page(rows, CONFIG)
    assert "The pictures of <b>closed_set</b> are private" in text and "<b>open_set</b> are private" not in text
    page = _Page(text)
    assert page.mute == 0 and all(address.startswith("data:image/png;base64,") for address in page.pictures)
    closed = _Page(text[text.index('<section id="closed_set"') : text.index('<section id="open_set"')])
    assert closed.pictures == []
    assert "test_a (test)" in text  # ids and numbers stand there all the same


def test_tokens_are_shown_and_explained_where_there_are_some(explored: Path, tmp_path: Path) -> None:
    rows = build_rows(tmp_path / "rows", explored)
    without = render_data_page(rows, CONFIG)
    facts = read_json(rows / "exploration" / "open_set.json")
    sample = facts["tasks"]["open_set_x4"]["samples"][0]
    sample["tokens"] = {"semantics": sample["pictures"]["hr"]}
    write_json(rows / "exploration" / "open_set.json", facts)
    shown = render_data_page(rows, CONFIG)
    assert "principal components" in shown and "tokens of the prior semantics" in shown
    assert "principal components" not in without
    assert len(_Page(shown).pictures) == len(_Page(without).pictures) + 1


def test_a_private_report_shows_all(explored: Path, tmp_path: Path) -> None:
    rows = build_rows(tmp_path / "rows", explored, private=True)
    page = _Page(render_data_page(rows, CONFIG))
    everything = list(explored.rglob("*.png"))
    assert len(set(page.pictures)) == len({path.read_bytes() for path in everything})


def test_pages_fetch_nothing_and_link_each_other(explored: Path, tmp_path: Path) -> None:
    rows = build_rows(tmp_path / "rows", explored)
    write_json(rows / "gates.json", [gate("manifests", "open_set", check("ids"))])
    render_report(rows, tmp_path, CONFIG, tmp_path / "published", [])
    pages = {name: (tmp_path / name).read_text() for name in ("index.html", "data.html", "gates.html")}
    for name, text in pages.items():
        assert not re.search(r"https?://", text) and "default-src 'none'" in text
        page = _Page(text)
        assert set(pages) <= set(page.links)
        for address in page.links:
            target, _, anchor = address.partition("#")
            if anchor:
                assert anchor in _Page(pages[target or name]).targets, f"{name}: {address}"


def test_pages_need_rows_alone_and_are_the_same_elsewhere(explored: Path, tmp_path: Path) -> None:
    rows = build_rows(tmp_path / "a" / "rows", explored)
    shutil.copytree(rows, tmp_path / "elsewhere" / "rows")
    assert render_data_page(rows, CONFIG) == render_data_page(tmp_path / "elsewhere" / "rows", CONFIG)
    assert render_gates_page(rows) == render_gates_page(tmp_path / "elsewhere" / "rows")
    assert tmp_path.as_posix() not in render_data_page(rows, CONFIG)


def test_old_rows_say_what_is_missing(tmp_path: Path) -> None:
    rows = reporting_fixture.build_rows(tmp_path / "rows", pairs=False)
    assert "No exploration is at hand" in render_data_page(rows, CONFIG)
    assert "No gate results are at hand" in render_gates_page(rows)


def test_names_can_not_break_out_of_the_pages(explored: Path, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = build_rows(tmp_path / "rows", explored)
    facts = read_json(rows / "exploration" / "open_set.json")
    facts |= {"licence": evil, "source": evil}
    facts["extremes"]["darkest"][0]["id"] = evil
    write_json(rows / "exploration" / "open_set.json", facts)
    bad = check("ids", severity="note", unexpected=[[evil, evil]]) | {"title": evil, "why": evil}
    write_json(rows / "gates.json", [gate("manifests", evil, bad)])
    for text in (render_data_page(rows, CONFIG), render_gates_page(rows)):
        assert "<script>alert" not in text and "<img src=x" not in text and "&lt;script&gt;" in text


def test_a_shift_is_stated_after_holm() -> None:
    def facts(p: float | None) -> dict[str, Any]:
        return {"about": "", "splits": {}, "test": None if p is None else {"distance": 0.5, "p": p, "n": [9, 9]}}

    shifts = shifts_of({"a": facts(0.02), "b": facts(0.03), "c": facts(0.2), "d": facts(None)}, alpha=0.05)
    assert [shift.p for shift in shifts] == pytest.approx([0.06, 0.06, 0.2, None])
    assert [shift.differs for shift in shifts] == [False, False, False, None]
    assert shifts_of({"a": facts(0.02)}, alpha=0.05)[0].differs


def test_landmarks_are_drawn_where_they_lie(explored: Path, tmp_path: Path) -> None:
    rows = build_rows(tmp_path / "rows", explored)
    facts = read_json(rows / "exploration" / "open_set.json")
    splits = {"train": {"mean": [0.5, 0.5], "deviation": [0.1, 0.1]}}
    points = {name: {"cells": [[10 + k, 20, 1], [30, 40 + k, 99]], "splits": splits}
              for k, name in enumerate(LANDMARK_NAMES)}  # fmt: skip
    facts["landmarks"] = {"images": 100, "bins": 128, "points": points}
    write_json(rows / "exploration" / "open_set.json", facts)
    text = render_data_page(rows, CONFIG)
    strengths = dict(re.findall(r'<path d="(M\d+ \d+)h1v1h-1z" fill="#0072b2" fill-opacity="([\d.]+)"', text))
    assert strengths == {"M10 20": "0.25", "M30 40": "1.0"}


def test_gates_are_summed_up() -> None:
    gates = [
        gate("manifests", "a", check("ids", n=1000), check("dark", severity="note", n=1000, unexpected=[["x", 1.5]])),
        gate("pairs", "a_x4", check("lr")),
    ]
    assert summarise(gates) == "2 gates, 3 checks, 2,050 values, all passed; 1 note"
    assert summarise([gate("pairs", "b", check("lr", n=1))]) == "1 gate, 1 check, 1 value, all passed"
    assert summarise([gate("pairs", "b", check("lr", unexpected=[["x", 3]]))]).endswith("1 check failed")


def test_notes_name_their_images_and_checks_say_why(tmp_path: Path) -> None:
    rows = reporting_fixture.build_rows(tmp_path / "rows", pairs=False)
    many = check("dark", severity="note", unexpected=[[f"img_{k}", k] for k in range(33)])
    for result in (
        gate("rows", "unet__faces_x8", check("finite")),
        gate("priors", "gauss/faces_x8", check("range")),
        gate("manifests", "faces", check("ids"), many),
    ):
        write_json(Layout("quick", tmp_path).gates(result["kind"]) / f"{result['name']}.json", result)
    write_json(Layout("quick", tmp_path).gates("pairs") / "set5_x4" / "inactive.json", {"why": "not here"})
    collect_gates(Layout("quick", tmp_path), rows)
    assert [(g["kind"], g["name"]) for g in read_json(rows / "gates.json")] == [
        ("manifests", "faces"),
        ("priors", "gauss/faces_x8"),
        ("rows", "unet__faces_x8"),
    ]
    text = render_gates_page(rows)
    assert "3 gates, 4 checks, 200 values, all passed; 1 note" in text
    assert "img_0</code>" in text and "img_19</code>" in text and "img_20" not in text and "and 13 more" in text
    for name in ("ids", "dark", "range", "finite"):
        assert f"Title of {name}" in text and f"without {name} a number is wrong" in text


def test_deviation_is_drawn_to_scale(explored: Path) -> None:
    images = [photo(f"t{k}", 32, 32).astype(float) for k in range(4)]
    facts = read_json(explored / "open_set.json")
    with Image.open(explored / "pictures" / facts["aligned"]["deviation"]["train"]) as picture:
        shown = np.asarray(picture)
    expected = 2 * np.sqrt((np.std(images, axis=0) ** 2).mean(axis=2))
    assert np.abs(shown - expected).max() <= 0.5 + 1e-6
    assert "test" not in facts["aligned"]["deviation"]  # one image does not deviate


def test_pages_tell_how_far_the_images_of_a_task_were_moved(tmp_path: Path, explored: Path) -> None:
    said = "HR moved by up to 15 % of its side and zoomed by up to 20 %"
    rows = build_rows(tmp_path / "rows", explored)
    render_report(rows, tmp_path / "before", CONFIG, tmp_path / "none", row_order=[])
    moved = {"jitter": {"shift": 0.15, "scale": 0.2}}
    results = read_json(rows / "results.json")
    next(iter(results["tasks"].values())).update(moved)
    write_json(rows / "results.json", results)
    facts = next(rows.rglob("open_set.json"))
    of_set = read_json(facts)
    of_set["tasks"]["open_set_x4"].update(moved)
    write_json(facts, of_set)
    render_report(rows, tmp_path / "after", CONFIG, tmp_path / "none", row_order=[])
    for page in ("index.html", "data.html"):
        before, after = ((tmp_path / when / page).read_text(encoding="utf-8") for when in ("before", "after"))
        assert said not in before and said in after
