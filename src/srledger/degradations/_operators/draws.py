"""How parameters are drawn: from the generator that is passed in, to six decimals, into records that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict

Name = TypeVar("Name", bound=str)


class Record(BaseModel):
    """What was drawn for an image. ``model_dump(mode="json")`` and ``model_validate`` lead there and back."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the first value is the lower one; found {list(pair)}")
    return pair


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
IntegerRange = Annotated[tuple[int, int], AfterValidator(_ordered)]


def uniform(rng: np.random.Generator, within: tuple[float, float]) -> float:
    """U(low, high), to six decimals: what is applied is what the record says."""
    return round(float(rng.uniform(*within)), 6)


def integer(rng: np.random.Generator, within: tuple[int, int]) -> int:
    """A whole number, both ends included."""
    return int(rng.integers(within[0], within[1], endpoint=True))


def happens(rng: np.random.Generator, probability: float) -> bool:
    """Whether an event of this probability happens."""
    return bool(rng.random() < probability)


def choose(rng: np.random.Generator, probabilities: Mapping[Name, float]) -> Name:
    """One of the names, by its probability (they sum to 1)."""
    return list(probabilities)[int(rng.choice(len(probabilities), p=list(probabilities.values())))]


def seed(rng: np.random.Generator) -> int:
    """32 bits for a field that is drawn when the operator is applied."""
    return int(rng.integers(2**32))
