"""Batches from packs: what step k of seed s sees is a function of (row, seed, step) alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from srledger.errors import SrledgerError
from srledger.packs import Pack
from srledger.seeds import numpy_generator
from srledger.training.config import TrainingConfig

Example = tuple[np.ndarray, ...]  # (hr, lr, prior)
NO_PRIOR = np.ones((1, 1, 1), np.float16)


class Examples(Sequence[Example]):
    """(hr, lr, prior) of one split of a task; the prior is matched by id.

    A prior of more than one channel is a grid of tokens.

    Args:
        task_folder: ``data/<scale>/packs/<task>``.
        prior_folder: ``data/<scale>/priors/<prior>/<task>``; None for what learns before any prior exists (every map
            is then one).
        split: ``train``, ``val`` or ``test``.
    """

    def __init__(self, task_folder: Path, prior_folder: Path | None, split: str) -> None:
        self.hr = Pack(task_folder / f"{split}_hr")
        self.lr = Pack(task_folder / f"{split}_lr")
        self.prior = None if prior_folder is None else Pack(prior_folder / split)
        self.ids = self.hr.ids
        if prior_folder is not None and self.prior is not None:
            self._check(prior_folder, self.prior)

    def _check(self, prior_folder: Path, prior: Pack) -> None:
        missing = sorted(set(self.ids) - set(prior.ids))
        if missing or self.lr.ids != self.ids:
            raise SrledgerError(
                "a prior does not cover its task", where=prior_folder, found=f"no map for {', '.join(missing[:5])}",
                expected=f"a map for each of {len(self.ids)} images", mend=f"rm -r {prior_folder.parent} && dvc repro",
            )  # fmt: skip
        sizes = {image_id: shape[:2] for image_id, shape in zip(self.hr.ids, self.hr.shapes, strict=True)}
        channels = {shape[2] for shape in prior.shapes}
        if len(channels) > 1:
            raise SrledgerError(
                "a prior has arrays of several widths", where=prior_folder, found=sorted(channels),
                expected="maps (1) for all images, or tokens of one width",
                mend=f"rm -r {prior_folder.parent} && dvc repro",
            )  # fmt: skip
        if channels == {1}:
            _check_maps(prior_folder, prior, sizes)
        else:
            _check_grids(prior_folder, prior, sizes)

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The packs that it reads: HR, LR and, where there is one, the prior's."""
        return (self.hr, self.lr) if self.prior is None else (self.hr, self.lr, self.prior)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position):
        """uint8 ``H x W x 3``, uint8 ``h x w x 3``, float16 ``H x W x 1`` (a constant map is spread).

        Tokens are float16 ``rows x columns x D``.
        """
        hr = self.hr[position]
        prior = NO_PRIOR if self.prior is None else self.prior.by_id(self.ids[position])
        if prior.shape[2] > 1:
            return hr, self.lr[position], prior
        return hr, self.lr[position], np.broadcast_to(prior, (*hr.shape[:2], 1))


def _check_maps(folder: Path, prior: Pack, sizes: Mapping[str, tuple[int, ...]]) -> None:
    for image_id, shape in zip(prior.ids, prior.shapes, strict=True):
        if shape[:2] not in {(1, 1), sizes.get(image_id)}:
            raise SrledgerError(
                "a prior map has the wrong size", where=f"{folder}, image {image_id}", found=shape[:2],
                expected=sizes.get(image_id), mend=f"rm -r {folder.parent} && dvc repro",
            )  # fmt: skip


def _check_grids(folder: Path, prior: Pack, sizes: Mapping[str, tuple[int, ...]]) -> None:
    """Images of one size can stand in one batch, and so must their tokens."""
    grids: dict[tuple[int, ...] | None, tuple[int, ...]] = {}
    for image_id, shape in zip(prior.ids, prior.shapes, strict=True):
        expected = grids.setdefault(sizes.get(image_id), shape[:2])
        if shape[:2] != expected:
            raise SrledgerError(
                "images of one size have tokens on several grids", where=f"{folder}, image {image_id}",
                found=shape[:2], expected=f"{expected}, as others of its size",
                mend=f"rm -r {folder.parent} && dvc repro",
            )  # fmt: skip


