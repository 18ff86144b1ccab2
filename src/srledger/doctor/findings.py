"""What the doctor finds, and the folder that is looked at."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from srledger.doctor.processes import Processes


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        what: it in a line.
        where: a path below the project's folder, a pid, or an id.
        remedy: what --fix does about it, or what a person can do where it does nothing.
        since_s: when it began, or was last seen well, in seconds of POSIX time; None when that can't be known.
        mend: does what ``remedy`` says; None when only a person can.
    """

    what: str
    where: str
    remedy: str
    since_s: float | None = None
    mend: Callable[[], None] | None = None


class Patient:
    """The project's folder, with the processes of this machine as they were when it was first asked for them."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.notes: list[str] = []

    @functools.cached_property
    def processes(self) -> Processes:
        """All processes that can be seen; ``look_again`` forgets them."""
        return Processes(self.root)

    def look_again(self) -> None:
        """Forget what was seen of the processes: some may have ended since."""
        self.__dict__.pop("processes", None)

    def note(self, line: str) -> None:
        """Say what could not be looked at; no ailment."""
        if line not in self.notes:
            self.notes.append(line)

    def place(self, path: Path) -> str:
        """A path as a person reads it: below the project's folder where it is."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


Find = Callable[[Patient], Iterator[Finding]]
