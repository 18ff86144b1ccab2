"""Detectors without a network, the size rule, and how detectors are written and read like any encoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from detector_tools import as_inputs, drawn_faces, layout_with_faces, moved, same, spec_of, write_task

from srledger.config import Params
from srledger.encoders._detection import Asked
from srledger.encoders._facial_boxes import cut_to, detections_of, suppressed
from srledger.encoders.landmark_oracle import Config as OracleConfig
from srledger.encoders.landmark_oracle import LandmarkOracle
from srledger.encoders.template_match import Config as TemplateConfig
from srledger.encoders.template_match import TemplateMatch
from srledger.errors import SrledgerError
from srledger.facial_parts import BOXES, LANDMARKS, PARTS, boxes_of_landmarks
from srledger.io import read_json, write_json
from srledger.landmark_examples import LandmarkExamples, landmark_map, points_of_maps
from srledger.layout import Layout
from srledger.pipeline_encoders import load_encoder, write_encoder
from srledger.prior_config import why_no_encoder
from srledger.provenance import stage_code
from srledger.training.batches import to_tensor

POINTS = np.array([[20.0, 30.0], [44.0, 30.0], [32.0, 42.0], [24.0, 52.0], [40.0, 52.0]])  # 24 px between the eyes


def oracle() -> LandmarkOracle:
    return LandmarkOracle(OracleConfig(), {})


def fitted(**settings: object) -> TemplateMatch:
    encoder = TemplateMatch(TemplateConfig(**settings), {})  # type: ignore[arg-type]
    encoder.fit(as_inputs(drawn_faces()))
    return encoder


def test_the_size_rule_in_numbers() -> None:
    left_eye, _, nose, corner, _, mouth = boxes_of_landmarks(POINTS)
    assert left_eye == pytest.approx([20.5 - 7.2, 30.5 - 4.8, 20.5 + 7.2, 30.5 + 4.8])  # 0.6 x 0.4 of 24 px
    assert nose == pytest.approx([32.5 - 7.2, 42.5 - 7.2, 32.5 + 7.2, 42.5 + 7.2])
    assert corner == pytest.approx([24.5 - 3.6, 52.5 - 3.6, 24.5 + 3.6, 52.5 + 3.6])
    assert mouth == pytest.approx([24.5 - 3.6, 52.5 - 7.2, 40.5 + 3.6, 52.5 + 7.2])
    twice = boxes_of_landmarks(POINTS * 2 + 0.5)  # the same face, twice as large
    assert twice == pytest.approx(boxes_of_landmarks(POINTS) * 2)
    assert BOXES[:5] == LANDMARKS and set(BOXES) == set(PARTS)


def test_eyes_at_one_place_still_have_boxes_with_an_area() -> None:
    boxes = boxes_of_landmarks(np.full((5, 2), 8.0))
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_the_oracle_is_where_the_landmarks_are() -> None:
    found = oracle().detect([np.zeros((64, 64, 3), np.uint8)], [POINTS], Asked())[0]
    assert found.classes == BOXES and (found.confidences == 1).all()
    assert found.centres_px[:5] == pytest.approx(POINTS)
    assert found.of(("mouth",)).centres_px[0] == pytest.approx(POINTS[3:].mean(axis=0))


def test_the_oracle_refuses_an_image_without_landmarks() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(SrledgerError, match=r"needs landmarks[\s\S]*image 2 of 2"):
        oracle().detect([image, image], [POINTS, None], Asked())


def test_boxes_are_cut_to_the_image_and_those_outside_are_gone() -> None:
    found = oracle().detect([np.zeros((40, 36, 3), np.uint8)], [POINTS], Asked())[0]
    assert found.boxes_px.min() >= 0 and (found.boxes_px <= [36, 40, 36, 40]).all()
    assert found.classes == ("eye", "nose")  # the other eye and the mouth lie outside
    assert cut_to(np.array([[-5, -5, 100, 3]]), 10, 20).tolist() == [[0, 0, 20, 3]]


def test_detections_are_sorted_and_ties_keep_their_order() -> None:
    boxes = np.array([[0, 0, 2, 2], [2, 2, 4, 4], [4, 4, 6, 6], [9, 9, 12, 12]])
    found = detections_of(boxes, ["a", "b", "c", "d"], np.array([0.5, 0.9, 0.5, 1.0]), (8, 8))
    assert found.classes == ("b", "a", "c")
    nothing = detections_of(np.zeros((0, 4)), [], np.zeros(0), (8, 8))
    assert len(nothing) == 0 and nothing.boxes_px.shape == (0, 4) and nothing.centres_px.shape == (0, 2)


def test_suppression_is_torchvisions_within_each_class() -> None:
    ops = pytest.importorskip("torchvision.ops")
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 40, (60, 2))
    boxes = np.hstack([corners, corners + rng.uniform(4, 20, (60, 2))])
    found = detections_of(boxes, [("a", "b")[k] for k in rng.integers(0, 2, 60)], rng.random(60), (64, 64))
    kept = suppressed(found, Asked(confidence=0.2, iou=0.3))
    strong = found.of(("a", "b"), 0.2)
    numbers = torch.tensor([("a", "b").index(name) for name in strong.classes])
    expected = ops.batched_nms(torch.tensor(strong.boxes_px), torch.tensor(strong.confidences), numbers, 0.3)
    assert np.array_equal(kept.boxes_px, strong.boxes_px[expected.numpy()]) and 0 < len(kept) < len(strong)


def test_a_landmark_map_gives_its_points_back() -> None:
    points = np.array([[3.2, 4.6], [10, 4], [7, 8], [3, 11], [-2.0, 40.0]])
    maps = to_tensor([landmark_map(points, (12, 16)), landmark_map(POINTS / 4, (16, 16))[:12]])
    assert points_of_maps(maps[:1])[0].tolist() == [[3, 5], [10, 4], [7, 8], [3, 11], [0, 11]]
    with pytest.raises(SrledgerError, match="does not show all its landmarks"):
        points_of_maps(maps)  # the second has lost its mouth to a crop


def test_landmarks_at_one_pixel_stand_beside_each_other() -> None:
    points = points_of_maps(to_tensor([landmark_map(np.full((5, 2), 6.0), (16, 16))]))[0]
    assert len({tuple(point) for point in points}) == 5 and np.abs(points - 6).max() <= 1


def test_a_map_that_is_no_landmark_map_is_refused() -> None:
    for maps in (torch.ones(1, 1, 16, 16), torch.zeros(2, 1, 16, 16), torch.rand(1, 1, 16, 16)):
        with pytest.raises(SrledgerError, match="does not show all its landmarks"):
            points_of_maps(maps)


def test_examples_carry_landmarks_and_name_images_without(tmp_path: Path) -> None:
    faces = drawn_faces()
    examples = LandmarkExamples(write_task(tmp_path / "task", faces), "train")
    hr, lr, found = examples[5]
    assert found.shape == (64, 64, 1) and found.dtype == np.float16 and hr.shape == (64, 64, 3) and lr.shape[0] == 16
    assert np.abs(points_of_maps(to_tensor([found]))[0] - faces[5].landmarks).max() <= 0.5
    rows = read_json(tmp_path / "task" / "images.json")
    rows[2]["landmarks"] = None
    write_json(tmp_path / "task" / "images.json", rows)
    with pytest.raises(SrledgerError, match=f"no landmarks to learn from[\\s\\S]*{faces[2].id}"):
        LandmarkExamples(tmp_path / "task", "train")


def test_templates_find_the_parts_of_the_mean_face_itself() -> None:
    encoder = fitted()
    mean = np.repeat((encoder.mean_face.numpy() * 255).round().astype(np.uint8)[..., None], 3, axis=2)
    found = encoder.detect([mean], [None], Asked(confidence=0.5))[0]
    points = encoder.mean_landmarks.numpy()
    for name in PARTS:
        best = found.of((name,))
        assert best.confidences[0] > 0.99
        wanted = points[3:].mean(axis=0)[None] if name == "mouth" else points[[k == name for k in LANDMARKS]]
        away = np.linalg.norm(best.centres_px[: len(wanted), None] - wanted[None], axis=-1).min(axis=0)
        assert away.max() < 0.6, name


def test_templates_move_with_a_face() -> None:
    encoder = fitted()
    mean = encoder.mean_landmarks.numpy()
    errors, of_mean = [], []
    for face in drawn_faces():
        pixels, points = moved(face, 12, -10)
        found = encoder.detect([pixels], [None], Asked(confidence=0.3))[0]
        assert found.confidences.max(initial=0) <= 1 and (np.diff(found.confidences) <= 0).all()
        iod = np.linalg.norm(points[1] - points[0])
        errors.append(np.linalg.norm(found.of(("nose",)).centres_px[0] - points[2]) / iod)
        of_mean.append(np.linalg.norm(mean[2] - points[2]) / iod)
    assert np.median(errors) < 0.1 < 0.6 < np.median(of_mean)


def test_templates_find_nothing_in_a_blank_image() -> None:
    assert len(fitted().detect([np.full((64, 64, 3), 90, np.uint8)], [None], Asked())[0]) == 0


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (20, 90), (128, 128)])
def test_templates_take_images_of_any_size(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    found = fitted(scales=(0.8, 1.25)).detect([image], [None], Asked(confidence=0.05))[0]
    assert (found.boxes_px >= 0).all() and (found.boxes_px <= [size[1], size[0]] * 2).all()


def test_templates_are_not_fitted_to_images_without_landmarks_or_without_images() -> None:
    encoder = TemplateMatch(TemplateConfig(), {})
    with pytest.raises(SrledgerError, match="no images to learn from"):
        encoder.fit([])
    with pytest.raises(SrledgerError, match=r"square images with landmarks[\s\S]*no landmarks"):
        encoder.fit([dataclasses.replace(as_inputs(drawn_faces())[0], landmarks=None)])


def test_a_fitted_detector_is_written_and_read_like_any_encoder(tmp_path: Path) -> None:
    made = spec_of("template_match", "trained", TemplateConfig())
    record = write_encoder(made, layout_with_faces(tmp_path), tmp_path / "first")
    assert {path.name for path in (tmp_path / "first").iterdir()} == {"encoder.json", "weights.safetensors"}
    again = write_encoder(made, Layout("smoke", tmp_path), tmp_path / "second")
    assert record["weights_sha256"] == again["weights_sha256"]
    images = [face.pixels for face in drawn_faces()[:2]]
    by_file = load_encoder(tmp_path / "first").detect(images, [None, None], Asked())
    assert all(same(*pair) for pair in zip(by_file, fitted().detect(images, [None, None], Asked()), strict=True))


def test_a_rule_is_written_and_read_without_weights(tmp_path: Path) -> None:
    made = spec_of("landmark_oracle", "rule", OracleConfig())
    record = write_encoder(made, layout_with_faces(tmp_path, with_landmarks=False), tmp_path / "oracle")
    assert [path.name for path in (tmp_path / "oracle").iterdir()] == ["encoder.json"] and record["parameters"] == 0
    found = load_encoder(tmp_path / "oracle").detect([np.zeros((64, 64, 3), np.uint8)], [POINTS], Asked())[0]
    assert found.classes == BOXES


def test_a_fit_without_landmarks_says_so(tmp_path: Path) -> None:
    made = spec_of("template_match", "trained", TemplateConfig())
    with pytest.raises(SrledgerError, match="square images with landmarks"):
        write_encoder(made, layout_with_faces(tmp_path, with_landmarks=False), tmp_path / "encoder")


ENTRY = "encoders:\n"


def with_entry(tmp_path: Path, entry: str) -> Params:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace(ENTRY, f"{ENTRY}  mine: {entry}\n", 1), encoding="utf-8")
    return Params.load(tmp_path, "quick")


@pytest.mark.parametrize(
    ("plugin", "right"),
    [("landmark_oracle", "rule"), ("template_match", "trained"), ("yolo_trained_here", "trained"), ("none", "none")],
)
def test_an_entry_says_where_a_detectors_weights_come_from(tmp_path: Path, plugin: str, right: str) -> None:
    params = with_entry(tmp_path, f"{{ encoder: {plugin}, task: faces_x4, weights: {right} }}")
    assert params.encoders["mine"].weights == right and why_no_encoder(params, "mine") is None
    wrong = "rule" if right != "rule" else "trained"
    with pytest.raises(SrledgerError, match=rf"can't be {wrong}[\s\S]*expected: .*{right}"):
        with_entry(tmp_path, f"{{ encoder: {plugin}, task: faces_x4, weights: {wrong} }}").encoders["mine"]


def test_yolo_world_is_not_there_where_its_weights_are_not(tmp_path: Path) -> None:
    params = with_entry(tmp_path, "{ encoder: yolo_world, task: faces_x4, weights: published }")
    assert "yolo_world" in str(why_no_encoder(params, "mine")) and params.encoders["mine"].weights == "published"


def test_an_encoder_rests_on_the_helpers_that_it_imports() -> None:
    def helpers(plugin: str) -> set[str]:
        return {
            path.name for path in stage_code(ROOT, "train_encoder", {"key": "mine", "encoder": plugin, "task": "t"})
        }

    assert {"_facial_boxes.py", "_ultralytics.py", "landmark_examples.py"} <= helpers("yolo_trained_here")
    assert {"_inert_checkpoint.py", "_vocabulary.py", "_ultralytics.py"} <= helpers("yolo_world")
    assert not {"_facial_boxes.py", "_ultralytics.py", "landmark_examples.py"} & helpers("tiny_dino_vit")
