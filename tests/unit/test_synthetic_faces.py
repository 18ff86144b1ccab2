"""Painted faces: the same seed gives the same pixels, landmarks lie on the features, people differ, detail is there."""

from __future__ import annotations

import dataclasses
import hashlib
import re

import numpy as np
import pytest
from pydantic import ValidationError

from srledger.data import SourceImage
from srledger.data._face_canvas import open_canvas
from srledger.data._face_geometry import TEMPLATE, aim_camera, model_landmarks
from srledger.data._face_people import draw_identity, draw_look
from srledger.data.synthetic_faces import Config, SyntheticFaces, draw_face
from srledger.imresize import imresize

# Of the pixels of `faces()`, before there was another style.
DEFAULT_SHA256 = "ce09be6d9ca7274c294006fa698430a2c6de9e5a2ffc4925744e07da820d785d"


def faces(**fields: object) -> list[SourceImage]:
    settings = {"size_px": 48, "n_identities": {"train": 3, "val": 1, "test": 2}, "images_per_identity": 2, **fields}
    return list(SyntheticFaces(Config.model_validate(settings)).images())


@pytest.fixture(scope="module")
def people() -> list[SourceImage]:
    return faces(n_identities={"train": 12}, images_per_identity=4)


def test_the_same_config_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = faces(), faces(), faces(seed=1)
    assert [(image.id, image.pixels.tobytes()) for image in first] == [
        (image.id, image.pixels.tobytes()) for image in again
    ]
    assert all(not np.array_equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))


def test_a_face_does_not_depend_on_how_many_others_are_drawn() -> None:
    few = {image.id: image.pixels for image in faces(n_identities={"test": 1}, images_per_identity=1)}
    many = {image.id: image.pixels for image in faces()}
    assert list(few) == ["test_p0000_i0"]
    np.testing.assert_array_equal(few["test_p0000_i0"], many["test_p0000_i0"])


def test_splits_share_no_person_and_ids_are_safe() -> None:
    images = faces()
    assert [image.split for image in images] == ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    who = {split: {image.identity for image in images if image.split == split} for split in ("train", "val", "test")}
    assert [len(who[split]) for split in ("train", "val", "test")] == [3, 1, 2]
    assert len(set.union(*who.values())) == 6
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", image.id) for image in images)
    assert all(image.pixels.shape == (48, 48, 3) and image.pixels.dtype == np.uint8 for image in images)


def test_landmarks_stand_where_aligned_crops_have_them(people: list[SourceImage]) -> None:
    points = np.stack([image.landmarks for image in people if image.landmarks is not None])
    assert points.shape == (48, 5, 2)
    in_sides = (points + 0.5) / 48
    np.testing.assert_allclose(in_sides.mean(0), TEMPLATE, atol=0.02)
    assert np.abs(in_sides - TEMPLATE).max() < 0.12
    assert in_sides.std(0).min() > 0.002  # faces are not all alike


@pytest.mark.parametrize("yaw", [-0.3, 0.0, 0.25])
def test_landmarks_are_the_points_of_the_surface_that_is_drawn_there(yaw: float) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        who, look = draw_identity(rng), dataclasses.replace(draw_look(rng, 8.0), yaw=yaw)
        points = model_landmarks(who, look)
        camera = aim_camera(points, look)
        canvas = open_canvas(who, camera, look.roll, 128)
        columns, rows = np.rint(camera.project(points) * 128 - 0.5).astype(int).T
        found = np.column_stack([canvas.u[rows, columns], canvas.v[rows, columns]])
        np.testing.assert_allclose(found, points[:, :2], atol=1.5 * canvas.px)


def test_the_pupil_is_drawn_at_the_eye_landmark() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        who = dataclasses.replace(draw_identity(rng), glasses="none", hair_style="bald")
        look = dataclasses.replace(draw_look(rng, 8.0), gaze=np.zeros(2), squint=-0.1)
        pixels, landmarks = draw_face(who, look, 128, 2)
        for x, y in landmarks[:2]:
            row, column = round(y) - 5, round(x) - 6
            eye = 255 - pixels[row : row + 11, column : column + 13].mean(axis=2)
            darkest = eye**8 / (eye**8).sum()
            assert abs((darkest.sum(0) * np.arange(13)).sum() + column - x) < 2.5


