"""A row rests on the shared code that its method imports, and on no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from srledger.imports import imported_files
from srledger.provenance import stage_code

PACKAGE = {
    "__init__.py": "",
    "method.py": "import math\nfrom pkg.shared.masks import mask\n",
    "shared/__init__.py": "",
    "shared/masks.py": "from pkg.shared import levels\nfrom pkg import seeds as drawn\n",
    "shared/levels.py": "import pkg.method\n",
    "shared/other.py": "from pkg.shared import masks\n",
    "seeds.py": "",
}


def test_imports_are_followed_through_the_package_and_in_circles(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    for name, text in PACKAGE.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    found = {path.relative_to(package).as_posix() for path in imported_files([package / "method.py"], package)}
    assert found == set(PACKAGE) - {"shared/other.py"}


SAMPLED = {"srdiff": {"sampler.py"}, "sr3": {"sampler.py", "unet.py"}}


@pytest.mark.parametrize(("method", "rests_on"), [("landmark_unet", set()), ("rrdb", set()), *SAMPLED.items()])
def test_a_method_rests_on_the_diffusion_core_as_far_as_it_imports_it(method: str, rests_on: set[str]) -> None:
    code = stage_code(ROOT, "train", {"key": method, "method": method, "task": "t", "prior": "p"})
    of_core = {path.name for path in code if path.parent.name == "diffusion"}
    assert of_core >= rests_on and bool(of_core) == bool(rests_on)
    assert (method == "sr3") == ("unet.py" in of_core)


@pytest.mark.parametrize(
    ("metric", "rests_on"),
    [
        ("psnr_rgb", set()),
        ("squeezenet_distance", {"squeezenet1_1_caffe.py"}),
        ("enc_lpips", {"tiny_dino_vit.py", "_vit.py"}),
        ("lmd_pfld", {"pfld.py"}),
    ],
)
def test_a_row_rests_on_the_networks_that_its_metrics_ask(metric: str, rests_on: set[str]) -> None:
    item = {"key": "bicubic", "method": "bicubic"}
    without, measured = (set(stage_code(ROOT, "evaluate", item, metrics=names)) for names in ((), (metric,)))
    added = {path.relative_to(ROOT / "src/srledger").as_posix() for path in measured - without}
    assert f"metrics/{metric}.py" in added
    assert {path.removeprefix("encoders/") for path in added if path.startswith("encoders/")} >= rests_on
    assert any(path.startswith("encoders/") for path in added) == bool(rests_on)
