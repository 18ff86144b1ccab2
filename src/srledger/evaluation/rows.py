"""Per-image rows as parquet: the evidence that every table is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from srledger.io import write_table


def write_rows(path: Path, image_ids: Sequence[str], columns: Mapping[int, Mapping[str, Sequence[float]]]) -> None:
    """Write one row per image and seed.

    Args:
        path: the parquet file.
        image_ids: the images, in order.
        columns: seed -> metric -> one value per image; every seed has the same metrics.
    """
    names = list(next(iter(columns.values())))
    table = {
        "image_id": pa.array([image_id for _ in columns for image_id in image_ids], pa.string()),
        "seed": pa.array(np.repeat(np.array(list(columns), np.int32), len(image_ids))),
    }
    for name in names:
        values = np.concatenate([np.asarray(metrics[name], np.float32) for metrics in columns.values()])
        table[name] = pa.array(values, pa.float32())
    write_table(path, pa.table(table))
