"""Whose face an image shows, as a third array of training examples.

An identity map is float32 ``H x W x 1`` and constant: the place of the image's identity among the sorted identities of
the split. float16 would confuse them from the 2049th on; crops and mirrorings leave it what it is.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from srledger.errors import SrledgerError
from srledger.io import read_json, sha256_file
from srledger.training.batches import Examples

IMAGES = "images.json"
LEAST_IDENTITIES = 2


class IdentityExamples(Examples):
    """(hr, lr, identity map) of one split of a task, before there is any prior.

    An identity with a single image is learnt too: the image still shows who the others are not, and its own class can
    only be met by what it shares with nobody. No pair of one person can be made of it, so the verification leaves it
    out; ``single_images`` names them.

    Attributes:
        identities: of the split, sorted; an identity map holds a position in it.
        single_images: the identities of one image, sorted.

    Raises:
        SrledgerError: an image of the split has no identity; there are fewer than two identities, or none has a second
            image.
    """

    def __init__(self, task_folder: Path, split: str) -> None:
        super().__init__(task_folder, None, split)
        table = task_folder / IMAGES
        self.identities_sha256 = sha256_file(table)
        known = {image["id"]: image["identity"] for image in read_json(table)}
        missing = [name for name in self.ids if known.get(name) is None]
        if missing:
            raise SrledgerError(
                "images have no identity to learn from", where=table,
                found=f"none for {', '.join(missing[:3])}" + (f" and {len(missing) - 3} more" if missing[3:] else ""),
                expected=f"an identity for each of {len(self.ids)} images",
                mend="name a task of a data set with identities in the encoder's entry",
            )  # fmt: skip
        counts = Counter(str(known[name]) for name in self.ids)
        self.identities = sorted(counts)
        self.single_images = sorted(name for name, count in counts.items() if count == 1)
        if len(self.identities) < LEAST_IDENTITIES:
            raise SrledgerError(
                "there are too few identities to tell apart", where=table, found=len(self.identities),
                expected=f"at least {LEAST_IDENTITIES} in the {split} split",
                mend="name a task of a data set with identities in the encoder's entry",
            )  # fmt: skip
        if len(self.single_images) == len(self.identities):
            raise SrledgerError(
                "no identity has two images: nothing shows what stays of a face", where=table,
                found=f"{len(self.identities)} identities in {len(self.ids)} images of the {split} split",
                expected="several images of a person",
                mend="raise images_per_identity of the data set, or name another task in the encoder's entry",
            )  # fmt: skip
        position = {name: k for k, name in enumerate(self.identities)}
        self._positions = [position[str(known[name])] for name in self.ids]

    def __getitem__(self, position):
        """uint8 ``H x W x 3``, uint8 ``h x w x 3``, float32 ``H x W x 1``."""
        hr, lr, _ = super().__getitem__(position)
        return hr, lr, identity_map(self._positions[position], hr.shape[:2])


def identity_map(position: int, size: tuple[int, int]) -> np.ndarray:
    """The constant map of an identity's position, float32 ``H x W x 1``."""
    return np.broadcast_to(np.float32(position), (*size, 1))


def identities_of_maps(maps: torch.Tensor, identities: int) -> torch.Tensor:
    """The positions of maps ``B x 1 x H x W`` among ``identities``: int64 ``B``.

    Raises:
        SrledgerError: a map is not constant, or holds no whole number in [0, identities).
    """
    flat = maps[:, 0].flatten(1)
    least, most = flat.amin(dim=1), flat.amax(dim=1)
    positions = least.round()
    if not bool(((least == most) & (positions == least) & (least >= 0) & (least < identities)).all()):
        raise SrledgerError(
            "an image of the batch has no identity", found=f"a map with values from {float(least.min()):g} to "
            f"{float(most.max()):g}", expected=f"one whole number in [0, {identities}) all over a map",
            mend="let the encoder learn from IdentityExamples",
        )  # fmt: skip
    return positions.long()
