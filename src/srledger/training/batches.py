"""Batches from packs: what step k of seed s sees is a function of (row, seed, step) alone."""

from __future__ import annotations

from collections.abc import Sequence
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
        for image_id, shape in zip(prior.ids, prior.shapes, strict=True):
            if shape[:2] not in {(1, 1), sizes.get(image_id)}:
                raise SrledgerError(
                    "a prior map has the wrong size", where=f"{prior_folder}, image {image_id}", found=shape[:2],
                    expected=sizes.get(image_id), mend=f"rm -r {prior_folder.parent} && dvc repro",
                )  # fmt: skip

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The packs that it reads: HR, LR and, where there is one, the prior's."""
        return (self.hr, self.lr) if self.prior is None else (self.hr, self.lr, self.prior)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position):
        """uint8 ``H x W x 3``, uint8 ``h x w x 3``, float16 ``H x W x 1`` (a constant map is spread)."""
        hr = self.hr[position]
        prior = NO_PRIOR if self.prior is None else self.prior.by_id(self.ids[position])
        return hr, self.lr[position], np.broadcast_to(prior, (*hr.shape[:2], 1))


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

    Raises:
        SrledgerError: images are smaller than the crop, or differ in size and no crop is set.
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
    return to_tensor(lrs), to_tensor(hrs), to_tensor(priors)


def positions_of_step(count: int, batch_size: int, row: str, seed: int, step: int) -> list[int]:
    """Which of ``count`` images step ``step`` sees: epochs follow each other without a gap, each in its own order."""
    visits = range(step * batch_size, (step + 1) * batch_size)
    orders = {epoch: order_of_epoch(row, seed, epoch, count) for epoch in {visit // count for visit in visits}}
    return [int(orders[visit // count][visit % count]) for visit in visits]


def _crop(example: Example, crop_px: int, factor: int, rng: np.random.Generator, name: str) -> Example:
    """The same random place of (hr, lr, prior): ``crop_px`` square on the HR grid, whole pixels on the LR grid."""
    hr, lr, prior = example
    height, width = lr.shape[:2]
    side = crop_px // factor
    if min(height, width) < side:
        raise SrledgerError(
            "an image is smaller than the training crop", where=f"image {name}",
            found=f"{hr.shape[1]}x{hr.shape[0]} px", expected=f"at least {crop_px} px", mend="lower training.crop_px",
        )  # fmt: skip
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    hr, prior = (array[top * factor :, left * factor :][:crop_px, :crop_px] for array in (hr, prior))
    return hr, lr[top : top + side, left : left + side], prior
