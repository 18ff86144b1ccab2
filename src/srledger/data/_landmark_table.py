"""The landmarks file of a folder of images: five points and, if known, an identity for every image."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from srledger.data import LANDMARK_NAMES
from srledger.errors import SrledgerError

COORDINATES = [f"{name}_{axis}" for name in LANDMARK_NAMES for axis in ("x", "y")]


class Face(NamedTuple):
    """A row of the landmarks file."""

    row: int  # as an editor counts lines
    identity: str | None
    landmarks: np.ndarray


def read_faces(data: bytes, table: Path, folder: Path) -> dict[str, Face]:
    """The rows of a landmarks file by the name of their image.

    Args:
        data: content of ``table``, CSV with a column ``file`` (relative to ``folder``) and COORDINATES.

    Raises:
        SrledgerError: a column is missing, a row is double, names no file or holds no numbers.
    """
    try:
        rows = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise SrledgerError(
            "the landmarks file can't be read", where=table, found=error, mend="save it as UTF-8 CSV"
        ) from error
    missing = [column for column in ["file", *COORDINATES] if column not in rows]
    if missing:
        raise SrledgerError(
            "the landmarks file lacks columns",
            where=table,
            found=", ".join(rows.columns),
            expected=", ".join(missing),
            mend="add the columns to its first line",
        )
    faces: dict[str, Face] = {}
    for row, values in enumerate(rows.to_dict("records"), start=2):
        name = values["file"]
        if name in faces or not (folder / name).is_file():
            problem = "two rows for one file" if name in faces else "a row for a file that is not there"
            raise SrledgerError(
                f"the landmarks file has {problem}", where=f"{table}:{row}", found=name, mend="remove the row"
            )
        try:
            points = np.array([float(values[column]) for column in COORDINATES]).reshape(-1, 2)
        except ValueError as error:
            raise SrledgerError(
                "a landmark is not a number", where=f"{table}:{row}", found=error, mend=f"correct the row of {name}"
            ) from error
        faces[name] = Face(row, values.get("identity") or None, points)
    return faces


def check_inside(face: Face, pixels: np.ndarray, file: Path, table: Path) -> None:
    """Raise SrledgerError for a landmark outside its image.

    Pixel centres stand at whole numbers, so the image reaches from -0.5 to its size - 0.5.
    """
    limits = np.array([pixels.shape[1], pixels.shape[0]]) - 0.5
    inside = ((face.landmarks >= -0.5) & (face.landmarks <= limits)).all(axis=1)
    if not inside.all():
        k = int(np.argmin(inside))
        raise SrledgerError(
            "a landmark lies outside its image",
            where=f"{table}:{face.row}",
            found=f"{LANDMARK_NAMES[k]} at {face.landmarks[k].tolist()}",
            expected=f"a point in {file.name}, {pixels.shape[1]} x {pixels.shape[0]} px",
            mend="correct the row, or remove it and its image",
        )
