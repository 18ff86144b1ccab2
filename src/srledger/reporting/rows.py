"""Reading the committed rows: results.json, one parquet per (row, task), the curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from srledger.errors import SrledgerError
from srledger.io import read_json

HASHES = ("data_sha256", "code_sha256", "params_sha256", "weights_sha256")


@dataclasses.dataclass(frozen=True)
class Measured:
    """Per-image values of one row on one task.

    Attributes:
        image_ids: sorted. seeds: sorted. values: metric -> float64 ``S x N`` in that order.
    """

    image_ids: tuple[str, ...]
    seeds: tuple[int, ...]
    values: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Curve:
    """One training curve: ``steps`` ascending, ``values`` as long."""

    row: str
    seed: int
    name: str
    steps: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Rows:
    """Everything a report is made from, but for the pictures.

    Attributes:
        records: (row, task) -> its entry in results.json, in report order.
        measured: (row, task) -> per-image values; absent for failed rows.
        datasets, tasks: as results.json has them.
    """

    scale: str
    records: dict[tuple[str, str], dict[str, Any]]
    measured: dict[tuple[str, str], Measured]
    datasets: dict[str, dict[str, Any]]
    tasks: dict[str, dict[str, Any]]
    curves: tuple[Curve, ...]

    def rows_of(self, task: str) -> list[str]:
        """Rows that have a record for ``task``, in report order."""
        return [row for row, of_task in self.records if of_task == task]

    def row_names(self) -> list[str]:
        """All rows, in report order."""
        return list(dict.fromkeys(row for row, _ in self.records))

    def task_names(self) -> list[str]:
        """Tasks that have records, sorted: their order must not hang on the order of the rows."""
        return sorted({task for _, task in self.records})

    def metric_info(self, task: str, metric: str) -> dict[str, Any] | None:
        """Unit, direction, digits, protocol of a metric as measured on ``task``.

        Raises SrledgerError when two rows measured it under different protocols: they must not share a column.
        """
        found = [self.records[row, task]["metric_info"].get(metric) for row in self.rows_of(task)]
        infos = [info for info in found if info is not None]
        if any(info != infos[0] for info in infos):
            raise SrledgerError(
                f"metric '{metric}' has two protocols on task '{task}'", where="rows/results.json",
                found=" / ".join(sorted({info["protocol"] for info in infos})),
                expected="one protocol per metric name", mend="dvc repro",
            )  # fmt: skip
        return infos[0] if infos else None


def read_rows(folder: Path, row_order: Iterable[str]) -> Rows:
    """Read a rows folder. Rows come in ``row_order``; rows that are not in it follow, sorted.

    Raises:
        SrledgerError: the folder or a parquet is missing, or the rows of a task were measured on different images.
    """
    path = folder / "results.json"
    if not path.exists():
        raise SrledgerError("there are no rows to report", where=path, mend="dvc repro")
    results = read_json(path)
    rank = {row: k for k, row in enumerate(row_order)}
    ordered = sorted(results["results"], key=lambda r: (rank.get(r["row"], len(rank)), r["row"], r["task"]))
    records = {(record["row"], record["task"]): record for record in ordered}
    if len(records) < len(ordered):
        raise SrledgerError("results.json holds a row twice for one task", where=path, mend="dvc repro")
    measured = {
        key: _read_measured(folder, record)
        for key, record in records.items()
        if not record["failed"] and record["image_metrics"]
    }
    _check_same_images(folder, measured)
    return Rows(
        results["scale"], records, measured, results["datasets"], results["tasks"], _read_curves(folder, list(records))
    )


def _read_measured(folder: Path, record: dict[str, Any]) -> Measured:
    import pyarrow.parquet as parquet

    path = folder / f"{record['row']}__{record['task']}.parquet"
    if not path.exists():
        raise SrledgerError("the per-image values of a row are missing", where=path, mend="dvc repro")
    table = parquet.read_table(path)
    missing = [name for name in ("image_id", "seed", *record["image_metrics"]) if name not in table.column_names]
    if missing:
        raise SrledgerError("a column is missing", where=path, expected=", ".join(missing), mend="dvc repro")
    ids = np.array(table.column("image_id").to_pylist(), dtype=str)
    seeds = table.column("seed").to_numpy()
    image_ids, image_index = np.unique(ids, return_inverse=True)
    seed_values, seed_index = np.unique(seeds, return_inverse=True)
    shape = (len(seed_values), len(image_ids))
    if (
        len(set(zip(seed_index.tolist(), image_index.tolist(), strict=True))) != len(ids)
        or len(ids) != shape[0] * shape[1]
    ):
        raise SrledgerError(
            "per-image rows are not whole", where=path, found=f"{len(ids)} rows",
            expected=f"each of {shape[1]} images once for each of {shape[0]} seeds", mend="dvc repro",
        )  # fmt: skip
    values = {}
    for metric in record["image_metrics"]:
        values[metric] = np.full(shape, np.nan)
        values[metric][seed_index, image_index] = table.column(metric).to_numpy()
    return Measured(tuple(image_ids.tolist()), tuple(int(seed) for seed in seed_values), values)


def _check_same_images(folder: Path, measured: dict[tuple[str, str], Measured]) -> None:
    first: dict[str, tuple[str, tuple[str, ...]]] = {}
    for (row, task), values in measured.items():
        other, ids = first.setdefault(task, (row, values.image_ids))
        if ids != values.image_ids:
            raise SrledgerError(
                f"rows '{other}' and '{row}' were measured on different images of '{task}'", where=folder,
                found=f"{len(ids)} and {len(values.image_ids)} images",
                expected="one test set per task", mend="dvc repro",
            )  # fmt: skip


def _read_curves(folder: Path, keys: list[tuple[str, str]]) -> tuple[Curve, ...]:
    import pyarrow.parquet as parquet

    path = folder / "curves.parquet"
    if not path.exists():
        return ()
    rank = {row: k for k, row in enumerate(dict.fromkeys(row for row, _ in keys))}
    points: dict[tuple[str, int, str], list[tuple[int, float]]] = {}
    for entry in parquet.read_table(path, columns=["row", "seed", "step", "name", "value"]).to_pylist():
        if entry["row"] in rank:
            points.setdefault((entry["row"], entry["seed"], entry["name"]), []).append((entry["step"], entry["value"]))
    curves = []
    for (row, seed, name), pairs in sorted(points.items(), key=lambda item: (rank[item[0][0]], item[0])):
        steps, values = zip(*sorted(pairs), strict=True)
        curves.append(Curve(row, seed, name, np.array(steps), np.array(values)))
    return tuple(curves)
