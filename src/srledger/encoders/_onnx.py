"""The tensors of an ONNX file, read without its runtime and without running anything.

An ONNX file is one protocol buffer (github.com/onnx/onnx, onnx.proto): a model holds a graph, a graph its
initialisers, each with a name, dimensions, a type and raw little-endian bytes. Layers are written in torch here, so the
initialisers are all that is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from srledger.errors import SrledgerError

GRAPH, INITIALISERS = 7, 5  # fields of a model, of a graph
DIMENSIONS, KIND, NAME, RAW = 1, 2, 8, 9  # of a tensor
FLOAT = 1
VARINT, EIGHT_BYTES, COUNTED, FOUR_BYTES = 0, 1, 2, 5  # wire types


def read_onnx(path: Path, mend: str) -> dict[str, torch.Tensor]:
    """The float32 initialisers of an ONNX file, by name; others are left out.

    Raises:
        SrledgerError: the file is torn, or holds none.
    """
    data = path.read_bytes()
    try:
        graphs = [value for field, value in _fields(data) if field == GRAPH and isinstance(value, bytes)]
        tensors = [value for graph in graphs for field, value in _fields(graph) if field == INITIALISERS]
        found = dict(entry for tensor in tensors if isinstance(tensor, bytes) and (entry := _tensor(tensor)))
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise SrledgerError(
            "a weights file can't be read", where=path, found=error, expected="ONNX", mend=mend
        ) from error
    if not found:
        raise SrledgerError("a weights file holds no weights", where=path, expected="an ONNX network", mend=mend)
    return found


def _tensor(data: bytes) -> tuple[str, torch.Tensor] | None:
    name, raw, kind = "", b"", 0
    shape: list[int] = []
    for field, value in _fields(data):
        if field == DIMENSIONS:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif field == KIND and isinstance(value, int):
            kind = value
        elif field == NAME and isinstance(value, bytes):
            name = value.decode("utf-8")
        elif field == RAW and isinstance(value, bytes):
            raw = value
    if kind != FLOAT:
        return None
    if len(raw) != 4 * math.prod(shape):
        raise ValueError(f"{name} has {len(raw)} bytes for the shape {shape}")
    return name, torch.from_numpy(np.frombuffer(raw, "<f4").astype(np.float32).reshape(shape))


def _packed(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of a message's fields: whole numbers, and the bytes of all else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield field, value
            continue
        if kind == COUNTED:
            length, at = _varint(data, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            length = 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of wire type {kind}")
        if at + length > len(data):
            raise ValueError("it ends in the middle of a field")
        yield field, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
