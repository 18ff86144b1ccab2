"""The report in a real browser: it renders without a network and without an error."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Workspace

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0",
]  # fmt: skip


def chromium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: make test-deps")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("index.html", "landmark_unet_student"),
        ("data.html", "Images that look alike"),
        ("gates.html", "No picture of a split looks like one of another"),
    ],
)
def test_the_page_renders_without_an_error(finished: Workspace, tmp_path: Path, name: str, told: str) -> None:
    page = finished.folder / "reports" / "smoke" / name
    dom = chromium(tmp_path, "--dump-dom", f"file://{page}")
    assert "CONSOLE" not in dom.stderr or "rror" not in dom.stderr.split("CONSOLE", 1)[1].splitlines()[0], dom.stderr
    assert told in dom.stdout
    assert "http://" not in dom.stdout.replace("http://www.w3.org/", "") and "https://" not in dom.stdout


def test_the_page_can_be_photographed(finished: Workspace, tmp_path: Path) -> None:
    from PIL import Image

    page, shot = finished.folder / "reports" / "smoke" / "index.html", tmp_path / "shot.png"
    chromium(tmp_path, "--window-size=1200,1600", f"--screenshot={shot}", f"file://{page}")
    with Image.open(shot) as image:
        colours = image.convert("RGB").getcolors(1 << 24)
        assert image.size[0] == 1200 and colours is not None and len(colours) > 500  # neither blank nor an error page
