"""Numbers that the field knows: Set5 x4 from the MATLAB LR images, bicubic and IMDN's published weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from srledger.data import Source
from srledger.evaluation.restore import to_8_bits
from srledger.methods import Method
from srledger.metrics import MetricName
from srledger.plugins import plugin_class, plugin_config
from srledger.training.batches import to_tensor
from srledger.weights import resolve_all


def mean_psnr_y(method: Method, source: Source) -> float:
    metric = MetricName.parse("psnr_y_ycbcr_crop4")
    psnr = metric.build({})
    values = []
    for image in source.images():
        assert image.lr is not None
        lr, hr = to_tensor([image.lr]), torch.from_numpy(np.ascontiguousarray(image.pixels.transpose(2, 0, 1)))[None]
        with torch.inference_mode():
            sr = to_8_bits(method.eval().restore(lr, torch.ones(1, 1, *hr.shape[-2:]), [0]))
        values.append(psnr.measure(metric.crop(sr), metric.crop(hr)))
    assert len(values) == 5
    return float(torch.cat(values).mean())


@pytest.fixture
def set5(mirror: Path) -> Source:
    config = {
        "path": "general",
        "splits": {"test": "Set5"},
        "lr_folder": "Set5_LRx4_matlab",
        "licence": "public benchmark",
    }
    return plugin_class("data", "folder")(plugin_config("data", "folder")(**config))


def test_bicubic_on_set5(set5: Source) -> None:
    method = plugin_class("methods", "bicubic")(plugin_config("methods", "bicubic")(), 4)
    assert mean_psnr_y(method, set5) == pytest.approx(28.42, abs=0.03)


def test_imdn_on_set5(set5: Source) -> None:
    method = plugin_class("methods", "imdn")(plugin_config("methods", "imdn")(), 4)
    method.load_published(resolve_all(method.weights))
    assert mean_psnr_y(method, set5) == pytest.approx(32.21, abs=0.03)
