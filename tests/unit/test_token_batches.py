"""Tokens in batches: cropped and flipped as their image is, of one grid, and refused where that can't be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from srledger.errors import SrledgerError
from srledger.evaluation.config import EvaluationConfig
from srledger.evaluation.restore import batches_of_one_size, restore_batch
from srledger.methods import Batch, Method
from srledger.packs import PackWriter
from srledger.plugins import PluginConfig
from srledger.training.batches import Examples, draw_batch, positions_of_step
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch
from srledger.training.loop import Job, train_seed

FACTOR, CELL_PX = 4, 8
SETTINGS = TrainingConfig(steps=4, batch_size=3, threads=1, log_every_steps=2, checkpoint_every_steps=4)


def tokens_of(hr: np.ndarray, high: int = CELL_PX, wide: int = CELL_PX) -> np.ndarray:
    """What each cell of an image looks like, so that its place can be found again: its mean colour and two more."""
    rows, columns = hr.shape[0] // high, hr.shape[1] // wide
    means = hr.reshape(rows, high, columns, wide, 3).mean(axis=(1, 3)) / 255
    return np.concatenate([means, means[..., :2] ** 2], axis=2).astype(np.float16)


def drawn(height: int, width: int, seed: int) -> np.ndarray:
    """An image of flat cells, each of another colour."""
    cells = np.random.default_rng(seed).integers(0, 256, (height // CELL_PX, width // CELL_PX, 3), np.uint8)
    return cells.repeat(CELL_PX, 0).repeat(CELL_PX, 1)


def examples_of(
    folder: Path, images: Mapping[str, np.ndarray], tokens: Mapping[str, np.ndarray] | None = None
) -> Examples:
    """A task of these images with their tokens (``tokens_of``, where none are given)."""
    given = {name: tokens_of(hr) for name, hr in images.items()} if tokens is None else tokens
    with (
        PackWriter(folder / "task" / "train_hr", np.uint8) as hrs,
        PackWriter(folder / "task" / "train_lr", np.uint8) as lrs,
        PackWriter(folder / "prior" / "train", np.float16) as priors,
    ):
        for name, hr in images.items():
            hrs.add(name, hr)
            lrs.add(name, np.ascontiguousarray(hr[::FACTOR, ::FACTOR]))
        for name in reversed(given):  # a prior is matched by id, not by its place
            priors.add(name, given[name])
    return Examples(folder / "task", folder / "prior", "train")


@pytest.fixture
def faces(tmp_path: Path) -> Examples:
    return examples_of(tmp_path, {name: drawn(32, 32, k) for k, name in enumerate("abcde")})


def settings(**more: object) -> TrainingConfig:
    return SETTINGS.model_copy(update=more)


def of_batch(hr: torch.Tensor) -> torch.Tensor:
    """The tokens that belong to the images of a batch."""
    arrays = [tokens_of((one.permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)) for one in hr]
    return torch.stack([torch.from_numpy(array).permute(2, 0, 1).float() for array in arrays])


def test_an_example_brings_the_tokens_of_its_own_image(faces: Examples) -> None:
    for hr, _, prior in faces:
        assert prior.shape == (4, 4, 5) and prior.dtype == np.float16 and np.array_equal(prior, tokens_of(hr))


@pytest.mark.parametrize("crop_px", [None, 16, 32])
def test_tokens_are_cropped_and_flipped_as_their_image_is(faces: Examples, crop_px: int | None) -> None:
    flipped, places = set(), set()
    for step in range(12):
        lr, hr, prior = draw_batch(faces, settings(crop_px=crop_px), FACTOR, "row", 0, step)
        side = crop_px or 32
        assert hr.shape == (3, 3, side, side) and prior.shape == (3, 5, side // CELL_PX, side // CELL_PX)
        assert prior.dtype == torch.float32 and torch.equal(lr, hr[..., ::FACTOR, ::FACTOR])
        assert torch.allclose(prior, of_batch(hr), atol=1e-3)
        for k, position in enumerate(positions_of_step(5, 3, "row", 0, step)):
            whole = torch.from_numpy(np.array(faces[position][2])).permute(2, 0, 1).float()
            for turned in (False, True):
                seen = prior[k].flip(-1) if turned else prior[k]
                cells = side // CELL_PX
                found = [
                    (y, x) for y in range(5 - cells) for x in range(5 - cells)
                    if torch.equal(seen, whole[:, y : y + cells, x : x + cells])
                ]  # fmt: skip
                flipped |= {turned} if found else set()
                places |= set(found)
    assert flipped == {False, True}
    assert len(places) == {None: 1, 16: 9, 32: 1}[crop_px], "every place of whole cells is drawn"


def test_cells_need_not_be_square(tmp_path: Path) -> None:
    images = {name: drawn(32, 64, k) for k, name in enumerate("abc")}
    wide = examples_of(tmp_path, images, {name: tokens_of(hr, 8, 16) for name, hr in images.items()})
    for step in range(4):
        _, hr, prior = draw_batch(wide, settings(crop_px=16, flip=False), FACTOR, "row", 0, step)
        assert prior.shape == (3, 5, 2, 1)
        expected = hr.reshape(3, 3, 2, 8, 16).mean(dim=(3, 4))
        assert torch.allclose(prior[:, :3, :, 0], expected, atol=1e-3)


def test_crops_of_images_of_several_sizes_go_together_where_their_cells_are_alike(tmp_path: Path) -> None:
    images = {"a": drawn(32, 32, 0), "b": drawn(24, 40, 1), "c": drawn(40, 24, 2)}
    several = examples_of(tmp_path, images)
    _, hr, prior = draw_batch(several, settings(crop_px=16), FACTOR, "row", 0, 0)
    assert prior.shape == (3, 5, 2, 2) and torch.allclose(prior, of_batch(hr), atol=1e-3)
    with pytest.raises(SrledgerError, match="images of one batch differ in size"):
        draw_batch(several, SETTINGS, FACTOR, "row", 0, 0)
    other = tokens_of(images["a"], 16, 16)
    mixed = examples_of(tmp_path / "mixed", images, {name: tokens_of(hr) for name, hr in images.items()} | {"a": other})
    with pytest.raises(SrledgerError, match="grids of several sizes") as caught:
        draw_batch(mixed, settings(crop_px=16), FACTOR, "row", 0, 0)
    assert "(1, 1), (2, 2)" in str(caught.value) and "hr_size_px" in str(caught.value)


def test_a_crop_that_is_not_whole_cells_is_refused(tmp_path: Path, faces: Examples) -> None:
    with pytest.raises(SrledgerError) as caught:
        draw_batch(faces, settings(crop_px=20), FACTOR, "row", 0, 0)
    for said in ("can't be whole cells", "4x4 cells on 32x32 px, crop_px 20", "a multiple of 8", "training.crop_px"):
        assert said in str(caught.value)
    images = {name: drawn(32, 32, k) for k, name in enumerate("abc")}
    odd = examples_of(tmp_path / "odd", images, {name: np.ones((5, 5, 4), np.float16) for name in images})
    with pytest.raises(SrledgerError, match="cells that are whole pixels wide"):
        draw_batch(odd, settings(crop_px=16), FACTOR, "row", 0, 0)
    _, _, prior = draw_batch(odd, SETTINGS, FACTOR, "row", 0, 0)
    assert prior.shape == (3, 4, 5, 5), "whole images take any grid"


def test_a_crop_begins_on_a_pixel_of_lr_too(tmp_path: Path) -> None:
    """Cells of 6 px at factor 4: pixels and cells begin together every 12 px."""
    images = {name: np.random.default_rng(k).integers(0, 256, (48, 48, 3), np.uint8) for k, name in enumerate("abc")}
    task = examples_of(tmp_path, images, {name: tokens_of(hr, 6, 6) for name, hr in images.items()})
    for step in range(6):
        lr, hr, prior = draw_batch(task, settings(crop_px=24), FACTOR, "row", 0, step)
        assert lr.shape[-2:] == (6, 6) and prior.shape[-2:] == (4, 4)
        assert torch.allclose(prior[:, :3], nn.functional.avg_pool2d(hr, 6), atol=1e-3)


IMAGES = {"a": drawn(32, 32, 0), "b": drawn(32, 32, 1), "c": drawn(16, 32, 2)}
WHOLE = {name: tokens_of(hr) for name, hr in IMAGES.items()}


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ({"a": WHOLE["a"], "c": WHOLE["c"]}, ["does not cover its task", "no map for b"]),
        (WHOLE | {"b": np.ones((4, 2, 5), np.float16)}, ["images of one size have tokens on several grids", "image "]),
        (WHOLE | {"b": np.ones((4, 4, 6), np.float16)}, ["arrays of several widths", "[5, 6]"]),
        (WHOLE | {"b": np.ones((32, 32, 1), np.float16)}, ["arrays of several widths", "[1, 5]"]),
        (WHOLE | {"b": np.ones((1, 1, 1), np.float16)}, ["arrays of several widths", "[1, 5]"]),
    ],
    ids=["missing", "another grid", "another width", "a map among tokens", "a constant among tokens"],
)
def test_tokens_that_do_not_fit_their_task_are_named(
    tmp_path: Path, tokens: Mapping[str, np.ndarray], said: Sequence[str]
) -> None:
    with pytest.raises(SrledgerError) as caught:
        examples_of(tmp_path, IMAGES, tokens)
    for words in (*said, "prior", "dvc repro"):
        assert words in str(caught.value)


class ReadsTokens(Method):
    """Adds to the enlarged LR image what one layer makes of the tokens; without tokens, of zeros."""

    reads_tokens = True

    def __init__(self) -> None:
        super().__init__(PluginConfig(), FACTOR)
        self.of_tokens = nn.Conv2d(5, 3, 1)

    def forward(self, lr: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
        tokens = prior if prior.shape[1] > 1 else prior.new_zeros(len(prior), 5, 1, 1)
        enlarged = nn.functional.interpolate(lr, scale_factor=FACTOR)
        return enlarged + nn.functional.interpolate(self.of_tokens(tokens), size=enlarged.shape[-2:])

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {"total": (self(batch.lr, batch.prior) - batch.hr).square().mean()}

    def restore(self, lr: torch.Tensor, prior: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        return self(lr, prior)


def reader() -> ReadsTokens:
    prepare_torch(1, "cpu")
    torch.manual_seed(0)
    return ReadsTokens()


@pytest.mark.parametrize("more", [{}, {"crop_px": 16}, {"channels_last": True}, {"precision": "bf16"}])
def test_a_method_that_reads_tokens_trains_and_is_validated(
    tmp_path: Path, faces: Examples, more: Mapping[str, object]
) -> None:
    job = Job("row", reader(), None, settings(validate_every_steps=2, **more), faces, faces)
    curves = train_seed(job, 0, tmp_path / "run").curves
    assert {"loss_total", "psnr_rgb_val"} <= {name for _, name, _ in curves}
    assert all(np.isfinite(value) for _, _, value in curves)


def test_test_images_of_several_sizes_are_restored_with_their_own_tokens(tmp_path: Path) -> None:
    images = {"a": drawn(32, 32, 0), "b": drawn(32, 32, 1), "c": drawn(24, 40, 2)}
    test, method, config = examples_of(tmp_path, images), reader(), EvaluationConfig(threads=1)
    batches = list(batches_of_one_size(test, 3, 2))
    assert batches == [[0, 1], [2]]
    for positions in batches:
        together, _ = restore_batch(method, test, positions, "row", 0, config)
        for k, position in enumerate(positions):
            alone, hr = restore_batch(method, test, [position], "row", 0, config)
            assert torch.equal(together[k], alone[0]) and alone.shape == hr.shape
    constant = {name: np.ones((1, 1, 1), np.float16) for name in images}
    none = examples_of(tmp_path / "none", images, constant)
    without, _ = restore_batch(method, none, [0], "row", 0, config)
    assert not torch.equal(without, restore_batch(method, test, [0], "row", 0, config)[0])