def to_tensor(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack ``H x W x C`` images of one size to float ``B x C x H x W``; uint8 becomes [0, 1]."""
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(images)))
    tensor = stacked.permute(0, 3, 1, 2).float()
    return tensor / 255 if stacked.dtype == torch.uint8 else tensor


def order_of_epoch(row: str, seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which epoch ``epoch`` visits ``count`` images."""
    return numpy_generator("order", row, seed, epoch).permutation(count)


def draw_batch(
    examples: Examples, config: TrainingConfig, scale_factor: int, row: str, seed: int, step: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(lr, hr, prior) of step ``step``: images by epoch order, crops and flips drawn for this step.

    Tokens are cropped and flipped as their image is.

    Raises:
        SrledgerError: images are smaller than the crop, or differ in size and no crop is set; a crop can't be whole
            cells of the tokens, or the crops of a batch not the same number of them.
    """
    rng = numpy_generator("augment", row, seed, step)
    drawn = []
    for position in positions_of_step(len(examples), config.batch_size, row, seed, step):
        example = examples[position]
        if config.crop_px is not None:
            example = _crop(example, config.crop_px, scale_factor, rng, examples.ids[position])
        if config.flip and rng.random() < 0.5:
            example = tuple(array[:, ::-1] for array in example)
        drawn.append(example)
    hrs, lrs, priors = zip(*drawn, strict=True)
    if len({hr.shape for hr in hrs}) > 1:
        raise SrledgerError("images of one batch differ in size", where=row, mend="set training.crop_px")
    if len({prior.shape for prior in priors}) > 1:
        raise SrledgerError(
            "crops of one batch have tokens on grids of several sizes", where=row,
            found=sorted({prior.shape[:2] for prior in priors}), expected="cells that are as large in every image",
            mend="give the task `hr_size_px`, or the row another prior",
        )  # fmt: skip
    return to_tensor(lrs), to_tensor(hrs), to_tensor(priors)


def positions_of_step(count: int, batch_size: int, row: str, seed: int, step: int) -> list[int]:
    """Which of ``count`` images step ``step`` sees: epochs follow each other without a gap, each in its own order."""
    visits = range(step * batch_size, (step + 1) * batch_size)
    orders = {epoch: order_of_epoch(row, seed, epoch, count) for epoch in {visit // count for visit in visits}}
    return [int(orders[visit // count][visit % count]) for visit in visits]


def _crop(example: Example, crop_px: int, factor: int, rng: np.random.Generator, name: str) -> Example:
    """The same random place of (hr, lr, prior): ``crop_px`` square on the HR grid, whole pixels on the LR grid.

    Of tokens too it is whole cells: it stands at one of the places where pixels and cells begin together.
    """
    hr, lr, prior = example
    side = crop_px // factor
    if min(lr.shape[:2]) < side:
        raise SrledgerError(
            "an image is smaller than the training crop", where=f"image {name}",
            found=f"{hr.shape[1]}x{hr.shape[0]} px", expected=f"at least {crop_px} px", mend="lower training.crop_px",
        )  # fmt: skip
    cells_px = _cells_px(hr, prior, crop_px, name)
    steps = [math.lcm(cell, factor) // factor for cell in cells_px]  # 1 for maps
    top, left = (int(rng.integers((lr.shape[k] - side) // steps[k] + 1)) * steps[k] for k in (0, 1))
    (high, wide), (y, x) = cells_px, (top * factor, left * factor)
    hr = hr[y:, x:][:crop_px, :crop_px]
    prior = prior[y // high :, x // wide :][: crop_px // high, : crop_px // wide]
    return hr, lr[top : top + side, left : left + side], prior


def _cells_px(hr: np.ndarray, prior: np.ndarray, crop_px: int, name: str) -> tuple[int, int]:
    """Height and width of a cell of the prior, in HR pixels: 1 and 1 for a map.

    Raises:
        SrledgerError: they are not whole, or the crop is not whole cells.
    """
    high, wide = (hr.shape[k] // prior.shape[k] for k in (0, 1))
    whole = all(hr.shape[k] % prior.shape[k] == 0 for k in (0, 1))
    if not whole or crop_px % high or crop_px % wide:
        raise SrledgerError(
            "a crop can't be whole cells of the tokens", where=f"image {name}",
            found=f"{prior.shape[1]}x{prior.shape[0]} cells on {hr.shape[1]}x{hr.shape[0]} px, crop_px {crop_px}",
            expected=f"a multiple of {math.lcm(high, wide)}" if whole else "cells that are whole pixels wide and high",
            mend="set training.crop_px: null, or another size_px of the encoder",
        )  # fmt: skip
    return high, wide
