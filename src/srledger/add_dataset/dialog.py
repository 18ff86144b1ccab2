"""Asking and showing on the terminal before params.yaml is changed."""

from __future__ import annotations

import difflib
import sys

import typer
from rich.console import Console
from rich.text import Text

from srledger.errors import SrledgerError


def ask_licence() -> str:
    """The licence, from the terminal. Raises SrledgerError where there is none to ask at."""
    if not sys.stdin.isatty():
        raise SrledgerError(
            "the licence of the images is not given", expected='--licence "CC0-1.0", --licence "own photographs", ...',
            mend="add --licence TEXT, and --redistributable if pictures made from them may be published",
        )  # fmt: skip
    licence = ""
    while not licence:
        licence = typer.prompt("Licence of the images (as it shall stand in the report)").strip()
    return licence


def confirm(sure: bool) -> None:
    """Ask whether to write. Raises SrledgerError where nobody can answer; a no ends the command."""
    if sure:
        return
    if not sys.stdin.isatty():
        raise SrledgerError("params.yaml is as it was: nobody is there to say yes", mend="add --yes")
    typer.confirm("Write this to params.yaml?", abort=True)


def open_console() -> Console:
    """Where to print: as wide as the terminal; wide enough for a path in a log."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 160
    return console


def show_diff(console: Console, old: str, new: str) -> None:
    """The lines of params.yaml that change, with two lines around them."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "params.yaml", "params.yaml", n=2, lineterm="")
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        console.print(Text(line, colours.get(line[:1], "")), soft_wrap=True)
