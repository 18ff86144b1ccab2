"""The detector that is trained here: it finds faces where they are, not where they mostly are."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from detector_tools import drawn_faces, eye_error, layout_with_faces, moved, same, spec_of

from srledger.encoders._detection import Asked
from srledger.encoders.yolo_trained_here import Config, LandmarkBoxes, YoloTrainedHere, seen, with_mirrored
from srledger.errors import SrledgerError
from srledger.facial_parts import BOXES, PARTS, boxes_of_landmarks
from srledger.io import sha256_file
from srledger.landmark_examples import LandmarkExamples, landmark_map
from srledger.layout import Layout
from srledger.methods import Batch
from srledger.pipeline_encoders import load_encoder, write_encoder
from srledger.seeds import torch_generator
from srledger.training import loop
from srledger.training.batches import to_tensor
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch
from srledger.training.loop import Job, train_seed

SMALL = Config(width=8, input_px=64)
TRAINING = {
    "steps": 100, "batch_size": 16, "learning_rate": 5e-3, "warmup_steps": 20, "learning_rate_schedule": "cosine",
    "gradient_clip_norm": 10.0, "log_every_steps": 50, "checkpoint_every_steps": 50,
}  # fmt: skip


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return layout_with_faces(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def trained(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a detector after 100 steps on 16 faces."""
    folder = tmp_path_factory.mktemp("encoders") / "detector"
    write_encoder(spec_of("yolo_trained_here", "trained", SMALL, **TRAINING), layout, folder)
    return folder


def batch_of(count: int = 4) -> Batch:
    faces = drawn_faces()[:count]
    hr = to_tensor([face.pixels for face in faces])
    maps = to_tensor([landmark_map(face.landmarks, (64, 64)) for face in faces])  # type: ignore[arg-type]
    return Batch(hr[..., ::4, ::4], hr, maps, 0.0, torch_generator("batch"))


def untrained(**settings: object) -> YoloTrainedHere:
    torch.manual_seed(0)
    return YoloTrainedHere(SMALL.model_copy(update=settings), {})


def test_it_finds_eyes_where_a_face_has_moved_to(trained: Path) -> None:
    detector = load_encoder(trained)
    mean = np.mean([face.landmarks for face in drawn_faces()], axis=0)
    errors, of_mean = [], []
    for right_px, down_px in ((9, 6), (-9, -6), (-8, 7)):
        for face in drawn_faces():
            pixels, points = moved(face, right_px, down_px)
            found = detector.detect([pixels], [None], Asked(confidence=0.01))[0]
            errors.append(eye_error(found.of(("eye",)).centres_px[:2], points))
            of_mean.append(eye_error(mean[:2], points))
    assert np.median(errors) < 0.15 and np.mean(np.array(errors) < of_mean) > 0.9


def test_its_boxes_have_the_sizes_that_it_learnt(trained: Path) -> None:
    face = drawn_faces()[0]
    found = load_encoder(trained).detect([face.pixels], [None], Asked(confidence=0.01))[0]
    wanted = dict(zip(BOXES, boxes_of_landmarks(face.landmarks), strict=True))  # type: ignore[arg-type]
    assert {"eye", "nose", "mouth"} <= set(found.classes) <= set(PARTS)
    for name in ("eye", "nose", "mouth"):
        size = found.of((name,)).boxes_px[0, 2:] - found.of((name,)).boxes_px[0, :2]
        assert size == pytest.approx(wanted[name][2:] - wanted[name][:2], rel=0.35), name