def test_a_person_looks_more_like_oneself_than_like_others(people: list[SourceImage]) -> None:
    def colour(image: SourceImage) -> np.ndarray:
        face = image.pixels[14:38, 16:32].astype(float).mean(axis=(0, 1))
        return face / face.sum()

    colours = np.stack([colour(image) for image in people]).reshape(12, 4, 3)
    own = np.linalg.norm(colours - colours.mean(1, keepdims=True), axis=2).mean()
    others = np.linalg.norm(colours.mean(1) - colours.mean((0, 1)), axis=1).mean()
    assert own < 0.6 * others
    assert all(not np.array_equal(a.pixels, b.pixels) for a, b in zip(people[::4], people[1::4], strict=True))


def test_there_is_detail_that_a_bicubic_enlargement_lacks(people: list[SourceImage]) -> None:
    def psnr_db(image: SourceImage, factor: int) -> float:
        hr = np.moveaxis(image.pixels, -1, 0).astype(float)
        sr = imresize(imresize(hr, 48 // factor, 48 // factor), 48, 48)
        return float(10 * np.log10(255**2 / ((sr - hr) ** 2).mean()))

    x4, x8 = (np.mean([psnr_db(image, factor) for image in people]) for factor in (4, 8))
    assert 18 < x8 < x4 < 28


def test_a_larger_image_shows_the_same_face() -> None:
    rng = np.random.default_rng(4)
    who, look = draw_identity(rng), draw_look(rng, 8.0)
    small, small_points = draw_face(who, look, 48, 2)
    large, large_points = draw_face(who, look, 96, 2)
    reduced = np.moveaxis(imresize(np.moveaxis(large, -1, 0), 48, 48), 0, -1)
    assert np.abs(reduced - small).mean() < 4
    np.testing.assert_allclose((large_points + 0.5) / 2 - 0.5, small_points, atol=1e-9)


def test_the_default_style_is_what_it_was_before_there_was_another() -> None:
    digest = hashlib.sha256(b"".join(image.pixels.tobytes() for image in faces()))
    assert faces(style="photo")[0].pixels.tobytes() == faces()[0].pixels.tobytes()
    assert digest.hexdigest() == DEFAULT_SHA256


def test_a_cartoon_shows_the_same_people_at_the_same_places_otherwise() -> None:
    photos, cartoons = faces(), faces(style="cartoon", grain=0.0)
    for photo, cartoon in zip(photos, cartoons, strict=True):
        assert (photo.id, photo.identity, photo.split) == (cartoon.id, cartoon.identity, cartoon.split)
        np.testing.assert_array_equal(photo.landmarks, cartoon.landmarks)
        assert np.abs(photo.pixels.astype(int) - cartoon.pixels).mean() > 20
    again = faces(style="cartoon", grain=0.0)
    assert [one.pixels.tobytes() for one in cartoons] == [one.pixels.tobytes() for one in again]


def test_a_cartoon_is_flat_but_for_its_outlines() -> None:
    def flat_share(style: str) -> float:
        images = faces(style=style, grain=0.0, size_px=96, n_identities={"test": 6}, images_per_identity=1)
        steps = [np.abs(np.diff(image.pixels.astype(int), axis=1)).max(axis=2) for image in images]
        return float(np.mean([step == 0 for step in steps]))

    assert flat_share("cartoon") > 0.5 > 0.15 > flat_share("photo")


def test_a_cartoons_eye_is_large_and_stands_about_its_landmark() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        who = dataclasses.replace(draw_identity(rng), glasses="none", hair_style="bald")
        look = dataclasses.replace(draw_look(rng, 8.0), gaze=np.zeros(2), squint=0.0, yaw=0.0)
        pixels, landmarks = draw_face(who, look, 128, 2, "cartoon")
        assert pixels.shape == (128, 128, 3) and pixels.min() >= 0 and pixels.max() <= 255
        for x, y in landmarks[:2]:
            # white about the iris, and ink in its middle
            assert pixels[round(y), round(x)].max() < 90
            sides = [pixels[round(y), round(x) + side * np.array([7, 8, 9])].min(axis=1).max() for side in (-1, 1)]
            assert min(sides) > 180, "where shaded faces have skin or a lid"


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="style"):
        Config.model_validate({"n_identities": {"train": 1}, "style": "oil"})
    with pytest.raises(ValidationError, match="holdout"):
        Config.model_validate({"n_identities": {"holdout": 1}})
