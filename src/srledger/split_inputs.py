"""What a prior or an encoder that is fitted may look at: the images of a split with their landmarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from srledger.data import SPLITS
from srledger.io import read_json
from srledger.packs import Pack
from srledger.priors import PriorInput

TRAINING = SPLITS[0]


class SplitInputs(Mapping[str, PriorInput]):
    """What a prior may look at for each image of a split, by id.

    Args:
        training: the training split; None: this is it.
    """

    def __init__(self, packs: Path, split: str, training: SplitInputs | None = None) -> None:
        self.hrs, self._lrs = Pack(packs / f"{split}_hr"), Pack(packs / f"{split}_lr")
        self._split, self._training = split, self if training is None else training
        self._landmarks = {image["id"]: image["landmarks"] for image in read_json(packs / "images.json")}

    def __getitem__(self, image_id: str) -> PriorInput:
        points = self._landmarks[image_id]
        known = None if points is None else np.array(points)
        hr, lr = np.asarray(self.hrs.by_id(image_id)), np.asarray(self._lrs.by_id(image_id))
        return PriorInput(image_id, self._split, hr, lr, known, self, self._training)

    def __iter__(self) -> Iterator[str]:
        return iter(self.hrs.ids)

    def __len__(self) -> int:
        return len(self.hrs)


def training_inputs(packs: Path) -> SplitInputs:
    """The training split of a task."""
    return SplitInputs(packs, TRAINING)


def inputs_of(packs: Path) -> dict[str, SplitInputs]:
    """Every split of a task; they share the training split, so that what is made of it is made once."""
    training = training_inputs(packs)
    return {split: training if split == TRAINING else SplitInputs(packs, split, training) for split in SPLITS}
