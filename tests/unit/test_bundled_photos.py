"""Patches of bundled photographs: real, disjoint, detailed, without a network."""

from __future__ import annotations

import re
import socket

import numpy as np
import pytest

from srledger.data import SourceImage, bundled_photos
from srledger.data.bundled_photos import PHOTOS, BundledPhotos, Config, detail, read_photo
from srledger.errors import SrledgerError


def patches(**fields: object) -> list[SourceImage]:
    return list(BundledPhotos(Config.model_validate(fields)).images())


@pytest.fixture(scope="module")
def every() -> list[SourceImage]:
    return patches()


def test_splits_share_no_photo_and_no_patch(every: list[SourceImage]) -> None:
    photos = {split: {i.id.split("_r")[0] for i in every if i.split == split} for split in ("train", "val", "test")}
    assert photos == {
        "train": {"astronaut", "brick", "camera", "coffee", "grass", "gravel", "rocket"},
        "val": {"flower"},
        "test": {"chelsea", "china", "hopper"},
    }
    assert len({image.id for image in every}) == len(every) == len({image.pixels.tobytes() for image in every})


def test_a_patch_is_the_place_that_its_name_says(every: list[SourceImage]) -> None:
    for image in every[::25]:
        name, row, column = re.fullmatch(r"(\w+)_r(\d+)_c(\d+)", image.id).groups()  # type: ignore[union-attr]
        y, x = 64 * int(row), 64 * int(column)
        np.testing.assert_array_equal(image.pixels, read_photo(name)[y : y + 64, x : x + 64])


def test_flat_patches_are_left_out(every: list[SourceImage]) -> None:
    assert min(detail(image.pixels) for image in every) >= 3.0
    assert len(patches(min_detail=0)) > len(every) + 100  # sky, wall, blurred background
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    assert detail(ramp) == pytest.approx(0.5)


def test_a_limited_split_takes_its_photos_in_turn() -> None:
    few = patches(max_patches={"train": 14, "val": 0, "test": 4}, seed=5)
    count = [
        sum(image.id.startswith(name) for image in few) for name in ("astronaut", "grass", "chelsea", "china", "flower")
    ]
    assert count == [2, 2, 2, 1, 0]
    assert [i.id for i in few] == [i.id for i in patches(max_patches={"train": 14, "val": 0, "test": 4}, seed=5)]
    assert {i.id for i in few} != {i.id for i in patches(max_patches={"train": 14, "val": 0, "test": 4}, seed=6)}


def test_no_network_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(patches(max_patches={"train": 7, "val": 1, "test": 3})) == 11


def test_all_may_be_shown_and_each_licence_is_named() -> None:
    assert BundledPhotos.redistributable
    assert all(re.match(r"CC0-1\.0|CC-BY-2\.0|public domain", photo.licence) for photo in PHOTOS.values())
    assert all(photo.licence in BundledPhotos.licence for photo in PHOTOS.values())


def test_a_changed_or_missing_photo_and_a_too_large_patch_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SrledgerError, match=r"smaller than a patch(.|\n)*coffee(.|\n)*at most 400"):
        patches(patch_px=401)
    monkeypatch.setitem(bundled_photos.PHOTOS, "flower", PHOTOS["flower"]._replace(sha256="0" * 64))
    with pytest.raises(SrledgerError, match="has changed"):
        read_photo("flower")
    monkeypatch.setitem(bundled_photos.PHOTOS, "flower", PHOTOS["flower"]._replace(file="no.jpg"))
    with pytest.raises(SrledgerError, match="missing"):
        read_photo("flower")
