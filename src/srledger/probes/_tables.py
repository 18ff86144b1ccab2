"""Tables of numbers: parquet's columns from plain lists, and arrays back out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

TYPES = {str: pa.string(), int: pa.int32(), float: pa.float32()}


def table_of(types: Mapping[str, type], lines: Sequence[Sequence[Any]]) -> pa.Table:
    """A table with the columns of ``types`` (``str``, ``int`` or ``float``), line by line."""
    columns: list[Sequence[Any]] = list(zip(*lines, strict=True)) if lines else [()] * len(types)
    return pa.table(
        {name: pa.array(values, TYPES[kind]) for (name, kind), values in zip(types.items(), columns, strict=True)}
    )


def arrays(table: pa.Table) -> dict[str, np.ndarray]:
    """Columns as arrays: text as ``str``, numbers as float64 or int64."""
    found = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_string(column.type):
            found[name] = np.array(column.to_pylist(), dtype=str)
        else:
            numbers = column.to_numpy()
            found[name] = numbers.astype(np.int64 if numbers.dtype.kind == "i" else np.float64)
    return found


def names_in(columns: Mapping[str, np.ndarray], name: str) -> tuple[str, ...]:
    """The different texts of a column, in the order in which they first stand."""
    return tuple(dict.fromkeys(columns[name].tolist()))


def seeds_by_images(columns: Mapping[str, np.ndarray], mask: np.ndarray, value: str) -> np.ndarray:
    """``S x N`` of the lines of ``mask``; seeds and images in the order in which they first stand.

    NaN where a seed has no line for an image.
    """
    seeds = list(dict.fromkeys(columns["seed"][mask].tolist()))
    ids = list(dict.fromkeys(columns["image_id"][mask].tolist()))
    places = {seed: k for k, seed in enumerate(seeds)}, {image_id: k for k, image_id in enumerate(ids)}
    values = np.full((len(seeds), len(ids)), np.nan)
    for seed, image_id, number in zip(
        columns["seed"][mask].tolist(), columns["image_id"][mask].tolist(), columns[value][mask].tolist(), strict=True
    ):
        values[places[0][seed], places[1][image_id]] = number
    return values
