"""YOLO-World through ultralytics' real interface: random weights, features from a file, and no trace left behind."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from detector_tools import drawn_faces, same, spec_of
from safetensors import safe_open

from srledger import weights
from srledger.encoders._detection import Asked
from srledger.encoders._inert_checkpoint import read_pickled_model
from srledger.encoders._ultralytics import prepare_ultralytics, process_kept
from srledger.encoders._vocabulary import bake_vocabulary, load_vocabulary, save_vocabulary
from srledger.encoders.yolo_world import ARCHITECTURE, CLIP, VOCABULARY, WEIGHTS, Config, YoloWorld
from srledger.errors import SrledgerError
from srledger.io import sha256_file
from srledger.layout import Layout
from srledger.pipeline_encoders import load_encoder, write_encoder
from srledger.prior_config import why_no_weights
from srledger.seeds import torch_generator

PROMPTS = ("eye", "mouth", "nose")
CONFIG = Config(prompts=PROMPTS, imgsz_px=128)
ASKED = Asked(confidence=0.001, iou=0.1)


def features(count: int = len(PROMPTS)) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 512, generator=torch_generator("words")), dim=-1)


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as ultralytics saves it, of random weights that find something."""
    prepare_ultralytics()
    path = tmp_path_factory.mktemp("published") / "yolov8s-world.pt"
    with process_kept():
        from ultralytics import YOLOWorld

        torch.manual_seed(0)
        model = YOLOWorld(ARCHITECTURE)
        with torch.no_grad():
            for head in model.model.model[-1].cv4:
                head.bias.fill_(0.0)  # at first it is -10: no confidence at all
        model.save(str(path))
    return path


@pytest.fixture(scope="module")
def files(pickled: Path) -> dict[str, Path]:
    path = pickled.with_name(VOCABULARY)
    save_vocabulary(path, PROMPTS, features())
    return {WEIGHTS: pickled, VOCABULARY: path}


@pytest.fixture(scope="module")
def detector(files: dict[str, Path]) -> YoloWorld:
    return YoloWorld(CONFIG, files)


