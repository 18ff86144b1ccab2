"""The landmarks file of a folder of images: five points and, if known, an identity for every image."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from srledger.data import LANDMARK_NAMES
from srledger.data._naming import shown
from srledger.data._refusals import Refusal, Refused, refusals_error
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
        SrledgerError: a column is missing, or rows are double, name no file or hold no numbers (all are told).
    """
    try:
        lines = csv.DictReader(data.decode("utf-8-sig").splitlines(keepends=True), strict=True)
        columns = list(lines.fieldnames or [])
        rows = [(lines.line_num, values) for values in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SrledgerError(
            "the landmarks file can't be read", where=table, found=error, mend="save it as UTF-8 CSV"
        ) from error
    missing = [column for column in ["file", *COORDINATES] if column not in columns]
    if missing:
        raise SrledgerError(
            "the landmarks file lacks columns",
            where=table,
            found=shown(", ".join(columns)),
            expected=", ".join(missing),
            mend="add the columns to its first line",
        )
    faces: dict[str, Face] = {}
    refusals: list[Refusal] = []
    for row, values in rows:
        try:
            name, face = _read_row(row, values, folder)
            if name in faces:
                raise Refused(f"two rows for one file, {shown(name)}: line {faces[name].row} has it too")
            faces[name] = face
        except Refused as refused:
            refusals.append(Refusal(f"{shown(table.name)}:{row}", str(refused)))
    if refusals:
        raise refusals_error(refusals, table.parent, "correct or remove the row", "row of the landmarks file")
    return faces


def _read_row(row: int, values: dict[str, str], folder: Path) -> tuple[str, Face]:
    if None in values or None in values.values():
        raise Refused("more or fewer values than the first line has columns")
    name = values["file"]
    if "\0" in name or not os.path.lexists(folder / name):
        raise Refused(f"a row for a file that is not there, {shown(name)}")
    try:
        points = np.array([float(values[column]) for column in COORDINATES]).reshape(-1, 2)
    except ValueError as error:
        raise Refused(f"a landmark is not a number: {shown(error)}") from error
    return name, Face(row, values.get("identity") or None, points)


def check_inside(face: Face, pixels: np.ndarray, table: str) -> None:
    """Raise Refused for a landmark outside its image.

    Pixel centres stand at whole numbers, so the image reaches from -0.5 to its size - 0.5.
    """
    limits = np.array([pixels.shape[1], pixels.shape[0]]) - 0.5
    inside = ((face.landmarks >= -0.5) & (face.landmarks <= limits)).all(axis=1)
    if not inside.all():
        k = int(np.argmin(inside))
        raise Refused(
            f"a landmark lies outside the picture ({shown(table)}:{face.row}: {LANDMARK_NAMES[k]} at "
            f"{face.landmarks[k].tolist()}, {pixels.shape[1]} x {pixels.shape[0]} px)"
        )
