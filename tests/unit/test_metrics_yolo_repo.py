"""The landmark U-Net's own metrics against torchmetrics, on images that were neither clamped nor rounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from srledger.evaluation.config import EvaluationConfig
from srledger.evaluation.measure import Panel
from srledger.evaluation.restore import restore_batch, restore_unclamped, to_8_bits
from srledger.layout import Layout
from srledger.methods import Method
from srledger.metrics import MetricName, MetricUnavailable
from srledger.metrics._psnr import CAP_DB
from srledger.packs import PackWriter
from srledger.plugins import PluginConfig, plugin_class, plugin_config
from srledger.seeds import numpy_generator
from srledger.training.batches import Examples

NAMES = ("psnr_yolo_repo", "ssim_yolo_repo", "ms_ssim_yolo_repo")


def pair(side_px: int = 128, spread: float = 0.08) -> tuple[torch.Tensor, torch.Tensor]:
    """(sr, hr) float32 ``2 x 3 x side x side``: HR in [0, 1], SR leaves it."""
    squares = np.stack([data.astronaut()[40 * k : 40 * k + side_px, 180 : 180 + side_px] for k in range(2)])
    hr = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    noise = torch.from_numpy(numpy_generator("yolo", 0).normal(0, spread, tuple(hr.shape))).float()
    sr = hr + noise
    assert sr.min() < 0 and sr.max() > 1
    return sr, hr


def value(name: str, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    metric = MetricName.parse(name).build({})
    assert metric.reads == "float"
    found = metric.measure(sr, hr)
    assert found is not None
    return found


@pytest.mark.parametrize("side_px", [63, 64, 96, 128])
@pytest.mark.parametrize("spread", [0.08, 0.3])
def test_they_are_what_torchmetrics_gives(side_px: int, spread: float) -> None:
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure,
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    sr, hr = pair(side_px, spread)
    theirs, ours = (sr.double() * 2 - 1, hr.double() * 2 - 1), {name: value(name, sr, hr) for name in NAMES}
    psnr = peak_signal_noise_ratio(*theirs, data_range=2.0, reduction="none", dim=(1, 2, 3))
    ssim = structural_similarity_index_measure(*theirs, data_range=2.0, reduction="none")
    ms_ssim = multiscale_structural_similarity_index_measure(
        *theirs,
        data_range=2.0,
        reduction="none",
        kernel_size=7,
        betas=(0.0448, 0.2856, 0.3001, 0.2363),
        normalize="relu",
    )
    for name, expected in zip(NAMES, (psnr, ssim, ms_ssim), strict=True):
        torch.testing.assert_close(ours[name], expected.double(), rtol=0, atol=1e-6)


def test_psnr_on_values_that_need_no_clamping_is_that_of_0_to_1() -> None:
    _, hr = pair()
    sr = hr * 0.9 + 0.05
    mse = (sr.double() - hr.double()).square().mean(dim=(1, 2, 3))
    assert value("psnr_yolo_repo", sr, hr).tolist() == pytest.approx((10 * torch.log10(1 / mse)).tolist(), abs=1e-9)


def test_unclamped_values_cost_and_a_shift_is_seen() -> None:
    sr, hr = pair()
    assert (value("psnr_yolo_repo", sr, hr) < value("psnr_yolo_repo", sr.clamp(0, 1), hr)).all()
    standard = MetricName.parse("ssim_rgb").build({}).measure(to_8_bits(sr), to_8_bits(hr))
    assert standard is not None and ((value("ssim_yolo_repo", sr, hr) - standard).abs() > 1e-3).all()


def test_equal_images() -> None:
    _, hr = pair()
    found = [value(name, hr, hr).tolist() for name in NAMES]
    assert found[0] == [CAP_DB, CAP_DB] and np.allclose(found[1:], 1)


def test_small_images_are_refused() -> None:
    small = torch.zeros(1, 3, 62, 62)
    with pytest.raises(MetricUnavailable, match="62x62 px"):
        value("ms_ssim_yolo_repo", small, small)
    with pytest.raises(MetricUnavailable, match="10x10 px"):
        value("ssim_yolo_repo", small[..., :10, :10], small[..., :10, :10])


def test_the_panel_gives_each_metric_what_it_reads() -> None:
    sr, hr = pair()
    rounded, target = to_8_bits(sr), to_8_bits(hr)
    panel = Panel(["psnr_rgb", *NAMES, "psnr_yolo_repo_crop4"], (), Layout("s"))
    measured = panel.start_seed()
    panel.take(rounded, target, measured, unclamped=sr)
    assert not panel.unavailable
    for name in NAMES:
        assert measured.images[name] == value(name, sr, hr).tolist()
    inner = (..., slice(4, -4), slice(4, -4))
    assert measured.images["psnr_yolo_repo_crop4"] == value("psnr_yolo_repo", sr[inner], hr[inner]).tolist()
    assert measured.images["psnr_rgb"] == MetricName.parse("psnr_rgb").build({}).measure(rounded, target).tolist()  # type: ignore[union-attr]


def test_where_only_8_bits_are_left_they_are_unavailable_and_the_others_as_before() -> None:
    sr, hr = (to_8_bits(images) for images in pair())
    alone, together = (
        Panel(["psnr_rgb", "ssim_rgb"], (), Layout("s")),
        Panel(["psnr_rgb", "ssim_rgb", *NAMES], (), Layout("s")),
    )
    before, after = alone.start_seed(), together.start_seed()
    alone.take(sr, hr, before)
    together.take(sr, hr, after)
    assert after.images == before.images and set(together.unavailable) == set(NAMES)
    assert "rounded to 8 bits" in together.unavailable["psnr_yolo_repo"]


class Shifted(Method):
    """Nearest-neighbour enlargement that overshoots on purpose."""

    trainable = False

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: object) -> torch.Tensor:
        return lr.repeat_interleave(2, -1).repeat_interleave(2, -2).double() * 1.4 - 0.2


def test_restored_images_are_the_unclamped_ones_in_8_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind, side_px in (("hr", 16), ("lr", 8)):
        with PackWriter(tmp_path / f"test_{kind}", np.uint8) as pack:
            for k in range(3):
                pack.add(f"i{k}", rng.integers(0, 256, (side_px, side_px, 3), np.uint8))
    examples, config = Examples(tmp_path, None, "test"), EvaluationConfig(threads=1)
    method = Shifted(PluginConfig(), 2)
    unclamped, hr = restore_unclamped(method, examples, [0, 1, 2], "row", 0, config)
    sr, same_hr = restore_batch(method, examples, [0, 1, 2], "row", 0, config)
    assert unclamped.dtype == torch.float32 and unclamped.min() < 0 and unclamped.max() > 1
    lr = torch.from_numpy(np.stack([examples[k][1] for k in range(3)])).permute(0, 3, 1, 2).float() / 255
    by_hand = (method.restore(lr, lr, ()).float().clamp(0, 1) * 255).round().to(torch.uint8)
    assert torch.equal(sr, by_hand) and torch.equal(to_8_bits(unclamped), sr) and torch.equal(hr, same_hr)
    assert torch.equal(hr, torch.from_numpy(np.stack([examples.hr[k] for k in range(3)])).permute(0, 3, 1, 2))


def test_the_landmark_unet_leaves_its_output_unclamped() -> None:
    config = plugin_config("methods", "landmark_unet")(width=8, up_widths=(8,), refine_blocks=0)
    method = plugin_class("methods", "landmark_unet")(config, 2)
    with torch.no_grad():
        method.head.bias.fill_(3.0)
        assert method.restore(torch.full((1, 3, 16, 16), 0.5), torch.ones(1, 1, 32, 32), [0]).max() > 1