@pytest.fixture
def without_clip(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``import clip`` fails."""
    monkeypatch.setitem(sys.modules, "clip", None)
    monkeypatch.delitem(sys.modules, "ultralytics.nn.text_model", raising=False)
    with pytest.raises(ImportError):
        import clip  # noqa: F401
    yield


def test_it_finds_the_same_as_ultralytics_own_model_with_the_same_words(
    pickled: Path, detector: YoloWorld, without_clip: None
) -> None:
    from ultralytics import YOLOWorld

    own = YOLOWorld(ARCHITECTURE)
    own.model.load_state_dict(read_pickled_model(pickled, ""))
    own.model.txt_feats = features()[None]
    own.model.model[-1].nc = len(PROMPTS)
    own.model.names = dict(enumerate(PROMPTS))
    image = drawn_faces()[0].pixels
    with process_kept():
        boxes = own.predict(image, conf=0.001, iou=0.1, imgsz=128, verbose=False, device="cpu")[0].boxes
    found = detector.detect([image], [None], ASKED)[0]
    assert len(found) == len(boxes) > 0 and set(found.classes) <= set(PROMPTS) == set(detector.classes)
    assert np.array_equal(found.boxes_px, boxes.xyxy.numpy().astype(np.float64))
    assert found.confidences == pytest.approx(boxes.conf.numpy())


def test_it_finds_the_same_after_it_was_saved_and_read_without_clip(
    detector: YoloWorld, files: dict[str, Path], without_clip: None
) -> None:
    images = [face.pixels for face in drawn_faces()[:2]]
    before = detector.detect(images, [None, None], ASKED)
    after = YoloWorld(CONFIG, files).detect(images, [None, None], ASKED)
    assert all(len(one) and same(one, other) for one, other in zip(before, after, strict=True))
    assert same(before[1], detector.detect(images[1:], [None], ASKED)[0])
    assert not same(before[0], before[1])


def test_colours_are_exchanged_as_the_authors_do_unless_asked(detector: YoloWorld, files: dict[str, Path]) -> None:
    meant = YoloWorld(CONFIG.model_copy(update={"channel_order": "bgr"}), files)
    image = drawn_faces()[0].pixels
    exchanged = np.ascontiguousarray(image[..., ::-1])
    as_is, right = detector.detect([image], [None], ASKED)[0], meant.detect([image], [None], ASKED)[0]
    assert not same(as_is, right) and same(right, detector.detect([exchanged], [None], ASKED)[0])
    pixels = torch.rand(1, 3, 64, 64, generator=torch_generator("pixels"))
    assert torch.equal(detector(pixels)[0], meant(pixels.flip(1))[0])


def test_maps_are_the_backbones_shallow_to_deep(detector: YoloWorld) -> None:
    images = torch.rand(2, 3, 96, 64, generator=torch_generator("maps")).requires_grad_(True)
    maps = detector(images)
    assert [tuple(one.shape[1:]) for one in maps] == [(64, 24, 16), (128, 12, 8), (256, 6, 4), (512, 3, 2)]
    maps[-1].sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert detector.embed(images).shape == (2, 512)


def test_nothing_found_is_no_error(detector: YoloWorld) -> None:
    found = detector.detect([drawn_faces()[0].pixels], [None], Asked(confidence=0.999))[0]
    assert len(found) == 0 and found.boxes_px.shape == (0, 4)


def test_a_vocabulary_is_read_as_it_was_written(files: dict[str, Path], tmp_path: Path) -> None:
    assert torch.equal(load_vocabulary(files[VOCABULARY], PROMPTS), features())
    with safe_open(files[VOCABULARY], framework="pt") as file:
        about = json.loads(file.metadata()["vocabulary"])
    assert about["prompts"] == list(PROMPTS) and len(about["sha256"]) == 64
    for _ in range(8):
        save_vocabulary(tmp_path / "again", PROMPTS, features())
        assert (tmp_path / "again").read_bytes() == files[VOCABULARY].read_bytes()
    with pytest.raises(ValueError, match="features are"):
        save_vocabulary(tmp_path / "wrong", PROMPTS, features(2))


@pytest.mark.parametrize("prompts", [("eye", "mouth"), ("mouth", "eye", "nose"), ("eye", "mouth", "nosetip")])
def test_a_vocabulary_of_other_prompts_is_stale(files: dict[str, Path], prompts: tuple[str, ...]) -> None:
    with pytest.raises(SrledgerError, match=r"prompts have changed[\s\S]*dvc repro --force train_encoder"):
        YoloWorld(CONFIG.model_copy(update={"prompts": prompts}), files)


def test_a_torn_or_changed_vocabulary_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    whole, path = files[VOCABULARY].read_bytes(), tmp_path / VOCABULARY
    for part in (b"", whole[:40], whole[:-8]):
        path.write_bytes(part)
        with pytest.raises(SrledgerError, match="can't be read"):
            load_vocabulary(path, PROMPTS)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one bit of the last feature
    with pytest.raises(SrledgerError, match="is not what was baked"):
        load_vocabulary(path, PROMPTS)
    with pytest.raises(SrledgerError, match="can't be read"):
        load_vocabulary(tmp_path / "none", PROMPTS)


def test_truncated_weights_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    whole = files[WEIGHTS].read_bytes()
    path = tmp_path / "yolov8s-world.pt"
    for part in (b"", whole[:100], whole[: len(whole) // 2], whole[:-100]):
        path.write_bytes(part)
        with pytest.raises(SrledgerError, match="can't be read"):
            YoloWorld(CONFIG, {**files, WEIGHTS: path})


def test_weights_of_another_architecture_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    held = {"model": torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), "ema": None}
    torch.save(held, tmp_path / "other.pt")
    with pytest.raises(SrledgerError, match="another architecture"):
        YoloWorld(CONFIG, {**files, WEIGHTS: tmp_path / "other.pt"})
    torch.save({"weights": torch.zeros(2)}, tmp_path / "none.pt")
    with pytest.raises(SrledgerError, match="holds no model"):
        YoloWorld(CONFIG, {**files, WEIGHTS: tmp_path / "none.pt"})


class Harmful:
    """What a pickle may hold: a call of anything at all when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Conv2d(3, 4, 3), "extra": Harmful(tmp_path / "harmed")}, tmp_path / "bad.pt")
    with pytest.raises(SrledgerError, match=r"not a network's[\s\S]*mkdir"):
        read_pickled_model(tmp_path / "bad.pt", "make weights")
    assert not (tmp_path / "harmed").exists()
    with zipfile.ZipFile(tmp_path / "bad.pt") as archive:  # it would have, read as ultralytics does
        assert b"mkdir" in archive.read("bad/data.pkl")


