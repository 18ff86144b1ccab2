"""Shared by all tests: a copy of the tree to run stages in, and the mirror where it is to be had."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = (
    "src",
    "stages",
    "published",
    "ablations",
    "params.yaml",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "pyproject.toml",
)


class Workspace:
    """A copy of the project with a DVC cache of its own, set to scale `smoke`."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "dvc.lock"))
            else:
                shutil.copyfile(source, folder / name)
        params = folder / "params.yaml"
        params.write_text(
            re.sub(r"(?m)^scale: \w+", "scale: smoke", params.read_text(encoding="utf-8")), encoding="utf-8"
        )
        self.env = {
            **os.environ,
            "PYTHONPATH": str(folder / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc-site"),
        }
        self.env.pop("SRLEDGER_MIRROR", None)
        self.env.pop("SRLEDGER_WEIGHTS", None)
        self.run("git", "init", "--quiet")
        self.run("dvc", "init", "--quiet")
        self.run("dvc", "config", "core.analytics", "false")
        if cache is not None:
            self.run("dvc", "cache", "dir", "--local", str(cache))

    def copy_to(self, folder: Path) -> Workspace:
        """A copy of this workspace with all that it has made and its cache, to be changed."""
        shutil.copytree(self.folder, folder, symlinks=True)
        copy = object.__new__(Workspace)
        copy.folder = folder
        here = {"PYTHONPATH": str(folder / "src"), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        copy.env = {**self.env, **here, "DVC_SITE_CACHE_DIR": str(folder / ".dvc-site")}
        return copy

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace one piece of text in a file; it must be there."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} holds no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def run(self, *command: str, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command inside the copy."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, **options
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done

    def files(self, *names: str) -> dict[str, bytes]:
        """Contents of all files below the given folders, by relative path."""
        paths = [path for name in names for path in sorted((self.folder / name).rglob("*")) if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh copy of the project."""
    return Workspace(tmp_path / "project")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy in which `dvc repro` has run once at scale `smoke`; tests must not change it."""
    workspace = Workspace(tmp_path_factory.mktemp("finished") / "project")
    workspace.run("dvc", "repro")
    return workspace


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The local folder with real faces and photographs."""
    folder = os.environ.get("SRLEDGER_MIRROR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the data mirror: export SRLEDGER_MIRROR=/path/to/folder")
    return Path(folder)
