"""Identities as a third array of examples: which place an image's person has, and what can't be learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from srledger.errors import SrledgerError
from srledger.identity_examples import IdentityExamples, identities_of_maps, identity_map
from srledger.io import read_json, write_json
from srledger.packs import PackWriter
from srledger.training.batches import draw_batch, to_tensor
from srledger.training.config import TrainingConfig


def task_with(folder: Path, identities: Sequence[str | None], others: Sequence[str] = ()) -> Path:
    """Packs of one flat image per identity of the training split, and of ``others`` in the test split."""
    images = []
    for split, of_split in (("train", identities), ("test", others)):
        with PackWriter(folder / f"{split}_hr", np.uint8) as hrs, PackWriter(folder / f"{split}_lr", np.uint8) as lrs:
            for k, identity in enumerate(of_split):
                hrs.add(f"{split}_{k}", np.full((16, 16, 3), k, np.uint8))
                lrs.add(f"{split}_{k}", np.full((4, 4, 3), k, np.uint8))
                images.append({"id": f"{split}_{k}", "split": split, "identity": identity, "landmarks": None})
    write_json(folder / "images.json", images)
    return folder


def test_a_map_holds_the_place_among_the_sorted_identities_of_the_split(tmp_path: Path) -> None:
    examples = IdentityExamples(task_with(tmp_path, ["zoe", "ann", "zoe", "mia", "ann"], ["aaa", "aaa"]), "train")
    assert examples.identities == ["ann", "mia", "zoe"] and examples.single_images == ["mia"]
    maps = [examples[k][2] for k in range(5)]
    assert all(one.shape == (16, 16, 1) and one.dtype == np.float32 for one in maps)
    assert [int(one[0, 0, 0]) for one in maps] == [2, 0, 2, 1, 0] and all(np.ptp(one) == 0 for one in maps)
    assert [len(one) for one in examples[0][:2]] == [16, 4]


def test_crops_mirrorings_and_tensors_leave_a_place_what_it_is(tmp_path: Path) -> None:
    examples = IdentityExamples(task_with(tmp_path, ["a", "b", "c"] * 4), "train")
    config = TrainingConfig(batch_size=12, crop_px=8, flip=True)
    _, hr, maps = draw_batch(examples, config, 4, "row", 0, 0)
    found = identities_of_maps(maps, 3)
    assert found.dtype == torch.int64
    assert found.tolist() == [round(float(one) * 255) % 3 for one in hr[:, 0, 0, 0]]


def test_places_beyond_those_of_float16_are_told_apart() -> None:
    places = [2047, 2048, 2049, 10_176, 16_777_215]
    assert identities_of_maps(to_tensor([identity_map(k, (4, 6)) for k in places]), 2**24).tolist() == places


@pytest.mark.parametrize("value", [3.0, -1.0, 0.5, float("nan")])
def test_a_map_that_holds_no_place_is_refused(value: float) -> None:
    with pytest.raises(SrledgerError, match=r"has no identity[\s\S]*\[0, 3\)"):
        identities_of_maps(torch.full((1, 1, 4, 4), value), 3)


def test_a_map_that_is_not_constant_is_refused() -> None:
    maps = torch.zeros(2, 1, 4, 4)
    maps[1, 0, 3, 3] = 1
    with pytest.raises(SrledgerError, match="has no identity"):
        identities_of_maps(maps, 3)


@pytest.mark.parametrize(
    ("identities", "said"),
    [
        (["a", None, "b", "a"], r"no identity to learn from[\s\S]*none for train_1"),
        ([None] * 5, r"none for train_0, train_1, train_2 and 2 more"),
        (["a", "a", "a"], r"too few identities[\s\S]*found: +1"),
        ([], r"too few identities[\s\S]*found: +0"),
        (["a", "b", "c"], r"no identity has two images[\s\S]*3 identities in 3 images"),
    ],
)
def test_what_nobody_can_learn_from_is_refused(
    tmp_path: Path, identities: Sequence[str | None], said: str
) -> None:  # fmt: skip
    with pytest.raises(SrledgerError, match=said) as error:
        IdentityExamples(task_with(tmp_path, identities), "train")
    assert "images.json" in str(error.value) and "mend" in str(error.value)


def test_the_table_of_identities_has_a_hash(tmp_path: Path) -> None:
    first = IdentityExamples(task_with(tmp_path, ["a", "a", "b", "b"]), "train").identities_sha256
    images = read_json(tmp_path / "images.json")
    images[0]["identity"] = "b"
    write_json(tmp_path / "images.json", images)
    assert IdentityExamples(tmp_path, "train").identities_sha256 != first
