"""Metrics on networks: the published packages with the same weights give the same numbers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from srledger.metrics import MetricName
from srledger.metrics._images import measure_each
from srledger.metrics.squeezenet_distance import layer_distance
from srledger.plugins import plugin_class, plugin_config
from srledger.seeds import numpy_generator

SQUEEZENET = "squeezenet1_1_caffe"


def pair(count: int = 2, side_px: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Squares of a photograph with noise, and without: uint8 ``count x 3 x side x side``."""
    squares = np.stack([data.astronaut()[40 * k : 40 * k + side_px, 180 : 180 + side_px] for k in range(count)])
    hr = torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous()
    noise = torch.from_numpy(numpy_generator("pair", 0).normal(0, 15, tuple(hr.shape)))
    return (hr + noise).round().clamp(0, 255).to(torch.uint8), hr


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to connect fails the test."""

    def refuse(*args: object) -> None:
        raise AssertionError("an attempt to connect")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def squeezenet_file() -> Path:
    mirror = os.environ.get("SRLEDGER_MIRROR") or pytest.skip("SRLEDGER_MIRROR is not set: no SqueezeNet weights")
    return Path(mirror) / "weights/squeezenet1_1_caffe_features.safetensors"


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("trunk", "weights"), [("alex", "alexnet_imagenet"), ("vgg", "vgg16_imagenet")])
def test_lpips_equals_the_lpips_package(tmp_path: Path, trunk: str, weights: str) -> None:
    import lpips

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False).eval()
    file = tmp_path / "trunk.pth"  # a stand-in for torchvision's file, with its key names
    torch.save({"features." + key.split(".", 1)[1]: value for key, value in theirs.net.state_dict().items()}, file)

    sr, hr = pair()
    metric = MetricName.parse(f"lpips_{trunk}").build({weights: file})
    found = metric.measure(sr, hr)
    with torch.no_grad():
        expected = theirs(sr / 127.5 - 1.0, hr / 127.5 - 1.0).flatten().double()
    assert found is not None and (found > 0).all()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert torch.equal(found, torch.cat([metric.measure(sr[k : k + 1], hr[k : k + 1]) for k in range(2)]))
    torch.testing.assert_close(found, metric.measure(hr, sr), rtol=1e-5, atol=0)
    assert metric.measure(hr, hr).tolist() == [0.0, 0.0]


@pytest.mark.usefixtures("no_network")
def test_fid_equals_torch_fidelity(tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    class Untrained(FeatureExtractorInceptionV3):
        """torch-fidelity's network as it starts: without a weights file to read."""

        def load_state_dict(self, *args: object, **kwargs: object) -> None:
            pass

    empty, file = tmp_path / "empty.pth", tmp_path / "inception.pth"
    torch.save({}, empty)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = Untrained("untrained", ["2048"], feature_extractor_weights_path=empty)
    torch.save(theirs.state_dict(), file)

    sr, hr = pair(count=2)
    metric = MetricName.parse("fid_inception").build({"inception_fid": file})
    assert metric.measure(sr, hr) is None
    with torch.no_grad():
        statistics = [fid_features_to_statistics(theirs(images)[0].double()) for images in (sr, hr)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert metric.compute().n == 2
    assert metric.compute().value == pytest.approx(expected, rel=1e-3) and expected > 0


def test_squeezenet_is_torchvisions_architecture_on_caffe_input(squeezenet_file: Path) -> None:
    from safetensors.torch import load_file
    from torchvision.models import squeezenet1_1

    with torch.random.fork_rng(devices=[]):
        theirs = squeezenet1_1(weights=None).eval()
    theirs.load_state_dict(load_file(squeezenet_file), strict=False)
    encoder = plugin_class("encoders", SQUEEZENET)(
        plugin_config("encoders", SQUEEZENET)(), {SQUEEZENET: squeezenet_file}
    )

    images = pair(side_px=75)[1] / 255.0
    caffe_input = images[:, [2, 1, 0]] * 255.0 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    with torch.no_grad():
        found, expected = encoder(images), theirs.features(caffe_input)
    torch.testing.assert_close(found[-1], expected, rtol=1e-5, atol=1e-3)
    assert [maps.shape[1] for maps in found] == [64, 128, 256, 384, 384, 512, 512]
    assert not any(parameter.requires_grad for parameter in encoder.parameters()) and not encoder.training


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")
def test_squeezenet_distance_has_the_form_of_lpips_without_heads(squeezenet_file: Path) -> None:
    """With the package's own trunk swapped for ours, its "baseline" (no heads) is our distance."""
    import lpips

    encoder = plugin_class("encoders", SQUEEZENET)(
        plugin_config("encoders", SQUEEZENET)(), {SQUEEZENET: squeezenet_file}
    )
    with torch.random.fork_rng(devices=[]):
        theirs = lpips.LPIPS(net="squeeze", lpips=False, pnet_rand=True, version="0.0", verbose=False)
    theirs.net = encoder
    sr, hr = pair()
    found = MetricName.parse("squeezenet_distance").build({SQUEEZENET: squeezenet_file}).measure(sr, hr)
    expected = measure_each(lambda a, b: theirs(a / 255.0, b / 255.0), sr, hr)
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_layer_distance_of_opposed_and_of_equal_features() -> None:
    maps = torch.ones(1, 4, 2, 3)
    assert float(layer_distance(maps, 5 * maps)) == pytest.approx(0.0, abs=1e-12)  # length is normalised away
    assert float(layer_distance(maps, -maps)) == pytest.approx(4.0)  # |u - (-u)|^2
