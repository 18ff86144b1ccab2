"""Metrics of identity and of landmarks: golden cases, real weights, and what they say when they can't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_tools import untrained_encoder
from metric_tools import FRONTAL

from srledger.encoders.pfld import five_of
from srledger.evaluation.measure import Panel, metric_info
from srledger.io import write_json
from srledger.layout import INACTIVE, Layout
from srledger.metrics import Metric, MetricName, MetricUnavailable
from srledger.metrics._identity import angle_of
from srledger.metrics._landmark_distance import between_eyes_px, distance_px
from srledger.metrics.enc_dists import dists_of_maps
from srledger.metrics.lmd_pfld import LmdPfld
from srledger.metrics.lmd_pfld_failures import LmdPfldFailures
from srledger.plugins import plugin_class
from srledger.seeds import torch_generator
from srledger.weights import resolve_all

TRAINED = ("recogniser", "mobile_recogniser")
PUBLISHED = ("identity_similarity_mobilefacenet", "deg_mobilefacenet", "lmd_pfld", "lmd_pfld_failures")


def images(count: int = 2, side_px: int = 32) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 3, side_px, side_px), generator=torch_generator("images"), dtype=torch.uint8
    )  # fmt: skip


def of_pipeline(name: str, encoder: str) -> Metric:
    return MetricName(name).build({encoder: untrained_encoder(encoder)})


def at_hand(name: str) -> Metric:
    needed = plugin_class("metrics", name).weights
    files = resolve_all(needed)
    if set(files) != set(needed):
        pytest.skip(f"weights {needed} are not at hand: set SRLEDGER_MIRROR")
    return MetricName(name).build(files)


def test_angles_are_exact_where_an_arccosine_is_not() -> None:
    first = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    for angle in (0.0, 1e-9, 0.5, 1.5, 3.0, torch.pi):
        second = torch.tensor([[np.cos(angle), np.sin(angle)]], dtype=torch.float64)
        assert float(angle_of(first, second)) == pytest.approx(angle, rel=1e-7, abs=1e-15)


@pytest.mark.parametrize("encoder", TRAINED)
def test_similarity_is_the_cosine_and_deg_its_angle(encoder: str) -> None:
    sr, hr = images(4).chunk(2)
    similarity, angle = (of_pipeline(f"{kind}_{encoder}", encoder) for kind in ("identity_similarity", "deg"))
    cosines, degrees = similarity.measure(sr, hr), angle.measure(sr, hr)
    network = similarity.network  # type: ignore[attr-defined]
    ours, theirs = (network.embed(one.float() / 255) for one in (sr, hr))
    assert cosines is not None and degrees is not None
    assert torch.allclose(cosines, (ours * theirs).sum(dim=1).double(), atol=1e-5)
    assert torch.allclose(degrees.deg2rad().cos(), cosines, atol=1e-9)
    assert similarity.measure(hr, hr).tolist() == [1, 1] and angle.measure(hr, hr).tolist() == [0, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize("encoder", TRAINED)
@pytest.mark.parametrize("kind", ["identity_similarity", "deg"])
def test_a_scale_without_the_recogniser_says_so_under_the_metrics_own_name(
    kind: str, encoder: str, tmp_path: Path
) -> None:
    layout = Layout("smoke", tmp_path)
    write_json(layout.encoder(encoder) / INACTIVE, {"why": f"scale smoke has no encoder '{encoder}'"})
    panel = Panel([f"{kind}_{encoder}"], (), layout)
    assert panel.unavailable == {f"{kind}_{encoder}": f"scale smoke has no encoder '{encoder}'"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_that_are_not_at_hand_are_said_under_the_metrics_own_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("SRLEDGER_WEIGHTS", "SRLEDGER_MIRROR", "SRLEDGER_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    weights = plugin_class("metrics", name).weights[0]
    layout = Layout("smoke", tmp_path)
    assert "are not among scales.smoke.weights" in Panel([name], (), layout).unavailable[name]
    assert Panel([name], [weights], layout).unavailable[name] == f"weights '{weights}' are not at hand (make weights)"


@pytest.mark.parametrize("name", ["identity_similarity_mobilefacenet", "deg_mobilefacenet"])
def test_mobilefacenet_wants_landmarks(name: str) -> None:
    metric = at_hand(name)
    with pytest.raises(MetricUnavailable, match="needs the landmarks"):
        metric.measure(images(), images())
    values = metric.measure_at(images(), images(), [FRONTAL * 32] * 2)  # type: ignore[attr-defined]
    best = 1.0 if metric.higher_is_better else 0.0
    assert values.dtype == torch.float64 and torch.allclose(values, torch.full((2,), best).double(), atol=1e-9)


@pytest.mark.parametrize("name", [f"identity_similarity_{one}" for one in (*TRAINED, "mobilefacenet")])
def test_too_small_faces_are_not_measured(name: str) -> None:
    encoder = plugin_class("metrics", name).pipeline_encoder
    metric = of_pipeline(name, encoder) if encoder else at_hand(name)
    small = images(1, 8)
    with pytest.raises(MetricUnavailable, match="smaller than the 16 px"):
        metric.measure_at(small, small, [FRONTAL * 8]) if encoder is None else metric.measure(small, small)  # type: ignore[attr-defined]


def test_the_protocol_names_its_network_and_no_papers_metric() -> None:
    for encoder in (*TRAINED, "mobilefacenet"):
        similarity, angle = (metric_info(f"{kind}_{encoder}") for kind in ("identity_similarity", "deg"))
        assert similarity["higher_is_better"] and not angle["higher_is_better"] and angle["unit"] == "deg"
        assert "not the Deg. of papers" in angle["protocol"]
    protocols = {metric_info(f"deg_{encoder}")["protocol"] for encoder in (*TRAINED, "mobilefacenet")}
    assert len(protocols) == 3


def face_of_68(shift_px: float = 0.0) -> torch.Tensor:
    """Landmarks with the eyes' middles 20 px apart."""
    points = torch.zeros(68, 2, dtype=torch.float64)
    points[36:42], points[42:48] = torch.tensor([10.0, 12.0]), torch.tensor([30.0, 12.0])
    return points + torch.tensor([shift_px, 0.0])


