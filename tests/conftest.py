"""Shared by all tests: a copy of the tree to run stages in, and the mirror where it is to be had."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from filelock import FileLock

from srledger.ablation_lock import write_lock
from srledger.config import Params
from srledger.yamlmap import YamlFile

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


def pytest_configure() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, and so would all that tests start from there."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def image_reader_kept() -> Iterator[None]:
    """ultralytics puts its own ``Image.open`` in the place of PIL's; stages have a process each, tests share one."""
    from PIL import Image

    before = Image.open
    yield
    Image.open = before


KEPT_ENCODERS = "none|tiny_dino_vit"


def without_costly_entries(params: str) -> str:
    """params.yaml without what `smoke` does without, diffusion above all: each entry costs seconds in every run."""
    sections = [text for text in re.split(r"(?m)^(?=\w+:)", params) if not text.startswith("ablation_priors:")]
    at = next(k for k, text in enumerate(sections) if text.startswith("referee:"))
    sections[at] = "referee: {}\n\n"  # stages name the key
    at = next(k for k, text in enumerate(sections) if text.startswith("encoder_pairs:"))
    sections[at] = "encoder_pairs: {}\n\n"
    dropped = "sr3|srdiff|diffbir|osdface|osediff|vqfr|vosr|rrdb_(?:blind|real)|bicubic_on_faces_blind"
    dropped += "|landmark_unet_yolo"
    gone = "realsr|screensr|real_lq|cartoon_faces|cartoon_blind|jittered|real_x4|jpeg_x4|faces_x2"
    for section, pattern in (
        ("variants", rf"(?:{dropped})\w*"),
        ("students", rf"(?:{dropped})\w*"),
        ("encoders", rf"(?!(?:{KEPT_ENCODERS}):)\w+"),
        ("priors", r"(?!uniform:|landmark_gauss:)\w+"),
        ("datasets", "realsr|screensr|real_lq|cartoon_faces"),
        ("tasks", rf"\w*(?:{gone})\w*"),
        ("transfers", rf"\w*(?:{dropped}|{gone})\w*"),
        ("probes", r"(?:yoda|heatmap|detector|codec|frontier|verification)\w*"),
        ("probes", rf"\w+(?=:(?:.*\n(?:    .*\n)*?    )?.*\b(?:{dropped}|dino_))"),
        ("ablations", rf"\w+(?=:.*\n(?:    .*\n)*?    base: (?:{dropped}))"),
    ):
        at = next(k for k, text in enumerate(sections) if text.startswith(f"{section}:"))
        sections[at] = re.sub(rf"(?m)^  (?:{pattern}):.*\n(?:    .*\n)*", "", sections[at])
    at = next(k for k, text in enumerate(sections) if text.startswith("scales:"))
    for named in (
        r"^ +(?:# .*\n +)?(?:realsr|screensr|real_lq|cartoon_faces): .*\n",
        rf"^ +- \w+_(?:{gone})\w*\n",
        rf"^ +- (?:{dropped}|landmark_unet_maps|yoda_)\w*\n",
        rf", \w*(?:{gone}): (?:\*\w+|{{ hr_size_px: \d+ }})",
    ):
        sections[at] = re.sub(f"(?m){named}", "", sections[at])
    return "".join(sections)


class Workspace:
    """A copy of the project with a DVC cache of its own, set to scale `smoke`."""

    def __init__(self, folder: Path) -> None:
        """The copy that stands in the folder; ``new`` makes one."""
        self.folder = folder
        self.env = {
            **os.environ,
            "PYTHONPATH": str(folder / "src"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc-site"),
        }
        self.env.pop("SRLEDGER_MIRROR", None)
        self.env.pop("SRLEDGER_WEIGHTS", None)

    @classmethod
    def new(cls, folder: Path, cache: Path | None = None) -> Self:
        """A fresh copy of this tree."""
        self = cls(folder)
        folder.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "dvc.lock"))
            else:
                shutil.copyfile(source, folder / name)
        params = folder / "params.yaml"
        text = re.sub(r"(?m)^scale: \w+", "scale: smoke", params.read_text(encoding="utf-8"))
        params.write_text(without_costly_entries(text), encoding="utf-8")
        for graph in (folder / "dvc.yaml", folder / "ablations" / "dvc.yaml"):  # nor wait for encoders that are gone
            needed = re.sub(rf"(?m)^ +- data/\$\{{scale\}}/encoders/(?!{KEPT_ENCODERS}|\$).*\n", "", graph.read_text())
            graph.write_text(needed, encoding="utf-8")
        write_lock(Params(YamlFile.read(params)).ablations, folder)
        self.run("git", "init", "--quiet")
        self.run("dvc", "init", "--quiet")
        self.run("dvc", "config", "core.analytics", "false")
        if cache is not None:
            self.run("dvc", "cache", "dir", "--local", str(cache))
        return self

    def copy_to(self, folder: Path) -> Workspace:
        """A copy of this workspace with all that it has made and its cache, to be changed."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workspace(folder)

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
    return Workspace.new(tmp_path / "project")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy in which `dvc repro` has run once at scale `smoke`; tests must not change it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the first worker that asks runs it, and each has a copy
        shared = shared.parent
    folder, made = shared / "finished" / "project", shared / "finished" / "made"
    with FileLock(shared / "finished.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed half-way
            Workspace.new(folder).run("dvc", "repro")
            made.touch()
    return Workspace(folder).copy_to(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The local folder with real faces and photographs."""
    folder = os.environ.get("SRLEDGER_MIRROR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the data mirror: export SRLEDGER_MIRROR=/path/to/folder")
    return Path(folder)
