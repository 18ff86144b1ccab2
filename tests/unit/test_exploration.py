"""Exploration: facts and pictures of datasets of every kind, true to the images that they were made from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exploration_fixture import build_photos, build_task, photo
from PIL import Image

from srledger.data import synthetic_faces
from srledger.datasets import build_dataset
from srledger.errors import SrledgerError
from srledger.exploration import explore_dataset
from srledger.exploration.pictures import THUMBNAIL_PX, degradation_pictures, pixel_moments
from srledger.exploration.resemblance import resemblances
from srledger.exploration.token_colours import coloured, enlarged_cells
from srledger.packs import Pack, PackWriter
from srledger.seeds import numpy_generator
from srledger.settings import Dataset


def priors_of(packs: Path) -> dict[str, dict[str, Path]]:
    """Maps of a ramp and of a constant for every image of a task, and tokens of two halves."""
    folders = {name: packs.parent / "priors" / name for name in ("ramp", "flat", "halves")}
    for split in ("train", "val", "test"):
        writers = [PackWriter(folder / split, np.float16) for folder in folders.values()]
        with writers[0] as ramps, writers[1] as flats, writers[2] as halves:
            for image_id, hr in Pack(packs / f"{split}_hr").items():
                ramp = np.broadcast_to(np.linspace(0, 1, hr.shape[1]), hr.shape[:2])[..., None]
                ramps.add(image_id, ramp.astype(np.float16))
                flats.add(image_id, np.full((1, 1, 1), 0.625, np.float16))
                halves.add(image_id, np.eye(5, dtype=np.float16)[[[0, 0, 1, 1]] * 4])
    return {"faces_x4": folders}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Path, Path]]:
    """(facts, raw, explored) of a few generated faces."""
    folder = tmp_path_factory.mktemp("faces")
    config = synthetic_faces.Config.model_validate(
        {"size_px": 32, "n_identities": {"train": 4, "test": 2}, "images_per_identity": 3}
    )
    build_dataset(Dataset("faces", "synthetic_faces", config), folder / "raw")
    packs = build_task("faces", folder / "raw", folder / "packs", 32)
    facts = explore_dataset("faces", folder / "raw", {"faces_x4": packs}, folder / "explored", priors_of(packs))
    yield facts, folder / "raw", folder / "explored"


def pictures_in(facts: Any) -> list[str]:
    """Every path of a picture that stands anywhere in the facts."""
    if isinstance(facts, dict):
        return [path for value in facts.values() for path in pictures_in(value)]
    if isinstance(facts, list):
        return [path for value in facts for path in pictures_in(value)]
    return [facts] if isinstance(facts, str) and facts.endswith(".png") else []


def test_faces_without_a_val_split(faces: tuple[dict[str, Any], Path, Path]) -> None:
    facts, _, explored = faces
    assert facts["counts"] == {"train": 12, "val": 0, "test": 6}
    assert facts["sizes"]["commonest"] == [{"width_px": 32, "height_px": 32, "counts": {"test": 6, "train": 12}}]
    assert facts["identities"] == {
        "unnamed": 0,
        "splits": {
            "test": {"identities": 2, "images_each": {"3": 2}},
            "train": {"identities": 4, "images_each": {"3": 4}},
        },
    }
    for landmark in facts["landmarks"]["points"].values():
        assert sum(images for _, _, images in landmark["cells"]) == 18
        assert set(landmark["splits"]) == {"train", "test"}
    points = facts["landmarks"]["points"]
    assert points["left_eye"]["splits"]["train"]["mean"][0] < points["right_eye"]["splits"]["train"]["mean"][0]
    assert set(facts["aligned"]["mean"]) == set(facts["aligned"]["deviation"]) == {"train", "test"}
    named = pictures_in(facts)
    assert named and all((explored / "pictures" / path).is_file() for path in named)
    written = {path.relative_to(explored / "pictures").as_posix() for path in explored.rglob("*.png")}
    assert written == set(named)


def test_descriptors_hold_every_image_once(faces: tuple[dict[str, Any], Path, Path]) -> None:
    facts, raw, _ = faces
    for descriptor in facts["descriptors"].values():
        assert {split: sum(found["counts"]) for split, found in descriptor["splits"].items()} == {
            "train": 12,
            "test": 6,
        }
        assert descriptor["test"]["n"] == [12, 6] and 0 < descriptor["test"]["distance"] <= 1
    luma = [float((np.asarray(pixels) @ [0.299, 0.587, 0.114]).mean()) for pixels in Pack(raw / "train")]
    assert facts["descriptors"]["brightness"]["splits"]["train"]["mean"] == pytest.approx(np.mean(luma), rel=1e-4)
    darkest = [image for image in facts["extremes"]["darkest"] if image["split"] == "train"]
    assert darkest[0]["id"] == Pack(raw / "train").ids[int(np.argmin(luma))]


def test_the_same_data_give_the_same_bytes(faces: tuple[dict[str, Any], Path, Path], tmp_path: Path) -> None:
    facts, raw, explored = faces
    packs = raw.parent / "packs"
    again = explore_dataset("faces", raw, {"faces_x4": packs}, tmp_path, priors_of(packs))
    assert again == facts
    for path in explored.rglob("*.png"):
        assert (tmp_path / path.relative_to(explored)).read_bytes() == path.read_bytes()


def test_a_sample_shows_the_maps_of_its_priors(faces: tuple[dict[str, Any], Path, Path]) -> None:
    facts, _, explored = faces
    for sample in facts["tasks"]["faces_x4"]["samples"]:
        assert sample["maps"]["flat"] == 0.625
        ramp = np.asarray(Image.open(explored / "pictures" / sample["maps"]["ramp"]))
        assert ramp.shape == (32, 32) and ramp.dtype == np.uint8
        assert (np.diff(ramp.astype(int), axis=1) > 0).all() and ramp[0, 0] == 0 and ramp[0, -1] == 255


def test_a_sample_shows_the_tokens_of_its_priors_in_colours(faces: tuple[dict[str, Any], Path, Path]) -> None:
    facts, _, explored = faces
    for sample in facts["tasks"]["faces_x4"]["samples"]:
        assert set(sample["maps"]) == {"ramp", "flat"} and set(sample["tokens"]) == {"halves"}
        shown = np.asarray(Image.open(explored / "pictures" / sample["tokens"]["halves"])).astype(int)
        assert shown.shape == (32, 32, 3), "as large as the image, so that a cell is seen where it stands"
        assert len(np.unique(shown[:, :16].reshape(-1, 3), axis=0)) == 1
        assert np.abs(shown[0, 0] - shown[0, -1]).max() == 255


def test_samples_without_tokens_say_nothing_of_them(tmp_path: Path) -> None:
    raw = build_photos(tmp_path, {"test": {"a": photo("a", 40, 32)}})
    packs = build_task("photos", raw, tmp_path / "packs")
    (sample,) = explore_dataset("photos", raw, {"photos_x4": packs}, tmp_path / "explored")["tasks"]["photos_x4"][
        "samples"
    ]
    assert set(sample) == {"id", "split", "drawn", "pictures", "maps"}, "reports made before there were tokens stand"


def test_one_colour_means_one_thing_in_all_images() -> None:
    rng = np.random.default_rng(0)
    means = 9 * rng.standard_normal((3, 6))
    kinds = [rng.integers(0, 3, shape) for shape in ((4, 4), (2, 6))]
    grids = [(means[kind] + 0.01 * rng.standard_normal((*kind.shape, 6))).astype(np.float16) for kind in kinds]
    colours = coloured(grids)
    assert [one.shape for one in colours] == [(4, 4, 3), (2, 6, 3)] and colours[0].dtype == np.uint8
    leading = np.concatenate([one.reshape(-1, 3) for one in colours])[:, :2].astype(int)
    kind = np.concatenate([one.ravel() for one in kinds])
    for k in range(3):
        assert np.ptp(leading[kind == k], axis=0).max() < 8
        assert np.abs(leading[kind == k][0] - leading[kind == (k + 1) % 3][0]).max() > 60
    mirrored = coloured([grid[:, ::-1] for grid in grids])
    assert all(np.array_equal(one[:, ::-1], other) for one, other in zip(colours, mirrored, strict=True))


def test_colours_of_tokens_that_say_little_or_are_no_numbers() -> None:
    assert not coloured([np.ones((3, 4, 5), np.float16)])[0].any(), "all alike: black"
    two = coloured([np.arange(8, dtype=np.float16).reshape(2, 2, 2)])[0]
    assert two[..., 0].max() == 255 and not two[..., 2].any(), "two channels have two components"
    broken = np.eye(4, dtype=np.float16)[None]
    broken[0, 0, 0] = np.nan
    assert coloured([broken])[0].shape == (1, 4, 3), "a gate stops such tokens; a picture does not"


def test_a_cell_covers_its_share_of_the_pixels() -> None:
    grid = np.arange(6).reshape(2, 3)
    large = enlarged_cells(grid, 5, 7)
    assert large.shape == (5, 7) and np.array_equal(large[[0, 0, 0, 4], [0, 3, 6, 6]], [0, 1, 2, 5])
    assert np.array_equal(enlarged_cells(grid, 4, 6), grid.repeat(2, 0).repeat(2, 1))


def test_one_image_of_its_own_size_and_nothing_else(tmp_path: Path) -> None:
    raw = build_photos(tmp_path, {"test": {"only": photo("only", 130, 97)}}, redistributable=False)
    packs = build_task("photos", raw, tmp_path / "packs")
    facts = explore_dataset("photos", raw, {"photos_x4": packs}, tmp_path / "explored")
    assert facts["identities"] is None and facts["landmarks"] is None and facts["aligned"] is None
    assert [descriptor["test"] for descriptor in facts["descriptors"].values()] == [None] * 3
    assert facts["resemblance"]["within"]["pairs"] == facts["resemblance"]["across"]["pairs"] == 0
    assert facts["resemblance"]["within"]["closest"] == [] and facts["resemblance"]["across"]["median_bits"] is None
    (sample,) = facts["tasks"]["photos_x4"]["samples"]
    assert sample["id"] == facts["extremes"]["darkest"][0]["id"]


def test_restricted_pictures_stay_apart(tmp_path: Path) -> None:
    raw = build_photos(tmp_path, {"test": {"a": photo("a", 40, 32)}}, redistributable=False)
    facts = explore_dataset("photos", raw, {}, tmp_path / "explored")
    assert not (tmp_path / "explored" / "pictures").exists()
    assert all((tmp_path / "explored" / "restricted" / path).is_file() for path in pictures_in(facts))


def test_sizes_are_counted_and_thumbnails_small(tmp_path: Path) -> None:
    train = {f"t{k}": photo(f"t{k}", 200, 120) for k in range(3)} | {"wide": photo("wide", 300, 100)}
    raw = build_photos(tmp_path, {"train": train, "test": {"x": photo("x", 200, 120)}})
    facts = explore_dataset("photos", raw, {}, tmp_path / "explored")
    assert facts["sizes"]["distinct"] == 2
    assert facts["sizes"]["commonest"][0] == {"width_px": 200, "height_px": 120, "counts": {"test": 1, "train": 3}}
    assert facts["sizes"]["shorter_px"]["train"] == {"smallest": 100, "median": 120.0, "largest": 120}
    thumbnails = sorted((tmp_path / "explored").rglob("thumbnails/*.png"))
    assert len(thumbnails) == 5
    for path in thumbnails:
        with Image.open(path) as image:
            assert max(image.size) == THUMBNAIL_PX


def test_a_shift_between_train_and_test_is_seen(tmp_path: Path) -> None:
    train = {f"t{k}": photo(f"t{k}", 32, 32) // 2 for k in range(20)}
    test = {f"x{k}": 127 + photo(f"x{k}", 32, 32) // 2 for k in range(20)}
    facts = explore_dataset("photos", build_photos(tmp_path, {"train": train, "test": test}), {}, tmp_path / "e")
    assert facts["descriptors"]["brightness"]["test"]["distance"] == 1
    assert facts["descriptors"]["brightness"]["test"]["p"] < 1e-6
    assert {image["split"] for image in facts["extremes"]["darkest"]} == {"train"}
    assert {image["split"] for image in facts["extremes"]["brightest"]} == {"test"}


def test_a_copy_across_splits_leads_the_list(tmp_path: Path) -> None:
    original = photo("t3", 64, 64)
    coded = io.BytesIO()
    Image.fromarray(original).save(coded, "JPEG", quality=60)
    train = {f"t{k}": photo(f"t{k}", 64, 64) for k in range(6)}
    test = {"x0": photo("x0", 64, 64), "copy": np.asarray(Image.open(coded))}
    facts = explore_dataset("photos", build_photos(tmp_path, {"train": train, "test": test}), {}, tmp_path / "e")
    across = facts["resemblance"]["across"]
    assert across["pairs"] == 12 and facts["resemblance"]["within"]["pairs"] == 15 + 1
    first, second = across["closest"][:2]
    assert [image["id"].split("_")[-1] for image in first["images"]] == ["t3", "copy"]
    assert first["bits"] <= 32 < second["bits"]


@pytest.mark.parametrize("images", [2, 300])
def test_resemblances_are_those_of_all_pairs(images: int) -> None:
    rng = numpy_generator("test", "hashes", images)
    hashes = rng.integers(0, 1 << 63, size=(images, 4), dtype=np.uint64)
    hashes[-1] = hashes[0]
    splits = rng.integers(0, 3, size=images)
    expected: dict[str, list[tuple[int, int, int]]] = {"within": [], "across": []}
    for a in range(images):
        for b in range(a + 1, images):
            bits = sum(int(x ^ y).bit_count() for x, y in zip(hashes[a].tolist(), hashes[b].tolist(), strict=True))
            expected["within" if splits[a] == splits[b] else "across"].append((bits, a, b))
    for kind, found in resemblances(hashes, splits, 7).items():
        assert found.pairs == len(expected[kind])
        assert found.closest == sorted(expected[kind])[:7]
        assert found.near == [(bits, sum(d <= bits for d, _, _ in expected[kind])) for bits in (8, 16, 32, 64)]


def test_pixel_moments_are_exact(tmp_path: Path) -> None:
    images = numpy_generator("test", "moments").integers(0, 256, size=(5000, 8, 8, 3), dtype=np.uint8)  # two chunks
    with PackWriter(tmp_path / "p", np.uint8) as pack:
        for k, image in enumerate(images):
            pack.add(str(k), image)
    mean, deviation = pixel_moments(Pack(tmp_path / "p"))
    np.testing.assert_allclose(mean, images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviation, images.std(axis=0), rtol=1e-9)


def test_degradation_pictures_show_one_place() -> None:
    hr = np.full((400, 300, 3), 100, dtype=np.uint8)
    hr[199, 149] = 255
    lr = np.full((100, 75, 3), 100, dtype=np.uint8)
    shown = degradation_pictures(hr, lr)
    assert shown["hr"].shape == shown["difference"].shape == (128, 128, 3) and shown["lr"].shape == (32, 32, 3)
    (row,), (column,) = np.nonzero(shown["hr"][:, :, 0] == 255)
    assert shown["difference"][row, column].tolist() == [0, 0, 0]  # LR lacks the point: far darker there
    assert shown["difference"][0, 0].tolist() == [128, 128, 128]
    assert degradation_pictures(hr[:64, :64], lr[:64, :64])["lr"].shape == (64, 64, 3)  # a task that keeps the size


def test_descriptors_of_other_images_are_refused(tmp_path: Path) -> None:
    raw = build_photos(tmp_path, {"test": {"a": photo("a", 32, 32), "b": photo("b", 32, 32)}})
    manifest = (raw / "manifest.csv").read_text().splitlines(keepends=True)
    (raw / "manifest.csv").write_text("".join([manifest[0], manifest[2], manifest[1]]))
    with pytest.raises(SrledgerError, match="different images"):
        explore_dataset("photos", raw, {}, tmp_path / "explored")
    (raw / "descriptors.parquet").unlink()
    with pytest.raises(SrledgerError, match="missing"):
        explore_dataset("photos", raw, {}, tmp_path / "explored")