def test_weights_and_the_statistics_of_batches_survive_the_file(trained: Path, layout: Layout) -> None:
    assert {path.name for path in trained.iterdir()} == {"encoder.json", "weights.safetensors", "curves.csv"}
    detector = load_encoder(trained)
    moved_by_training = [
        value
        for name, value in detector.state_dict().items()
        if name.endswith("running_mean") and bool((value != 0).any())
    ]  # fmt: skip
    assert moved_by_training, "BatchNorm's statistics are part of what is saved"
    again = untrained().eval()
    again.load_state_dict(detector.state_dict())
    images = [face.pixels for face in drawn_faces()[:2]]
    pairs = zip(
        *(one.detect(images, [None, None], Asked()) for one in (detector, again)),
        strict=True,
    )
    assert all(same(*pair) for pair in pairs)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(layout: Layout, tmp_path: Path) -> None:
    short = {**TRAINING, "steps": 3, "warmup_steps": 1}
    hashes = []
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        root = tmp_path / name
        root.mkdir()
        spec = spec_of("yolo_trained_here", "trained", SMALL, **short, seeds=(seed,))
        write_encoder(spec, layout_with_faces(root), root / "out")  # each with a scratch folder of its own
        hashes.append(sha256_file(root / "out" / "weights.safetensors"))
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_stopped_training_ends_in_the_same_bits(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**TRAINING, "steps": 6, "warmup_steps": 1, "checkpoint_every_steps": 2, "ema_decay": 0.0, "threads": 1}
    config = TrainingConfig(**settings)  # type: ignore[arg-type]

    def job() -> Job:
        prepare_torch(1, "cpu")
        return Job("detector", learner(), None, config, LandmarkExamples(layout.packs("faces"), "train"), None)

    straight = train_seed(job(), 0, tmp_path / "straight")
    draw = loop.draw_batch

    def draw_then_signal(examples, config, factor, row, seed, step):  # type: ignore[no-untyped-def]
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(examples, config, factor, row, seed, step)

    monkeypatch.setattr(loop, "draw_batch", draw_then_signal)
    with pytest.raises(KeyboardInterrupt):
        train_seed(job(), 0, tmp_path / "stopped")
    monkeypatch.setattr(loop, "draw_batch", draw)
    resumed = train_seed(job(), 0, tmp_path / "stopped")
    assert resumed.weights.read_bytes() == straight.weights.read_bytes() and resumed.curves == straight.curves
    names = {name for _, name, _ in straight.curves}
    assert names == {"loss_total", "loss_box", "loss_class", "loss_focal", "learning_rate"}


def test_a_task_without_landmarks_is_refused(tmp_path: Path) -> None:
    spec = spec_of("yolo_trained_here", "trained", SMALL, **TRAINING)
    with pytest.raises(SrledgerError, match="no landmarks to learn from"):
        write_encoder(spec, layout_with_faces(tmp_path, with_landmarks=False), tmp_path / "out")


def test_cropped_landmarks_are_refused_with_what_mends_it(tmp_path: Path) -> None:
    spec = spec_of("yolo_trained_here", "trained", SMALL, **TRAINING, crop_px=16)
    with pytest.raises(SrledgerError, match=r"landmarks[\s\S]*crop_px of the encoder to null"):
        write_encoder(spec, layout_with_faces(tmp_path), tmp_path / "out")


