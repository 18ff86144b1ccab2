"""Packs: arrays of one dtype, back to back in one memory-mapped file, with an index and a hash.

``<name>.bin`` holds the raw values, ``<name>.json`` the ids, shapes and the sha256 of the ``.bin``. Images are
uint8 ``H x W x 3`` (RGB); prior maps are float16 ``H x W x 1``. The index is written last: a pack without it does
not exist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from srledger.errors import SrledgerError
from srledger.io import atomic_open, read_json, sha256_file, write_json


class PackWriter:
    """Write a pack image by image; nothing appears under the final names unless the block ends well.

    >>> with PackWriter(folder / "train_hr", np.uint8) as pack:
    ...     pack.add("000001", pixels)
    """

    def __init__(self, stem: Path, dtype: type[np.generic]) -> None:
        self._stem = stem
        self._dtype = np.dtype(dtype)
        self._entries: list[tuple[str, list[int]]] = []
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        self._stem.with_suffix(".json").unlink(missing_ok=True)
        self._open = atomic_open(self._stem.with_suffix(".bin"))
        self._file = self._open.__enter__()
        return self

    def add(self, image_id: str, values: np.ndarray) -> None:
        """Append one array. Raises ValueError when its dtype is not the pack's."""
        if values.dtype != self._dtype:
            raise ValueError(f"{self._stem.name}: {image_id} has dtype {values.dtype}, the pack holds {self._dtype}")
        data = np.ascontiguousarray(values).tobytes()
        self._file.write(data)
        self._digest.update(data)
        self._entries.append((image_id, list(values.shape)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
        if kind is None:
            index = {"dtype": self._dtype.name, "sha256": self._digest.hexdigest(), "entries": self._entries}
            write_json(self._stem.with_suffix(".json"), index)


class Pack(Sequence[np.ndarray]):
    """A pack opened for reading: a sequence of arrays in the order they were written.

    Args:
        stem: the path without its ending.

    Raises:
        SrledgerError: no such pack, or its size is not what its index says.
    """

    def __init__(self, stem: Path) -> None:
        index_path = stem.with_suffix(".json")
        if not index_path.exists():
            raise SrledgerError("a pack is missing", where=index_path, mend="dvc repro")
        index = read_json(index_path)
        self.stem = stem
        self.sha256: str = index["sha256"]
        self.ids: list[str] = [image_id for image_id, _ in index["entries"]]
        self.shapes: list[tuple[int, ...]] = [tuple(shape) for _, shape in index["entries"]]
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        self._offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        data_path = stem.with_suffix(".bin")
        dtype = np.dtype(index["dtype"])
        expected_bytes = int(self._offsets[-1]) * dtype.itemsize
        found_bytes = data_path.stat().st_size if data_path.exists() else 0
        if found_bytes != expected_bytes:
            raise SrledgerError(
                "a pack is torn", where=data_path, found=f"{found_bytes} bytes", expected=f"{expected_bytes} bytes",
                mend=f"rm -r {stem.parent} && dvc repro",
            )  # fmt: skip
        self._values = np.memmap(data_path, dtype=dtype, mode="r") if expected_bytes else np.empty(0, dtype)
        self._position = {image_id: k for k, image_id in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position):
        """The array at ``position`` (a view of the file; copy it before changing it)."""
        if not -len(self) <= position < len(self):
            raise IndexError(position)
        position %= len(self)
        return self._values[self._offsets[position] : self._offsets[position + 1]].reshape(self.shapes[position])

    def by_id(self, image_id: str) -> np.ndarray:
        """The array of one image, found by its id and never by its position. Raises KeyError."""
        return self[self._position[image_id]]

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """(id, array) pairs in pack order."""
        return zip(self.ids, self, strict=True)

    def verify(self) -> None:
        """Raise SrledgerError when the values are not those that were written."""
        found = sha256_file(self.stem.with_suffix(".bin"))
        if found != self.sha256:
            raise SrledgerError(
                "a pack has changed since it was written", where=self.stem.with_suffix(".bin"), found=found,
                expected=self.sha256, mend=f"rm -r {self.stem.parent} && dvc repro",
            )  # fmt: skip
