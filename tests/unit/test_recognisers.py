"""Recognisers: margins worked by hand, vectors that tell drawn people apart, faces brought to their place."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

from srledger.config import Params
from srledger.encoders import Encoder
from srledger.encoders._alignment import SPHEREFACE_PX, SPHEREFACE_SIZE, aligned, similarity_transform
from srledger.encoders._margin import Margin, MarginHead, margin_terms
from srledger.encoders._mobile import MobileFace
from srledger.encoders._onnx import read_onnx
from srledger.encoders._recognition import Jitter, MarginLearner, moved
from srledger.encoders.mobile_recogniser import Config as MobileConfig
from srledger.encoders.mobilefacenet import STAGES, PublishedMobileFaceNet
from srledger.encoders.recogniser import Config, ResidualRecogniser
from srledger.errors import SrledgerError
from srledger.identity_examples import identity_map
from srledger.io import read_json, sha256_file, write_json
from srledger.layout import Layout
from srledger.methods import Batch
from srledger.packs import PackWriter
from srledger.pipeline_encoders import load_encoder, write_encoder
from srledger.plugins import PluginConfig, plugin_class, plugin_config
from srledger.provenance import stage_code
from srledger.seeds import numpy_generator, torch_generator
from srledger.settings import Dataset, EncoderSpec, Task
from srledger.training.batches import to_tensor
from srledger.training.config import TrainingConfig
from srledger.weights import resolve_all

SMALL = {
    "recogniser": Config(size_px=32, widths=(8, 8, 16), blocks=(1, 1, 1), width=16),
    "mobile_recogniser": MobileConfig(size_px=32, stem=8, channels=16, blocks=1, last=32, width=16),
}
TRAINING = {
    "steps": 60, "batch_size": 16, "learning_rate": 5e-3, "warmup_steps": 5, "weight_decay": 0.01, "threads": 1,
    "ema_decay": 0.0, "log_every_steps": 20, "checkpoint_every_steps": 30,
}  # fmt: skip
both = pytest.mark.parametrize("name", list(SMALL))


def head(kind: str, **settings: float) -> MarginHead:
    """Directions of three people in the plane: along x, along y, and against x."""
    made = MarginHead(2, 3, Margin(kind=kind, **{"scale": 10.0, **settings}))  # type: ignore[arg-type]
    with torch.no_grad():
        made.directions.copy_(torch.tensor([[2.0, 0.0], [0.0, 0.5], [-1.0, 0.0]]))  # lengths mean nothing
    return made


def at_degrees(*angles: float) -> torch.Tensor:
    radians = torch.tensor(angles, dtype=torch.float64).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1).float()


def test_arcface_as_worked_by_hand() -> None:
    logits = head("arcface", margin=math.radians(20))(at_degrees(40, 40) * 7, torch.tensor([0, 1]))
    cos = {angle: 10 * math.cos(math.radians(angle)) for angle in (40, 50, 60, 70, 140)}
    assert logits[0].tolist() == pytest.approx([cos[60], cos[50], cos[140]], abs=1e-4), "its own angle: 40 + 20"
    assert logits[1].tolist() == pytest.approx([cos[40], cos[70], cos[140]], abs=1e-4), "its own angle: 50 + 20"
    own, other, third = cos[60], cos[50], cos[140]
    loss = math.log(1 + math.exp(other - own) + math.exp(third - own))
    terms = margin_terms(head("arcface", margin=math.radians(20)), at_degrees(40), torch.tensor([0]), 1.0)
    assert float(terms["total"].detach()) == pytest.approx(loss, abs=1e-4) and float(terms["right"]) == 1


def test_cosface_as_worked_by_hand() -> None:
    logits = head("cosface", margin=0.35)(at_degrees(60), torch.tensor([1]))
    expected = [5, 10 * (math.cos(math.radians(30)) - 0.35), -5]
    assert logits[0].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_without_a_margin_both_are_the_scaled_cosine(kind: str) -> None:
    made = head(kind, margin=0.0)
    assert torch.allclose(made(at_degrees(33, 170), torch.tensor([0, 2])), 10 * made.cosines(at_degrees(33, 170)))


@pytest.mark.parametrize("kind", ["arcface", "cosface"])
def test_the_own_logit_falls_with_the_angle_all_around(kind: str) -> None:
    angles = at_degrees(*np.linspace(0, 180, 181).tolist())
    own = head(kind, margin=0.5)(angles, torch.zeros(181, dtype=torch.int64))[:, 0]
    assert (own.diff() < 1e-5).all() and own[0] > own[-1] + 15
    assert torch.isfinite(own).all()


def test_the_margin_has_a_gradient_even_where_a_face_meets_its_direction() -> None:
    vectors = at_degrees(0, 180).requires_grad_()
    head("arcface", margin=0.5)(vectors, torch.tensor([0, 0])).sum().backward()
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()


def test_the_margin_rises() -> None:
    settings = Margin(margin=0.4, rise=0.5)
    assert [settings.at(progress) for progress in (0.0, 0.25, 0.5, 0.9)] == pytest.approx([0, 0.2, 0.4, 0.4])
    assert Margin(margin=0.4, rise=0.0).at(0.0) == 0.4


def person(k: int, image: int, side_px: int = 32) -> np.ndarray:
    """A blurred pattern of a person's own, in another light and with noise in every image."""
    own = numpy_generator("person", k).normal(size=(4, 4, 3)).repeat(side_px // 4, 0).repeat(side_px // 4, 1)
    rng = numpy_generator("image", k, image)
    return (128 + 50 * rng.uniform(0.7, 1.3) * own + rng.normal(0, 12, own.shape)).clip(0, 255).astype(np.uint8)


def layout_with_people(root: Path, train: int = 8, images: int = 4, with_identities: bool = True) -> Layout:
    """A root with the project's code, and people as the task ``people`` of the scale smoke."""
    root.mkdir(exist_ok=True)
    for name in ("dvc.yaml", "src", "stages"):
        (root / name).symlink_to(ROOT / name)
    layout, rows = Layout("smoke", root), []
    folder = layout.packs("people")
    with PackWriter(folder / "train_hr", np.uint8) as hrs, PackWriter(folder / "train_lr", np.uint8) as lrs:
        for k in range(train):
            for image in range(images):
                pixels = person(k, image)
                hrs.add(f"{k}_{image}", pixels)
                lrs.add(f"{k}_{image}", np.ascontiguousarray(pixels[::4, ::4]))
                rows.append({"id": f"{k}_{image}", "identity": f"p{k}" if with_identities else None, "landmarks": None})
    write_json(folder / "images.json", rows)
    return layout


def spec_of(name: str, **training: object) -> EncoderSpec:
    settings = TrainingConfig(**{**TRAINING, **training})  # type: ignore[arg-type]
    task = Task("people", Dataset("people", "synthetic_faces", None), "bicubic", PluginConfig(), 4, 32, ())
    return EncoderSpec(f"my_{name}", name, "trained", SMALL[name], settings, task)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return layout_with_people(tmp_path_factory.mktemp("people") / "root")


@both
def test_people_that_it_has_never_seen_are_told_apart(name: str, layout: Layout, tmp_path: Path) -> None:
    spec = spec_of(name)
    record = write_encoder(spec, layout, tmp_path / name)
    assert {path.name for path in (tmp_path / name).iterdir()} == {"encoder.json", "weights.safetensors", "curves.csv"}
    assert record["parameters"] == sum(value.numel() for value in load_encoder(tmp_path / name).parameters())
    assert not any("directions" in key for key in load_encoder(tmp_path / name).state_dict()), "the head stays behind"
    curves = (tmp_path / name / "curves.csv").read_text(encoding="utf-8")
    right = [float(line.split(",")[2]) for line in curves.splitlines() if "loss_right" in line]
    assert right[-1] > 0.8 > right[0], "the training people, among eight"
    strangers = to_tensor([person(k, image) for k in range(100, 108) for image in range(3)])
    with torch.no_grad():
        vectors = load_encoder(tmp_path / name).embed(strangers)
    cosines, who = vectors @ vectors.T, torch.arange(24) // 3
    same = (who[:, None] == who) & ~torch.eye(24, dtype=torch.bool)
    assert float(cosines[same].mean()) > float(cosines[who[:, None] != who].mean()) + 0.2


@both
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(name: str, tmp_path: Path) -> None:
    hashes = []
    for folder, seed in (("first", 0), ("second", 0), ("other", 1)):
        own = layout_with_people(tmp_path / folder)  # each with a scratch folder of its own
        write_encoder(spec_of(name, steps=3, warmup_steps=1, seeds=(seed,)), own, tmp_path / folder / "out")
        hashes.append(sha256_file(tmp_path / folder / "out" / "weights.safetensors"))
    assert hashes[0] == hashes[1] != hashes[2]


def test_identities_decide_the_fingerprint(tmp_path: Path) -> None:
    own = layout_with_people(tmp_path / "root")
    spec = spec_of("recogniser", steps=3, warmup_steps=1)
    first = write_encoder(spec, own, tmp_path / "first")["weights_sha256"]
    table = own.packs("people") / "images.json"
    rows = read_json(table)
    for row in rows:
        row["identity"] = {"p0": "p1", "p1": "p0"}.get(row["identity"], row["identity"])
    write_json(table, rows)
    assert write_encoder(spec, own, tmp_path / "second")["weights_sha256"] != first


def test_a_task_without_identities_is_refused(tmp_path: Path) -> None:
    own = layout_with_people(tmp_path / "root", with_identities=False)
    with pytest.raises(SrledgerError, match="no identity to learn from"):
        write_encoder(spec_of("recogniser"), own, tmp_path / "out")


def test_an_identity_of_one_image_is_named_and_learnt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = layout_with_people(tmp_path / "root", train=3, images=2)
    table = own.packs("people") / "images.json"
    rows = read_json(table)
    rows[0]["identity"] = "lonely"
    rows[1]["identity"] = "p1"
    write_json(table, rows)
    write_encoder(spec_of("recogniser", steps=2, warmup_steps=1), own, tmp_path / "out")
    assert "1 of 3 identities have one image: lonely" in capsys.readouterr().out


@both
def test_a_face_of_any_size_has_a_vector_and_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    encoder = plugin_class("encoders", name)(SMALL[name], {}).eval()
    for size in ((32, 32), (64, 64), (24, 40)):
        images = torch.rand(2, 3, *size, generator=torch_generator("sizes")).requires_grad_()
        vectors = encoder.embed(images)
        assert vectors.shape == (2, 16) and torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
        (1 - (vectors * vectors.detach().flip(0)).sum(dim=1)).sum().backward()
        assert images.grad is not None and images.grad.abs().sum() > 0, "an identity loss reaches the image"


def test_the_two_differ_in_their_network_and_their_margin() -> None:
    kinds = [plugin_config("encoders", name)().margin.kind for name in SMALL]
    assert kinds == ["arcface", "cosface"]
    built = [plugin_class("encoders", name)(plugin_config("encoders", name)(), {}) for name in SMALL]
    assert [sum(value.numel() for value in one.parameters()) for one in built] == [866_912, 129_856]
    depthwise = [
        [m for m in one.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1 and m.groups == m.in_channels]
        for one in built
    ]
    assert not depthwise[0] and len(depthwise[1]) == 7 and depthwise[1][-1].kernel_size == (8, 8), "the whole grid"


@pytest.mark.parametrize(
    ("config", "settings", "said"),
    [
        (Config, {"size_px": 40}, "multiple of 16"),
        (Config, {"blocks": (1, 0, 1)}, "at least 1"),
        (MobileConfig, {"size_px": 36}, "multiple of 8"),
        (MobileConfig, {"channels": 33}, "must be even"),
    ],
)
def test_settings_that_fit_no_network_are_refused(config: type[PluginConfig], settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config(**settings)


def test_a_map_that_names_nobody_stops_the_training() -> None:
    learner = MarginLearner(ResidualRecogniser(SMALL["recogniser"], {}), 4, 3)
    hr = torch.rand(2, 3, 32, 32)
    for maps in (torch.full((2, 1, 32, 32), 3.0), torch.rand(2, 1, 32, 32)):
        with pytest.raises(SrledgerError, match="has no identity"):
            learner.loss(Batch(hr[..., ::4, ::4], hr, maps, 0.0, torch_generator("batch")))


def test_jitter_is_drawn_from_the_batch_and_none_leaves_a_face_as_it_is() -> None:
    faces = torch.rand(3, 3, 32, 32, generator=torch_generator("faces"))
    still = Jitter(shift=0.0, scale=0.0, colour=0.0)
    assert torch.allclose(moved(faces, still, torch_generator("draw")), faces, atol=1e-5)
    first, second, other = (moved(faces, Jitter(), torch_generator(name)) for name in ("draw", "draw", "else"))
    assert torch.equal(first, second) and not torch.allclose(first, other)
    learner = MarginLearner(ResidualRecogniser(SMALL["recogniser"], {}), 4, 3)
    maps = to_tensor([identity_map(k, (32, 32)) for k in range(3)])
    losses = [
        float(learner.loss(Batch(faces[..., ::4, ::4], faces, maps, 0.5, torch_generator("b")))["total"].detach())
        for _ in range(2)
    ]
    assert losses[0] == losses[1]


def test_a_similarity_transform_is_found_again() -> None:
    rng = np.random.default_rng(0)
    points, angle = rng.normal(size=(5, 2)) * 20, 0.3
    linear = 1.7 * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    found = similarity_transform(points, points @ linear.T + [3, -8])
    assert np.allclose(found, np.concatenate([linear, [[3], [-8]]], axis=1))
    mirrored = similarity_transform(points, points * [-1, 1])
    assert np.linalg.det(mirrored[:, :2]) > 0, "it turns and scales, and never mirrors"
    with pytest.raises(ValueError, match="all points are one"):
        similarity_transform(np.ones((5, 2)), points)


def test_an_aligned_face_has_its_landmarks_on_the_template() -> None:
    angle = math.radians(12)
    turn = 0.6 * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = SPHEREFACE_PX @ turn.T + [30, 10]
    y, x = np.mgrid[:128, :128]
    for k, (at_x, at_y) in enumerate(points):
        spot = np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 8).astype(np.float32)
        face = aligned(torch.from_numpy(spot).expand(1, 3, 128, 128), [points], SPHEREFACE_PX, SPHEREFACE_SIZE)
        assert face.shape == (1, 3, 112, 96)
        weight = face[0, 0].double().numpy()
        rows, columns = np.mgrid[:112, :96]
        centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        assert np.allclose(centre, SPHEREFACE_PX[k], atol=0.1)


def test_alignment_by_landmarks_of_the_template_changes_nothing() -> None:
    images = torch.rand(2, 3, *SPHEREFACE_SIZE, generator=torch_generator("template"))
    assert torch.allclose(aligned(images, [SPHEREFACE_PX] * 2, SPHEREFACE_PX, SPHEREFACE_SIZE), images, atol=1e-3)


def made_up_mobilefacenet(folder: Path) -> Encoder:
    """The published network with weights as they are drawn, saved as its authors save it."""
    torch.manual_seed(0)
    path = folder / "weights.ckpt"
    torch.save({"epoch": 0, "net_state_dict": MobileFace(64, STAGES, 512, (7, 6), 128).state_dict()}, path)
    return PublishedMobileFaceNet(plugin_config("encoders", "mobilefacenet")(), {"mobilefacenet": path})


def test_the_published_network_needs_landmarks_and_is_frozen(tmp_path: Path) -> None:
    encoder = made_up_mobilefacenet(tmp_path)
    assert not encoder.training and not any(value.requires_grad for value in encoder.parameters())
    images = torch.rand(2, 3, 64, 64, generator=torch_generator("published"))
    points = np.array([[24.0, 28.0], [40.0, 28.0], [32.0, 38.0], [25.0, 44.5], [39.0, 44.5]])
    vectors = encoder.embed_faces(images, [points, points])
    assert vectors.shape == (2, 128) and torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert not torch.allclose(vectors, encoder.embed_faces(images, [points, points + 6]))
    with pytest.raises(SrledgerError, match=r"needs landmarks[\s\S]*1 for 2 images"):
        encoder.embed_faces(images, [points, None])


def test_an_encoder_rests_on_the_helpers_that_it_imports() -> None:
    def helpers(plugin: str) -> set[str]:
        return {
            path.name for path in stage_code(ROOT, "train_encoder", {"key": "mine", "encoder": plugin, "task": "t"})
        }

    assert {"_recognition.py", "_margin.py", "identity_examples.py"} <= helpers("recogniser")
    assert {"_mobile.py", "_margin.py"} <= helpers("mobile_recogniser") and "_mobile.py" not in helpers("recogniser")
    assert {"_alignment.py", "_mobile.py"} <= helpers("mobilefacenet") and "_onnx.py" in helpers("pfld")
    own = {"_recognition.py", "_margin.py", "_mobile.py", "_alignment.py", "_onnx.py", "identity_examples.py"}
    assert not own & helpers("tiny_dino_vit") and not own & helpers("yolo_trained_here")


def test_the_entries_of_the_default_scale_are_whole() -> None:
    params = Params.load(scale="quick")
    for name in SMALL:
        spec = params.encoders[name]
        encoder = plugin_class("encoders", name)(spec.config, {})
        assert spec.task.name == "faces_blind" and encoder.size_px == 32 and spec.weights == "trained"
    gpu = Params.load(scale="celeba_gpu")
    assert [gpu.encoders[name].config.size_px for name in SMALL] == [112, 112]
    assert [gpu.encoders[name].config.margin.kind for name in SMALL] == ["arcface", "cosface"]


def field(number: int, kind: int, value: bytes | int) -> bytes:
    """A field of a protocol buffer."""

    def varint(left: int) -> bytes:
        out = b""
        while left > 127:
            out, left = out + bytes([left & 127 | 128]), left >> 7
        return out + bytes([left])

    key = varint(number << 3 | kind)
    return key + (varint(value) if isinstance(value, int) else varint(len(value)) + value)


def tensor(name: str, values: list[float], shape: tuple[int, ...], packed: bool = False, kind: int = 1) -> bytes:
    dims = field(1, 2, bytes(shape)) if packed else b"".join(field(1, 0, size) for size in shape)
    return dims + field(2, 0, kind) + field(8, 2, name.encode()) + field(9, 2, struct.pack(f"<{len(values)}f", *values))


def onnx(*tensors: bytes) -> bytes:
    graph = field(2, 2, b"graph") + b"".join(field(5, 2, one) for one in tensors)
    return field(1, 0, 4) + field(2, 2, b"pytorch") + field(7, 2, graph) + field(8, 2, field(2, 0, 10))


def test_the_tensors_of_an_onnx_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    numbers = [0.5 * k for k in range(300)]
    path.write_bytes(
        onnx(
            tensor("a", numbers, (150, 2)),
            tensor("b", [1.0, -2.0], (1, 2), packed=True),
            tensor("i", [0.0], (1,), kind=7),
        )
    )
    found = read_onnx(path, "make weights")
    assert set(found) == {"a", "b"} and found["a"].shape == (150, 2) and found["a"].dtype == torch.float32
    assert found["a"].flatten().tolist() == numbers and found["b"].tolist() == [[1.0, -2.0]]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"not a network", onnx(), onnx(tensor("a", [1.0, 2.0], (3,))), onnx(tensor("a", [1.0], (1,)))[:-20],
        b"\xff" * 40, field(7, 2, b"\x2b"),
    ],
)  # fmt: skip
def test_a_torn_onnx_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(SrledgerError, match="weights") as error:
        read_onnx(path, "make weights")
    assert "net.onnx" in str(error.value) and "make weights" in str(error.value)


