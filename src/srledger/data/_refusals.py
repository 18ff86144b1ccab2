"""Files that are refused: gathered over a whole set and told together, each by name and reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from srledger.data._naming import shown
from srledger.errors import SrledgerError

NAMED = 20  # a message names so many; then it counts


class Refusal(NamedTuple):
    """A file that is not used."""

    name: str  # relative to the set's folder, escaped by ``shown``
    reason: str
    must_stop: bool = False  # even where the settings say to go on without refused files


class Refused(Exception):
    """Raised inside a source for one file; its text is the reason."""

    def __init__(self, reason: str, *, must_stop: bool = False) -> None:
        super().__init__(reason)
        self.must_stop = must_stop


def refusals_error(refusals: Sequence[Refusal], folder: Path, mend: str, what: str = "file") -> SrledgerError:
    """One error for all refusals of a set (at least one).

    Args:
        folder: what the names are relative to.
        mend: what a person can do about them.
        what: a noun for the refused things.
    """
    if len(refusals) == 1:
        name, reason, _ = refusals[0]
        return SrledgerError(f"a {what} can't be used: {reason}", where=f"{shown(folder)}/{name}", mend=mend)
    lines = [f"{name}: {reason}" for name, reason, _ in refusals[:NAMED]]
    if len(refusals) > NAMED:
        lines.append(f"... and {len(refusals) - NAMED} more")
    indent = "\n" + " " * 12
    return SrledgerError(
        f"{len(refusals)} {what}s can't be used", where=shown(folder), found=indent.join(lines), mend=mend
    )
