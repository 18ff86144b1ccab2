"""Errors a person can act on: what was found, what was expected, where, and the command that mends it."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class SrledgerError(Exception):
    """A problem of the user's input or environment; shown without a traceback.

    Args:
        problem: one sentence, no full stop needed.
        where: file (and line, or key) the problem stands in.
        found: what was found there.
        expected: what would have been accepted.
        nearest: the accepted name closest to what was found.
        mend: a command or an edit that mends it.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: object = None,
        found: object = None,
        expected: object = None,
        nearest: str | None = None,
        mend: str | None = None,
    ) -> None:
        self.problem = problem
        facts = {"where": where, "found": found, "expected": expected, "nearest": nearest, "mend": mend}
        self.facts = {key: str(value) for key, value in facts.items() if value is not None}
        super().__init__(self.render())

    def render(self) -> str:
        """The message as printed: the problem, then one aligned line per fact."""
        lines = [self.problem]
        lines += [f"  {key + ':':<10}{value}" for key, value in self.facts.items()]
        return "\n".join(lines)


class UnknownName(SrledgerError, KeyError):
    """A name that is none of those that are known; a mapping may raise it."""

    def __str__(self) -> str:
        return self.render()


@contextlib.contextmanager
def errors_of(where: str) -> Iterator[None]:
    """Say ``where`` in errors of the block that don't say it themselves."""
    try:
        yield
    except SrledgerError as error:
        raise SrledgerError(error.problem, **{"where": where, **error.facts}) from error


def nearest_name(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name most like ``name``, or None when nothing is close."""
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown_name(
    kind: str, name: str, allowed: Iterable[str], *, where: object = None, mend: str | None = None
) -> UnknownName:
    """The error for a name that is none of ``allowed``."""
    names = sorted(allowed)
    return UnknownName(
        f"unknown {kind} '{name}'",
        where=where,
        found=name,
        expected="one of " + ", ".join(names) if names else f"nothing: there is no {kind} here",
        nearest=nearest_name(name, names),
        mend=mend,
    )
