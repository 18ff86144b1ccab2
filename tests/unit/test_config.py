"""params.yaml: what is wrong with it is said before any work, with file, line, key, and the nearest name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from srledger.config import SCALES, Params
from srledger.errors import SrledgerError

FILE = Path(__file__).parents[2] / "params.yaml"
TEXT = re.sub(r"(?m)^scale: \w+", "scale: quick", FILE.read_text(encoding="utf-8"))


def load(tmp_path: Path, *edits: tuple[str, str], scale: str | None = None) -> Params:
    text = TEXT
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params.load(tmp_path, scale)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_valid(tmp_path: Path, scale: str) -> None:
    params = load(tmp_path, scale=scale)
    assert any(row.active for row in params.rows.values())


def test_the_later_setting_wins(tmp_path: Path) -> None:
    params = load(tmp_path, scale="quick")
    assert params.rows["landmark_unet"].config.width == 32  # at.quick, over the row's own 64
    assert params.rows["landmark_unet"].config.pixel_loss == "l1"  # the row's own, over the default mse
    assert params.rows["rrdb"].training.learning_rate == 5e-4  # the row's own, over training


def test_settings_may_be_taken_over_by_a_merge_key(tmp_path: Path) -> None:
    params = load(tmp_path, ("imdn: { method: imdn,", "imdn: { <<: { method: imdn },"))
    assert params.rows["imdn"].method == "imdn"
    with pytest.raises(SrledgerError, match=r"params.yaml:\d+: variants.imdn"):
        load(tmp_path, ("imdn: { method: imdn,", "imdn: { <<: { methode: imdn },"))


def test_a_scale_may_give_a_task_other_metrics(tmp_path: Path) -> None:
    at_quick = "faces_x8: { hr_size_px: 64 }"
    edit = (at_quick, at_quick.replace(" }", ", metrics: [fed] }"))
    found = [load(tmp_path, edit, scale=scale).tasks["faces_x8"].metrics for scale in ("quick", "paper")]
    assert found[0] == ("fed",) and "psnr_rgb_parts" in found[1]
    typo = (at_quick, at_quick.replace(" }", ", metrics: [feb] }"))
    with pytest.raises(SrledgerError, match=r"scales.quick.tasks.faces_x8.metrics(?s:.*)nearest:  fed"):
        load(tmp_path, typo, scale="quick").tasks["faces_x8"]


def test_a_row_may_run_at_some_of_the_scales_that_take_all_rows(tmp_path: Path) -> None:
    edit = ("  srdiff: &srdiff\n", "  srdiff: &srdiff\n    scales: [celeba_cpu, paper]\n")
    assert [load(tmp_path, edit, scale=scale).is_active("srdiff") for scale in ("celeba_gpu", "paper")] == [False, True]
    with pytest.raises(SrledgerError, match=r"_world' runs at other scales(?s:.*)add celeba_cpu to its scales"):
        load(tmp_path, ("      - imdn\n", "      - landmark_unet_yolo_world\n"), scale="quick")
    with pytest.raises(SrledgerError, match="nearest:  paper"):
        load(tmp_path, (edit[0], edit[1].replace("paper", "papre")), scale="quick")


def test_the_paper_scale_is_the_published_network(tmp_path: Path) -> None:
    config = load(tmp_path, scale="paper").rows["landmark_unet"].config
    assert (config.width, config.up_widths, config.refine_blocks, config.pixel_loss) == (48, None, 5, "mse")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            ("  batch_size: 16\n", "  batchsize: 16\n"),
            ["unknown key 'batchsize'", "params.yaml:", "nearest:  batch_size"],
        ),
        (("  threads: 2\n", '  threads: "2"\n'), ["threads", "training.threads", "'2'"]),
        (("  seeds: [0, 1]", "  seeds: [1, 1]"), ["seeds must be unique"]),
        (("{ method: bicubic, task: faces_x8,", "{ method: bicubik, task: faces_x8,"), ["nearest:  bicubic"]),
        (("{ method: bicubic, task: faces_x8,", "{ method: bicubic, task: face_x8,"), ["nearest:  faces_x8"]),
        (("task: photos_x4\n    prior: uniform", "task: photos_x4\n    prior: landmark_gauss"), ["not made for task"]),
        (("teacher: landmark_unet\n", "teacher: landmark_unett\n"), ["unknown teacher", "nearest:  landmark_unet"]),
        (("{ crop_px: 64 }", "{ crop_px: 66 }"), ["the scale factor does not divide the crop", "multiple of 4"]),
        (("faces_x8: { hr_size_px: 64 }", "faces_x8: { hr_size_px: 60 }"), ["does not divide the HR size"]),
        (("  - psnr_rgb\n", "  - psnr_rbg\n"), ["unknown metric", "nearest:  psnr_rgb"]),
        (("scale: quick", "scale: quik"), ["scale", "nearest:  quick"]),
        (("  - gmsd\n", "  - gmsd: [\n"), ["not valid YAML", "params.yaml:"]),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, edit: tuple[str, str], said: list[str]) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, edit)
    for words in said:
        assert words in str(caught.value), str(caught.value)


def test_a_line_is_that_of_the_key(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, ("  threads: 2\n", "  treads: 2\n"))
    lines = (tmp_path / "params.yaml").read_text(encoding="utf-8").splitlines()
    assert f"params.yaml:{lines.index('  treads: 2') + 1}:" in str(caught.value)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError, match="a file is missing"):
        Params.load(tmp_path)
