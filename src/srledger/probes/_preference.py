"""Counting votes, and the blinded sheet on which people can cast theirs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from srledger.evaluation.statistics import Interval
from srledger.reporting.pictures import Picture
from srledger.seeds import numpy_generator


def wilson(wins: int, votes: int, alpha: float = 0.05) -> Interval:
    """Share of ``wins`` with Wilson's score interval (1927), which holds for few votes and shares near 0 or 1.

    Raises:
        ValueError: there are no votes.
    """
    from scipy.stats import norm

    if votes < 1:
        raise ValueError("no votes")
    z = float(norm.ppf(1 - alpha / 2))
    share, scale = wins / votes, 1 + z * z / votes
    middle = (share + z * z / (2 * votes)) / scale
    reach = z * math.sqrt(share * (1 - share) / votes + z * z / (4 * votes * votes)) / scale
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach), votes)


def votes_of(first: np.ndarray, second: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """+1 where ``first`` is better, -1 where ``second`` is, 0 where they are equal or one is not finite."""
    with np.errstate(invalid="ignore"):
        signs = np.sign(first - second) * (1 if higher_is_better else -1)
    return np.nan_to_num(signs).astype(np.int64)


def majority(votes: np.ndarray) -> np.ndarray:
    """Per image the sign of the sum of ``voters x N`` votes: 0 is undecided."""
    return np.sign(votes.sum(axis=0))


def draw_sheet(seed_of: str, first: str, second: str, pictures: Sequence[Picture]) -> tuple[bytes, bytes]:
    """(sheet, key): an HTML page that asks for the better of two pictures, and a CSV that says which was which.

    Sides and order are drawn from ``seed_of``; no name of a row or of an image stands in the sheet.
    """
    from srledger.reporting.html import data_address, render_page

    rng = numpy_generator("preference sheet", seed_of, first, second)
    order = rng.permutation(len(pictures)).tolist()
    swapped = rng.random(len(pictures)) < 0.5
    items, key = [], [("picture", "image_id", "left", "right")]
    for number, k in enumerate(order, start=1):
        picture = pictures[k]
        left, right = (second, first) if swapped[k] else (first, second)
        key.append((str(number), picture.image_id, left, right))
        sides = {"left": picture.restored[left], "lr": picture.lr, "right": picture.restored[right]}
        items.append({side: data_address(path) for side, path in sides.items()})
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(key)
    return render_page("sheet.html.j2", "", items=items).encode("utf-8"), text.getvalue().encode("utf-8")


def tally(answers: str, key: str, alpha: float = 0.05) -> dict[str, Interval]:
    """Row -> its share of the votes on a sheet, from the CSV texts of any number of answers (headers may repeat).

    Raises:
        ValueError: an answer is about a picture that the key does not know, or there is none.
    """
    sides = {line["picture"]: line for line in csv.DictReader(io.StringIO(key))}
    wins: dict[str, int] = {line[side]: 0 for line in sides.values() for side in ("left", "right")}
    votes = 0
    for fields in csv.reader(io.StringIO(answers)):
        if not fields or fields[0] == "voter":
            continue
        _, picture, choice = fields
        if picture not in sides or choice not in ("left", "right"):
            raise ValueError(f"no such picture or side: {picture}, {choice}")
        wins[sides[picture][choice]] += 1
        votes += 1
    return {row: wilson(count, votes, alpha) for row, count in wins.items()}