class Answers(LmdPfldFailures):
    """PFLD's place is taken by what a test says that it found: one face per grey level."""

    def __init__(self) -> None:
        pass

    def _points(self, image: torch.Tensor) -> torch.Tensor:
        return face_of_68(float(image[0, 0, 0, 0]) / 10)


def test_distances_and_failures_as_worked_by_hand() -> None:
    assert float(distance_px(face_of_68(1.5), face_of_68())) == pytest.approx(1.5)
    assert float(between_eyes_px(face_of_68(7.0))) == 20
    five = five_of(face_of_68()[None])[0]
    assert five.tolist() == [[10, 12], [30, 12], [0, 0], [0, 0], [0, 0]]
    hr = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    sr = hr + torch.tensor([0, 19, 21], dtype=torch.uint8)[:, None, None, None]
    compare = Answers().compare
    values = [float(compare(Answers()._points(one), face_of_68())) for one in sr[:, None].float()]
    assert values == [0, 0, 100], "2.1 px are more than a tenth of 20 px"
    assert float(LmdPfld.compare(Answers(), face_of_68(30.0), face_of_68())) == 30.0, "a failure counts as far as it is"


def test_pfld_finds_the_landmarks_of_real_faces(mirror: Path) -> None:
    """The mirror's own check: 1.5 to 1.9 px from MTCNN's at 128 px."""
    import csv

    from PIL import Image

    network = at_hand("lmd_pfld").network  # type: ignore[attr-defined]
    with (mirror / "faces/celeba/landmarks.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["file"].startswith("test/")][:24]
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    wanted = np.array([[[float(row[f"{name}_{axis}"]) for axis in "xy"] for name in names] for row in rows])
    faces = np.stack([np.array(Image.open(mirror / "faces/celeba" / row["file"])) for row in rows])
    with torch.no_grad():
        found = network.landmarks(torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 255)
    assert found.shape == (24, 68, 2)
    assert np.linalg.norm(five_of(found).numpy() - wanted, axis=-1).mean() < 2


def test_dists_of_maps_as_worked_by_hand() -> None:
    a = torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]], dtype=torch.float64)
    b = torch.tensor([[[[3.0, 1.0]], [[4.0, 4.0]]]], dtype=torch.float64)
    # Channel 1: means 2 and 2, so texture 1; variances 1 and 1, covariance -1, so structure -1. Channel 2: means 2
    # and 4, texture 16 / 20; both flat, structure 1 (C2 / C2).
    assert float(dists_of_maps([a], [b])) == pytest.approx(1 - (1 - 1 + 0.8 + 1) / 4, abs=1e-5)
    assert float(dists_of_maps([a, a[:, :1]], [b, a[:, :1]])) == pytest.approx(1 - (1.8 + 2) / 6, abs=1e-5)
    assert float(dists_of_maps([a], [a])) == pytest.approx(0, abs=1e-12)


def test_enc_dists_sees_the_image_and_every_block() -> None:
    metric = of_pipeline("enc_dists", "tiny_dino_vit")
    sr, hr = images(2).chunk(2)
    network = metric.network  # type: ignore[attr-defined]
    with torch.no_grad():
        maps = [[one.float() / 255, *network(one.float() / 255)] for one in (sr, hr)]
    assert len(maps[0]) == 4
    assert float(metric.measure(sr, hr)) == pytest.approx(float(dists_of_maps(*maps)), rel=1e-6)  # type: ignore[arg-type]
    assert "not DISTS" in metric.protocol and metric.measure(hr, hr).tolist() == [pytest.approx(0, abs=1e-6)]  # type: ignore[union-attr]
