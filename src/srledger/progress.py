"""Progress with an ETA: a live bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

LINE_EVERY_S = 20.0


class Progress:
    """``with Progress("train rrdb seed 0", total) as progress: progress.advance(step, "loss 0.03")``.

    A total of 0 is an unknown one: only what is done is told.
    """

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self.title, self.total, self.first, self.done = title, total, done, done
        self._bar: Any = None

    def __enter__(self) -> Self:
        self._started_s = self._line_s = time.monotonic()
        if sys.stderr.isatty():
            try:
                from rich.console import Console
                from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
            except ImportError:  # a bare GPU machine may have torch and little else
                return self
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total or None, completed=self.done)
        return self

    def advance(self, done: int, note: str = "") -> None:
        """Say that ``done`` of ``total`` are done."""
        self.done = done
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=f"{self.title}  {note}")
        elif time.monotonic() - self._line_s >= LINE_EVERY_S:
            self._line_s = time.monotonic()
            of_total = f"/{self.total}, {self._eta()} left" if self.total else ""
            print(f"{self.title}: {done}{of_total}  {note}".rstrip(), file=sys.stderr, flush=True)

    def _eta(self) -> str:
        seconds = (time.monotonic() - self._started_s) * (self.total - self.done) / max(1, self.done - self.first)
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