def test_no_class_of_the_file_is_made_but_dead_ones(pickled: Path) -> None:
    tensors = read_pickled_model(pickled, "make weights")
    assert all(isinstance(value, torch.Tensor) for value in tensors.values())
    assert {value.dtype for value in tensors.values()} == {torch.float32, torch.int64}
    with pytest.raises(pickle.UnpicklingError):  # the classes were allowed for that one reading alone
        torch.load(pickled, weights_only=True)


def catalogue_with(pickled: Path, **changes: object) -> dict[str, weights.Entry]:
    known = dict(weights.catalogue())
    known[WEIGHTS] = known[WEIGHTS].model_copy(update={"sha256": sha256_file(pickled), **changes})
    return known


def test_weights_with_another_hash_or_none_that_is_known_are_not_used(
    pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRLEDGER_WEIGHTS", str(pickled.parent))
    assert weights.resolve(WEIGHTS, catalogue_with(pickled)).path == pickled
    with pytest.raises(SrledgerError, match="not the file they should be"):
        weights.resolve(WEIGHTS, catalogue_with(pickled, sha256="0" * 64))
    found = weights.resolve(WEIGHTS)  # the catalogue as it stands
    assert found.path is None and "sha256" in found.reason
    assert weights.catalogue()[CLIP].sha256 in str(weights.catalogue()[CLIP].url)


def test_it_needs_clip_as_well_for_its_vocabulary(
    pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Block:
        weights = (WEIGHTS, CLIP)

    class Settings:
        scale, block = "paper", Block

    monkeypatch.setenv("SRLEDGER_WEIGHTS", str(pickled.parent))
    monkeypatch.setenv("SRLEDGER_CACHE", str(tmp_path))
    monkeypatch.delenv("SRLEDGER_MIRROR", raising=False)
    known = catalogue_with(pickled)
    monkeypatch.setattr("srledger.weights.catalogue", lambda: known)
    assert why_no_weights(Settings, WEIGHTS) == weights.not_at_hand(CLIP)  # type: ignore[arg-type]
    Block.weights = (WEIGHTS,)  # type: ignore[assignment]
    assert CLIP in str(why_no_weights(Settings, WEIGHTS))  # type: ignore[arg-type]


def small_clip(path: Path) -> torch.nn.Module:
    """CLIP of one layer, 512 wide, as a TorchScript archive like the published one."""
    from clip.model import CLIP as Network
    from clip.model import convert_weights

    torch.manual_seed(0)
    network = Network(512, 32, 1, 64, 32, 77, 49408, 512, 8, 1).eval()
    convert_weights(network)  # published weights have half precision
    network.float()

    class Holder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, child in network.named_children():
                setattr(self, name, child)
            for name, value in network.named_parameters(recurse=False):
                setattr(self, name, value)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels

    torch.jit.trace(Holder(), torch.zeros(1)).save(str(path))
    return network


def test_the_vocabulary_is_clips_own(tmp_path: Path) -> None:
    clip = pytest.importorskip("clip")
    network = small_clip(tmp_path / "ViT-B-32.pt")
    bake_vocabulary(PROMPTS, tmp_path / "ViT-B-32.pt", tmp_path / VOCABULARY)
    found = load_vocabulary(tmp_path / VOCABULARY, PROMPTS)
    with torch.no_grad():
        expected = network.encode_text(clip.tokenize(list(PROMPTS)))
    assert torch.allclose(found, expected / expected.norm(dim=-1, keepdim=True), atol=1e-5)
    assert torch.allclose(found.norm(dim=-1), torch.ones(3)) and (found @ found.T).fill_diagonal_(0).max() < 0.9999
    (tmp_path / "torn.pt").write_bytes((tmp_path / "ViT-B-32.pt").read_bytes()[:1000])
    with pytest.raises(SrledgerError, match="CLIP's weights can't be read"):
        bake_vocabulary(PROMPTS, tmp_path / "torn.pt", tmp_path / VOCABULARY)


def test_a_vocabulary_is_not_baked_without_the_package(tmp_path: Path, without_clip: None) -> None:
    with pytest.raises(SrledgerError, match="without the package openai-clip"):
        bake_vocabulary(PROMPTS, tmp_path / "any.pt", tmp_path / VOCABULARY)


def test_the_stage_bakes_once_and_what_uses_it_reads_without_clip(
    pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("clip")
    small_clip(tmp_path / "ViT-B-32.pt")
    (tmp_path / pickled.name).symlink_to(pickled)
    known = catalogue_with(pickled)
    known[CLIP] = known[CLIP].model_copy(update={"sha256": sha256_file(tmp_path / "ViT-B-32.pt")})
    monkeypatch.setattr("srledger.weights.catalogue", lambda: known)
    monkeypatch.setenv("SRLEDGER_WEIGHTS", str(tmp_path))
    spec = spec_of("yolo_world", "published", CONFIG)
    record = write_encoder(spec, Layout("smoke", ROOT), tmp_path / "made")
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"encoder.json", VOCABULARY}
    assert record["weights_sha256"] == sha256_file(pickled)
    (tmp_path / "ViT-B-32.pt").unlink()
    monkeypatch.setenv("SRLEDGER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "clip", None)
    images = [drawn_faces()[0].pixels]
    assert len(load_encoder(tmp_path / "made").detect(images, [None], ASKED)[0])
    save_vocabulary(tmp_path / "made" / VOCABULARY, PROMPTS, -features())
    with pytest.raises(SrledgerError, match=r"have changed since they were made[\s\S]*vocabulary"):
        load_encoder(tmp_path / "made")


ALONE = """
import json, os, socket, sys
import numpy as np, torch
def refused(*args, **kwargs): raise AssertionError(f"the network was asked: {args}")
socket.getaddrinfo = socket.socket.connect = socket.create_connection = refused
torch.set_num_threads(2)
before = dict(os.environ), np.get_printoptions(), str(torch.tensor([1.23456]))
from pathlib import Path
from srledger.encoders._detection import Asked
from srledger.encoders.yolo_world import Config, YoloWorld
files = json.loads(sys.argv[1])
config = Config(prompts=("eye", "mouth", "nose"), imgsz_px=64)
found = YoloWorld(config, {key: Path(path) for key, path in files.items()})
image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
assert len(found.detect([image], [None], Asked())[0])
assert torch.get_num_threads() == 2, torch.get_num_threads()
left = {key: value for key, value in os.environ.items() if not key.startswith("YOLO_")}
assert left == before[0], set(left.items()) ^ set(before[0].items())
assert (np.get_printoptions(), str(torch.tensor([1.23456]))) == before[1:]
assert "clip" not in sys.modules
from ultralytics.utils import SETTINGS
assert not any(SETTINGS[key] for key in ("sync", "mlflow", "dvc", "comet", "clearml", "raytune", "wandb"))
"""


def test_ultralytics_leaves_no_trace(files: dict[str, Path], tmp_path: Path) -> None:
    """In a process of its own: no network, nothing written outside the cache, threads and environment as they were."""
    home, work, cache = (tmp_path / name for name in ("home", "work", "cache"))
    home.mkdir()
    work.mkdir()
    keep = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    environment = {**keep, "HOME": str(home), "SRLEDGER_CACHE": str(cache), "PYTHONPATH": str(ROOT / "src")}
    named = json.dumps({key: str(path) for key, path in files.items()})
    done = subprocess.run(
        [sys.executable, "-B", "-c", ALONE, named], cwd=work, env=environment, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ltralytics" not in done.stdout + done.stderr
    assert list(work.rglob("*")) == [] and list(home.rglob("*")) == []
    assert {path.name for path in cache.rglob("*") if path.is_file()} == {"settings.json"}
