"""Heatmaps from boxes: the three recipes on boxes that are known, and the controls of where the boxes lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from heatmap_tools import NINE, Box, Finds, detections, heatmap, image, noise

from srledger.config import Params
from srledger.encoders._detection import Asked
from srledger.errors import SrledgerError
from srledger.methods.landmark_unet import heat_weights
from srledger.packs import PackWriter
from srledger.plugins import plugin_class, plugin_config
from srledger.priors import Prior, PriorInput
from srledger.priors._boxes import inside
from srledger.priors._heatmap_recipes import (
    edges_of,
    face_fade,
    fade,
    fade_of,
    gauss_heatmap,
    halo,
    inverse_fade,
    odd,
    smoothed,
    weight_of,
)
from srledger.split_inputs import inputs_of

EDGE_RECIPES = ("repo", "paper")
RECIPES = (*EDGE_RECIPES, "gauss")


def control(name: str, base: Prior, **settings: Any) -> Any:
    return plugin_class("priors", name)(plugin_config("priors", name)(of="base", **settings), base)


def squares(side_px: int, *centres: tuple[float, float]) -> np.ndarray:
    """White squares, an eighth of the side wide, on black; centres (x, y) as shares of the side."""
    hr = np.zeros((side_px, side_px, 3), np.uint8)
    half = side_px // 16
    for x, y in centres:
        column, row = round(x * side_px), round(y * side_px)
        hr[row - half : row + half, column - half : column + half] = 255
    return hr


def around(x: float, y: float, side_px: int = 128, share: float = 0.25) -> tuple[float, float, float, float]:
    """A box of ``share`` of the side."""
    half = share * side_px / 2
    return (x * side_px - half, y * side_px - half, x * side_px + half, y * side_px + half)


LEFT, RIGHT = (0.25, 0.5), (0.75, 0.5)


def peaks(values: np.ndarray) -> tuple[float, float]:
    """The largest value of the left half and of the right half."""
    half = values.shape[1] // 2
    return float(values[:, :half].max()), float(values[:, half:].max())


# What the recipes are made of


def test_fades_at_known_points() -> None:
    small, away, face = fade((5, 9)), inverse_fade((5, 9)), face_fade((5, 9))
    for name, values, expected in (("middle", (2, 4), 0.0), ("a side", (2, 0), 1.0), ("a corner", (0, 8), 2.0)):
        assert small[values] == pytest.approx(np.exp(-2 * expected)), name
        assert away[values] == pytest.approx(1 - np.exp(-expected / (2 * 0.36))), name
        assert face[values] == pytest.approx(0.3 + 0.7 * away[values]), name
    assert small[2, 6] == pytest.approx(np.exp(-2 * 0.25))
    assert fade((1, 1)) == 1 and inverse_fade((1, 1)) == 0, "a single pixel is the middle of its box"


def test_which_class_fades_how_and_counts_how_much() -> None:
    assert fade_of("face", "repo") is face_fade and fade_of("face", "paper") is inverse_fade
    assert fade_of("head", "repo") is fade and fade_of("head", "paper") is inverse_fade
    assert all(fade_of(name, "repo") is fade_of(name, "paper") is fade for name in set(NINE) - {"face", "head"})
    assert weight_of("head", "repo") == pytest.approx(0.6) and weight_of("head", "paper") == 2.0
    for recipe in RECIPES:
        weights = {name: weight_of(name, recipe) for name in NINE}  # type: ignore[arg-type]
        assert weights["eye"] == 4.5 == max(weights.values()) and weights["nosetip"] == 3.0
        assert {weights[name] for name in ("mouth", "nose", "chin", "ear", "eyebrows", "face")} == {4.0}
        assert min(weights, key=weights.__getitem__) == "head"
        assert weight_of("moustache", recipe) == 1.0  # type: ignore[arg-type]


def test_edges_are_scharrs_slopes_and_cannys_lines_in_equal_parts() -> None:
    grey = np.zeros((16, 16), np.uint8)
    grey[:, 8:] = 255
    edges = edges_of(grey)
    # The step's two columns have the same slope; Canny thins them to one.
    assert sorted(edges[8, 7:9].tolist()) == pytest.approx([0.5, 1.0]) and not edges[:, :7].any()
    weak = grey // 32  # a step of 7 grey levels is below Canny's threshold: the slope alone is left
    assert np.allclose(edges_of(weak)[8, 7:9], 1) and not edges_of(np.full((9, 9), 77, np.uint8)).any()
    assert edges_of(np.full((1, 1), 5, np.uint8)).shape == (1, 1) and edges_of(grey[:2, 7:9]).shape == (2, 2)


def test_blurring_is_a_gaussian_cut_to_its_kernel() -> None:
    point = np.zeros((41, 41))
    point[20, 20] = 1
    blurred = smoothed(point, 21, 2.0, 1.0)
    line = np.exp(-0.5 * (np.arange(-10, 11) / 2.0) ** 2)
    line /= line.sum()
    assert np.allclose(blurred[10:31, 10:31], np.outer(line, line)) and not blurred[:, :10].any()
    half = smoothed(point, 21, 2.0, 0.5)  # in a 64 px image: 11 px and sigma 1
    assert np.flatnonzero(half[20]).tolist() == list(range(15, 26))
    assert half[20, 21] / half[20, 20] == pytest.approx(np.exp(-0.5))
    assert [odd(length) for length in (0.1, 7.5, 15, 21, 10.5, 42)] == [3, 7, 15, 21, 11, 41]


def test_the_halo_widens_by_a_quarter_of_the_shorter_side_and_never_below_8_px_of_128() -> None:
    # A box of 40 x 40 in the middle: padded by 10, so d_max is 30, and d is 20 at its edge.
    values = halo((44, 44, 84, 84), (128, 128), 1.0)
    assert values.shape == (40, 40) and values[20, 20] == 1 == values.max()
    assert values[20, 0] == pytest.approx(np.exp(-0.8 * (20 / 30) ** 2))
    long = halo((4, 60, 124, 68), (128, 128), 1.0)  # padded by 8: d_max is 12, and the ends are far beyond
    assert long[4, 60] == 1 and long[4, 0] == long[4, -1] == 0.3
    assert long[4, 65] == pytest.approx(np.exp(-0.8 * (5 / 12) ** 2))
    half = halo((2, 30, 62, 34), (64, 64), 0.5)  # the same box in a 64 px image: padded by 4
    assert half[2, 30] == 1 and np.allclose(half[::2, :10], 0.3)
    assert half[2, 32] == pytest.approx(np.exp(-0.8 * (2 / 6) ** 2))


# Gaussians


def test_gauss_is_one_in_the_middle_of_its_box_and_falls_as_the_box_is_wide() -> None:
    box: Box = ("nose", 0.4, (40, 50, 61, 91))  # 21 px wide, 41 px high, the middle is pixel (50, 70)
    for s in (0.5, 1.0, 2.0):
        values = gauss_heatmap((128, 128), detections(box), s, 0)
        rows, columns = np.mgrid[:128, :128]
        exact = np.exp(-0.5 * (((columns - 50) / (s * 10.5)) ** 2 + ((rows - 70) / (s * 20.5)) ** 2))
        assert np.allclose(values, (exact - exact.min()) / (1 - exact.min()))
        assert values[70, 50] == 1
    values = gauss_heatmap((129, 129), detections(("nose", 1.0, (54.5, 59.5, 74.5, 69.5))), 1.0, 0)
    assert values[64, 64 + 10] == pytest.approx(np.exp(-0.5), abs=1e-6)  # one sigma is half of the box: its edge
    assert values[64 + 5, 64] == pytest.approx(np.exp(-0.5), abs=1e-6)


@pytest.mark.parametrize(("power", "ratio"), [(0, 0.6 / 4.5), (1, 0.6 * 0.8 / (4.5 * 0.4))])
def test_gauss_weighs_by_class_and_where_asked_by_confidence(power: int, ratio: float) -> None:
    boxes = (("eye", 0.4, (28, 60, 35, 67)), ("head", 0.8, (92, 60, 99, 67)))
    prior = heatmap(*boxes, recipe="gauss", confidence_power=power, width_of_box=0.5)
    left, right = peaks(prior.map_of(image(noise())))
    assert left == 1 and right == pytest.approx(ratio)


def test_gauss_takes_the_larger_of_two() -> None:
    both = (("eye", 0.9, (28, 60, 35, 67)), ("eye", 0.9, (28, 60, 35, 67)), ("mouth", 0.9, (92, 60, 99, 67)))
    left, right = peaks(heatmap(*both, recipe="gauss").map_of(image(noise())))
    assert left == 1 and right == pytest.approx(4.0 / 4.5)


# The recipes as wholes


@pytest.mark.parametrize("recipe", EDGE_RECIPES)
@pytest.mark.parametrize(("name", "ratio"), [("mouth", 4.0 / 4.5), ("nosetip", 3.0 / 4.5), ("moustache", 1 / 4.5)])
def test_equal_edges_count_by_class(recipe: str, name: str, ratio: float) -> None:
    detector = Finds(("eye", 0.01, around(*LEFT)), (name, 0.9, around(*RIGHT)), classes=(*NINE, "moustache"))
    left, right = peaks(heatmap(detector=detector, recipe=recipe).map_of(image(squares(128, LEFT, RIGHT))))
    assert left == 1 and right == pytest.approx(ratio, rel=1e-6), "confidence counts for nothing"


def test_a_head_counts_0_6_in_repo_and_2_with_a_free_middle_in_paper() -> None:
    of_image = image(squares(128, LEFT, RIGHT))
    boxes = (("eye", 0.9, around(*LEFT)), ("head", 0.9, around(*RIGHT)))
    left, right = peaks(heatmap(*boxes, recipe="repo").map_of(of_image))
    assert left == 1 and right == pytest.approx(0.6 / 4.5, rel=1e-6)
    # Both in the paper's recipe fade away from the middle; so their ratio is that of their weights.
    boxes = (("face", 0.9, around(*LEFT)), ("head", 0.9, around(*RIGHT)))
    left, right = peaks(heatmap(*boxes, recipe="paper").map_of(of_image))
    assert left == 1 and right == pytest.approx(2.0 / 4.0, rel=1e-6)


def test_repo_merges_by_the_maximum_and_paper_by_the_sum() -> None:
    twice = (("eye", 0.9, around(*LEFT)), ("eye", 0.5, around(*LEFT)), ("eye", 0.9, around(*RIGHT)))
    of_image = image(squares(128, LEFT, RIGHT))
    assert peaks(heatmap(*twice, recipe="repo").map_of(of_image)) == pytest.approx((1, 1))
    assert peaks(heatmap(*twice, recipe="paper").map_of(of_image)) == pytest.approx((1, 0.5))


def by_hand(hr: np.ndarray, boxes: Sequence[tuple[str, tuple[int, int, int, int]]]) -> np.ndarray:
    """The authors' recipe once more, in loops over pixels and with scipy's filters."""
    import cv2
    from scipy.ndimage import convolve, gaussian_filter

    grey = cv2.cvtColor(hr, cv2.COLOR_RGB2GRAY)
    kernel = np.array([[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]])
    height, width = grey.shape
    found = np.zeros(grey.shape)
    weights = {"eye": 4.5, "face": 4.0, "head": 0.6}
    for name, (left, top, right, bottom) in boxes:
        crop = grey[top:bottom, left:right].astype(float)
        slope = np.hypot(convolve(crop, kernel, mode="mirror"), convolve(crop, kernel.T, mode="mirror"))
        lines = cv2.Canny(np.ascontiguousarray(grey[top:bottom, left:right]), 50, 150) / 255
        edges = 0.5 * slope / slope.max() + 0.5 * lines
        edges /= edges.max()
        w, h = right - left, bottom - top
        pad = max(8, min(w, h) // 4)
        x0, x1, y0, y1 = max(0, left - pad), min(width, right + pad), max(0, top - pad), min(height, bottom + pad)
        for row in range(h):
            for column in range(w):
                r2 = (2 * column / (w - 1) - 1) ** 2 + (2 * row / (h - 1) - 1) ** 2
                faded = 0.3 + 0.7 * (1 - np.exp(-r2 / 0.72)) if name == "face" else np.exp(-2 * r2)
                dx, dy = left - x0 + column - (x1 - x0) // 2, top - y0 + row - (y1 - y0) // 2
                d2 = (dx**2 + dy**2) / (min(x1 - x0, y1 - y0) / 2) ** 2
                value = weights[name] * edges[row, column] * faded * max(0.3, np.exp(-0.8 * d2))
                found[top + row, left + column] = max(found[top + row, left + column], value)
    found = gaussian_filter(found, 2.0, radius=10, mode="mirror")
    return (found - found.min()) / (found.max() - found.min())


def test_repo_is_the_authors_recipe() -> None:
    hr = np.kron(noise(16, seed=3), np.ones((8, 8, 1), np.uint8))
    boxes = [
        ("eye", (30, 40, 55, 58)),
        ("face", (10, 5, 118, 128)),
        ("head", (0, 0, 128, 120)),
        ("eye", (100, 2, 128, 9)),
    ]
    prior = heatmap(*((name, 0.5, box) for name, box in boxes), recipe="repo")
    assert np.allclose(prior.map_of(image(hr)), by_hand(hr, boxes), atol=1e-6)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_map_grows_with_its_image(recipe: str) -> None:
    found = []
    for side in (64, 128, 256):
        boxes = [("eye", 0.5, around(*LEFT, side)), ("mouth", 0.5, around(*RIGHT, side))]
        values = heatmap(*boxes, recipe=recipe).map_of(image(squares(side, LEFT, RIGHT)))
        assert values.shape == (side, side)
        found.append(values.reshape(32, side // 32, 32, side // 32).mean(axis=(1, 3)))
    for other in (found[0], found[2]):
        assert np.corrcoef(found[1].ravel(), other.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_found_is_zeros_and_the_loss_then_weighs_every_pixel_alike(recipe: str) -> None:
    for side in (128, 32):
        values = heatmap(recipe=recipe).map_of(image(noise(side)))
        assert values.shape == (side, side) and not values.any()
    weights = heat_weights(torch.from_numpy(values)[None, None], 1.3, 0.1)
    assert torch.equal(weights, torch.ones_like(weights))


NAN, FAR = float("nan"), float("inf")
STRANGE: list[tuple[float, float, float, float]] = [
    (-50, -50, -1, -1), (200, 10, 300, 20), (40, 40, 40, 60), (40, 40, 60, 40), (60, 60, 40, 40), (NAN, 0, 9, 9),
    (0, 0, FAR, 9), (10.2, 10.2, 10.9, 10.9), (128, 128, 128, 128), (0, 0, 0, 0), (127, 127, 128, 128),
    (-20, -20, 5, 5),
]  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ["eye", "face", "head"])
def test_strange_boxes_leave_a_map(recipe: str, name: str) -> None:
    for boxes in ([box] for box in STRANGE):
        values = heatmap(*((name, 0.5, box) for box in boxes), recipe=recipe).map_of(image(noise()))
        assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1, boxes
    whole = (name, 0.5, (-9.0, -9.0, 500.0, 500.0))
    values = heatmap(whole, *((name, 0.5, box) for box in STRANGE), recipe=recipe).map_of(image(noise()))
    assert np.isfinite(values).all() and values.max() == 1 and values.min() == 0
    unsure = heatmap((name, NAN, (10, 10, 50, 50)), recipe=recipe).map_of(image(noise()))
    assert not unsure.any()


def test_boxes_are_cut_to_the_image_and_those_without_area_dropped() -> None:
    kept = inside(detections(*(("eye", 0.1 * k, box) for k, box in enumerate(STRANGE))), (128, 128))
    assert kept.boxes_px.tolist() == [[10.2, 10.2, 10.9, 10.9], [127, 127, 128, 128], [0, 0, 5, 5]]
    assert kept.confidences == pytest.approx([0.7, 1.0, 1.1]) and len(kept.classes) == 3
    assert len(inside(detections(), (9, 9))) == 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_flat_ground_has_no_edges(recipe: str) -> None:
    values = heatmap(("face", 0.5, (9, 9, 99, 99)), recipe=recipe).map_of(image(np.full((128, 128, 3), 90, np.uint8)))
    assert values.any() == (recipe == "gauss")


# What the detector is asked


def test_prompts_confidence_and_iou_choose_the_boxes() -> None:
    detector = Finds(("eye", 0.9, around(*LEFT)), ("eye", 0.02, around(*RIGHT)), ("face", 0.9, (0, 0, 128, 128)))
    prior = heatmap(detector=detector, prompts=("eye", "mouth"), confidence=0.05, iou=0.3)
    found = prior.boxes_of(image(noise()))
    assert found.classes == ("eye",) and detector.asked == [Asked(0.05, 0.3)]
    assert len(heatmap(detector=detector).boxes_of(image(noise()))) == 3
    assert detector.asked[-1] == Asked(0.001, 0.1), "the authors' own"
    with pytest.raises(SrledgerError) as caught:
        heatmap(detector=detector, prompts=("eyes",)).map_of(image(noise()))
    assert "unknown prompt 'eyes'" in str(caught.value) and "nearest:  eye" in str(caught.value)


def test_settings_without_an_effect_are_refused() -> None:
    config = plugin_config("priors", "yolo_world_landmarks")
    assert config(encoder="e", recipe="gauss", width_of_box=2.0, confidence_power=1).width_of_box == 2
    for wrong in ({"width_of_box": 2.0}, {"confidence_power": 1, "recipe": "paper"}, {"prompts": ()}, {"iou": 2.0}):
        with pytest.raises(ValueError):
            config(encoder="e", **wrong)


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_enlarged_lr_image_is_all_that_is_looked_at(recipe: str) -> None:
    hr, other = noise(), noise(seed=1)
    whole: Box = ("face", 0.5, (0, 0, 128, 128))
    first, second = Finds(whole), Finds(whole)
    of_lr = [
        heatmap(detector=detector, input="lr_upsampled", recipe=recipe).map_of(
            dataclasses.replace(image(hr), hr=pixels)
        )
        for detector, pixels in ((first, hr), (second, other))
    ]
    assert np.array_equal(of_lr[0], of_lr[1]), "another HR image, the same LR image: the same map"
    assert np.array_equal(first.shown[0], second.shown[0]) and first.shown[0].shape == (128, 128, 3)
    assert first.shown[0].dtype == np.uint8
    detector = Finds(whole)
    of_hr = heatmap(detector=detector, recipe=recipe).map_of(image(hr))
    assert np.array_equal(detector.shown[0], hr)
    assert np.array_equal(of_hr, of_lr[0]) == (recipe == "gauss"), "the edges are those of what is looked at"


# Controls


SOME = (
    ("eye", 0.9, (30.25, 40.5, 52.0, 58.75)), ("face", 0.8, (0.0, 10.0, 128.0, 120.5)), ("head", 0.7, (0, 0, 128, 128)),
)  # fmt: skip


def test_random_boxes_keep_their_sizes_and_classes_and_repeat_by_id() -> None:
    base = heatmap(*SOME)
    prior = control("random_boxes", base)
    places = set()
    for name in "abcdefghijklmnopqrst":
        moved, own = prior.boxes_of(image(noise(), name)), base.boxes_of(image(noise(), name))
        assert np.allclose(moved.boxes_px[:, 2:] - moved.boxes_px[:, :2], own.boxes_px[:, 2:] - own.boxes_px[:, :2])
        assert moved.classes == own.classes and np.array_equal(moved.confidences, own.confidences)
        assert moved.boxes_px.min() >= 0 and moved.boxes_px.max() <= 128
        assert np.array_equal(moved.boxes_px[2], own.boxes_px[2]), "what fills the image has nowhere to go"
        assert np.array_equal(moved.boxes_px[:, 0] % 1, own.boxes_px[:, 0] % 1), "whole pixels: the same to the recipe"
        again = control("random_boxes", heatmap(*SOME)).boxes_of(image(noise(), name))
        assert np.array_equal(again.boxes_px, moved.boxes_px)
        places.add(tuple(moved.boxes_px[0]))
    assert len(places) > 15
    lefts = sorted(left for left, *_ in places)
    assert lefts[0] < 30 and lefts[-1] > 80, "they go all over the image"
    of_image = image(noise())
    assert not np.array_equal(control("random_boxes", base, seed=1).map_of(of_image), prior.map_of(of_image))
    moved = prior.boxes_of(of_image)
    assert np.array_equal(prior.map_of(of_image), base.map_of_boxes(of_image, moved))
    assert not control("random_boxes", heatmap()).map_of(of_image).any()


class Given(Prior):
    """Maps that are known: the first byte of the image."""

    def map_of(self, image: PriorInput) -> np.ndarray:
        return np.full(image.hr.shape[:2], image.hr[0, 0, 0] / 255) * np.linspace(0, 1, image.hr.shape[1])


def packs(folder: Path, **splits: Sequence[int]) -> Path:
    """Flat grey images of 8 px, by split."""
    ids = []
    for split in ("train", "val", "test"):
        hrs, lrs = PackWriter(folder / f"{split}_hr", np.uint8), PackWriter(folder / f"{split}_lr", np.uint8)
        with hrs, lrs:
            for k, grey in enumerate(splits.get(split, ())):
                hrs.add(f"{split}_{k}", np.full((8, 8, 3), grey, np.uint8))
                lrs.add(f"{split}_{k}", np.full((2, 2, 3), grey, np.uint8))
                ids.append(f'{{"id": "{split}_{k}", "landmarks": null}}')
    (folder / "images.json").write_text("[" + ",".join(ids) + "]")
    return folder


def test_a_mean_map_is_the_mean_over_the_training_images_for_every_image(tmp_path: Path) -> None:
    splits = inputs_of(packs(tmp_path, train=(0, 51, 255), val=(7,), test=(200, 9)))
    prior = control("mean_map", Given(None))  # type: ignore[arg-type]
    expected = (0 + 51 + 255) / 3 / 255 * np.broadcast_to(np.linspace(0, 1, 8), (8, 8))
    for images in splits.values():
        for of_image in images.values():
            assert np.allclose(prior.map_of(of_image), expected)
    few = control("mean_map", Given(None), images=2)  # type: ignore[arg-type]
    assert np.allclose(few.map_of(splits["test"]["test_1"]), expected / 306 * 255 * 1.5), "the first and the last"


def test_a_mean_map_is_made_once(tmp_path: Path) -> None:
    detector = Finds(("eye", 0.5, (1, 1, 7, 7)))
    prior = control("mean_map", heatmap(detector=detector, recipe="gauss"))
    for images in inputs_of(packs(tmp_path, train=(1, 2, 3), val=(4,), test=(5, 6))).values():
        for of_image in images.values():
            prior.map_of(of_image)
    assert len(detector.shown) == 3


def test_a_mean_map_says_what_it_cannot_do(tmp_path: Path) -> None:
    prior = control("mean_map", Given(None))  # type: ignore[arg-type]
    with pytest.raises(SrledgerError, match="needs training images"):
        prior.map_of(inputs_of(packs(tmp_path, test=(1,)))["test"]["test_0"])
    small, large = image(noise(8), "a"), image(noise(16), "b")
    with pytest.raises(SrledgerError, match="of one size"):
        prior.map_of(dataclasses.replace(small, training={"a": small, "b": large}))
    with pytest.raises(SrledgerError, match="of one size"):
        prior.map_of(dataclasses.replace(large, training={"a": small}))


def test_shuffled_takes_a_heatmap_as_any_other() -> None:
    others: dict[str, PriorInput] = {}
    others |= {name: image(noise(seed=k), name, others=others) for k, name in enumerate("abc")}
    base = heatmap(("face", 0.5, (0, 0, 128, 128)))
    values = control("shuffled", base).map_of(others["a"])
    assert any(np.array_equal(values, base.map_of(others[name])) for name in "bc")


# What params.yaml may say


FILE = Path(__file__).parents[2] / "params.yaml"
PRIORS = "priors:\n"


def load(tmp_path: Path, entries: str) -> Params:
    text = FILE.read_text(encoding="utf-8").replace(f"\n{PRIORS}", f"\n{PRIORS}{entries}", 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return Params.load(tmp_path, "quick")


def test_a_heatmap_needs_a_detector(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, "  heat: { prior: yolo_world_landmarks, config: { encoder: tiny_dino_vit } }\n")
    assert "'tiny_dino_vit' detects nothing" in str(caught.value) and "a detector" in str(caught.value)


def test_random_boxes_need_boxes(tmp_path: Path) -> None:
    with pytest.raises(SrledgerError) as caught:
        load(tmp_path, "  heat: { prior: random_boxes, config: { of: landmark_gauss } }\n")
    assert "'landmark_gauss' has no boxes" in str(caught.value)


def test_a_mean_map_takes_any_prior(tmp_path: Path) -> None:
    spec = load(tmp_path, "  mean: { prior: mean_map, config: { of: landmark_gauss } }\n").priors["mean"]
    assert spec.of is not None and spec.of.name == "landmark_gauss"