def test_landmarks_decide_the_fingerprint(layout: Layout, tmp_path: Path) -> None:
    short = {**TRAINING, "steps": 1, "warmup_steps": 0}
    spec = spec_of("yolo_trained_here", "trained", SMALL, **short)
    own = layout_with_faces(tmp_path)
    first = write_encoder(spec, own, tmp_path / "first")
    table = own.packs("faces") / "images.json"
    table.write_text(table.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert write_encoder(spec, own, tmp_path / "second")["weights_sha256"] == first["weights_sha256"]
    folders = {path.parent.name for path in (tmp_path / "scratch").rglob("finished.json")}
    assert len(folders) == 2, "it was trained again, though nothing but the landmarks' file has changed"


def learner(**settings: object) -> LandmarkBoxes:
    return untrained(**settings).learner(4)


def test_without_jitter_the_targets_are_the_boxes_of_the_rule() -> None:
    images, boxes = learner(shift=0.0, scale=(1.0, 1.0))._jittered(batch_of())
    assert torch.allclose(images, batch_of().hr, atol=1e-5)
    for k, face in enumerate(drawn_faces()[:4]):
        found = boxes[k][boxes[k, :, 0].isfinite()]
        pixel = np.floor(np.array(face.landmarks) + 0.5)  # the map's own precision
        assert np.allclose(found.numpy() * 64, boxes_of_landmarks(pixel).clip(0, 64), atol=1e-3)


def test_jittered_targets_stay_on_what_they_mark() -> None:
    spot = np.zeros((64, 64, 3), np.uint8)
    points = np.array([[20, 24], [44, 24], [32, 36], [24, 48], [40, 48]])
    spot[24, 20] = spot[24, 44] = 255  # the eyes alone shine
    batch = batch_of()
    hr = to_tensor([spot] * 4)
    batch = Batch(hr[..., ::4, ::4], hr, to_tensor([landmark_map(points, (64, 64))] * 4), 0.0, batch.generator)
    images, boxes = learner(scale=(1.0, 1.3))._jittered(batch)
    for image, of_image in zip(images, boxes, strict=True):
        eyes = of_image.view(9, 6, 4)[:, :2].reshape(-1, 4)
        for left, top, right, bottom in (eyes[eyes[:, 0].isfinite()] * 64).tolist():
            if min(left, top) > 0 and max(right, bottom) < 64:
                y, x = divmod(int(image[0, int(top) : int(bottom) + 1, int(left) : int(right) + 1].argmax()),
                              int(right) + 1 - int(left))  # fmt: skip
                assert abs(x + int(left) + 0.5 - (left + right) / 2) < 1.2
                assert abs(y + int(top) + 0.5 - (top + bottom) / 2) < 1.2
    assert len({tuple(of_image[0].tolist()) for of_image in boxes}) == 4, "each image is drawn for itself"


def test_mirrored_boxes_lie_where_mirrored_parts_do() -> None:
    boxes = with_mirrored(torch.tensor([[[0.1, 0.2, 0.3, 0.5]]]))[0]
    assert len(boxes) == 9
    expected = [[0.1, 0.2, 0.3, 0.5], [-0.3, 0.2, -0.1, 0.5], [1.7, 0.2, 1.9, 0.5], [0.1, -0.5, 0.3, -0.2]]
    for box in expected:
        assert any(torch.allclose(one, torch.tensor(box), atol=1e-6) for one in boxes), box
    assert seen(boxes)[:, 0].isfinite().sum() == 1


def test_a_batch_in_which_nothing_is_seen_still_has_a_loss() -> None:
    own = learner()
    own._jittered = lambda batch: (batch.hr, torch.full((4, 54, 4), float("nan")))  # type: ignore[method-assign]
    terms = own.loss(batch_of())
    assert torch.isfinite(terms["total"]) and terms["box"] == 0
    terms["total"].backward()


def test_sizes_and_maps() -> None:
    count = sum(value.numel() for value in YoloTrainedHere(Config(), {}).parameters())
    assert count == 433_096
    for side in (64, 96, 128):
        maps = untrained()(torch.rand(1, 3, side, side))
        assert [tuple(one.shape[1:]) for one in maps] == [
            (16, side // 4, side // 4), (32, side // 8, side // 8), (48, side // 16, side // 16)
        ]  # fmt: skip


def test_what_is_found_does_not_depend_on_the_images_beside_it(trained: Path) -> None:
    detector = load_encoder(trained)
    images = [face.pixels for face in drawn_faces()[:3]]
    together = detector.detect([images[0], images[1][:48], images[2]], [None] * 3, Asked())
    assert same(together[2], detector.detect(images[2:], [None], Asked())[0])
    assert (together[1].boxes_px[:, [1, 3]] <= 48).all() and len(together[1])
    assert len(detector.detect([np.zeros((64, 64, 3), np.uint8)], [None], Asked(confidence=0.99))[0]) == 0
