"""A clone that other machines must be able to follow: what counts as an edit, and what is said of it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from srledger.commits import check_at, check_clean, edits, head_of
from srledger.errors import SrledgerError


def git(root: Path, *arguments: str) -> str:
    named = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
    done = subprocess.run(["git", *named, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    for name in ("params.yaml", "dvc.lock", "ablations/dvc.lock", "reports/quick/index.html", "src/a method.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old\n", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("/data/\n", encoding="utf-8")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Start")
    return tmp_path


def test_what_runs_make_never_counts(clone: Path) -> None:
    for name in ("dvc.lock", "ablations/dvc.lock", "reports/quick/index.html", "reports/new.csv", "data/x"):
        path = clone / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("new\n", encoding="utf-8")
    assert edits(clone) == []
    check_clean(clone)


def test_the_named_command_cleans_a_dirty_tree(clone: Path) -> None:
    (clone / "dvc.lock").write_text("new\n", encoding="utf-8")
    (clone / "src/a method.py").write_text("new\n", encoding="utf-8")
    (clone / "src/new.py").touch()
    (clone / "params.yaml").unlink()
    with pytest.raises(SrledgerError, match="the tree is dirty") as raised:
        check_clean(clone)
    assert raised.value.facts["found"] == "params.yaml, src/a method.py, src/new.py"
    git(clone, *shlex.split(raised.value.facts["mend"].partition("or: git ")[2]))
    check_clean(clone)
    assert (clone / "dvc.lock").read_text(encoding="utf-8") == "new\n"


def test_another_commit_is_refused_with_both_named(clone: Path) -> None:
    old = head_of(clone)
    check_at(clone, old)
    check_at(clone, old[:12])
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "Next")
    with pytest.raises(SrledgerError) as raised:
        check_at(clone, old)
    assert raised.value.facts["found"] == head_of(clone) and raised.value.facts["expected"] == old
    with pytest.raises(SrledgerError):
        check_at(clone, "")


def test_a_folder_without_a_commit_is_said(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="git can't tell"):
        head_of(tmp_path)
    git(tmp_path, "init", "--quiet")
    with pytest.raises(SrledgerError, match="git can't tell"):
        head_of(tmp_path)