def test_mobilefacenet_tells_real_people_apart(mirror: Path) -> None:
    """A golden value: the mirror's own check of these weights gives an AUC of 0.9945 on all 500 faces."""
    import csv

    from PIL import Image

    from srledger.evaluation.verification import auc, curves, draw_pairs

    files = resolve_all(("mobilefacenet",))
    if not files:
        pytest.skip("the weights are not at hand")
    with (mirror / "faces/celeba/landmarks.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["file"].startswith("test/")]
    people = sorted({row["identity"] for row in rows})[:12]
    rows = [row for row in rows if row["identity"] in people]
    names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    points = [np.array([[float(row[f"{name}_{axis}"]) for axis in "xy"] for name in names]) for row in rows]
    images = to_tensor([np.array(Image.open(mirror / "faces/celeba" / row["file"])) for row in rows])
    encoder = plugin_class("encoders", "mobilefacenet")(plugin_config("encoders", "mobilefacenet")(), files)
    with torch.no_grad():
        vectors = encoder.embed_faces(images, points).numpy()
    pairs = draw_pairs([row["identity"] for row in rows], "golden")
    scores = (vectors[pairs.probe] * vectors[pairs.reference]).sum(axis=1)
    assert auc(curves(scores, pairs.genuine)) > 0.97
