"""The ablation grid: the factor lists of params.yaml as named rows, trained or sampled from the weights of another."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from srledger.entries import SCALES, AblationEntry, FactorEntry, ParamsFile
from srledger.errors import SrledgerError, unknown_name
from srledger.io import canonical_json, read_json, write_json
from srledger.layout import ABLATION_MARK, Layout
from srledger.yamlmap import KeyPath, Layer, YamlFile

SETTING = re.compile(r"prior|encoder|(config|training)\.\w+")
WHY_CHARACTERS = 300


@dataclasses.dataclass(frozen=True)
class Change:
    """One level of a factor: where it stands in params.yaml, and the settings it gives a row.

    ``at_sampling``: it is no part of the training, so that rows which differ in it share their weights. ``scales``:
    where it runs.
    """

    keys: KeyPath
    factor: str
    level: str
    settings: Mapping[str, Any]
    at_sampling: bool = False
    scales: tuple[str, ...] = SCALES

    def of(self, part: str) -> dict[str, Any]:
        """The settings of ``config`` or ``training``, without that word."""
        return {path.partition(".")[2]: value for path, value in self.settings.items() if path.startswith(f"{part}.")}


@dataclasses.dataclass(frozen=True)
class GridRow:
    """A base with some of its settings changed (none: the base on the grid's budget).

    Attributes:
        base: a variant. table: the table of params.yaml that the row comes from; its ``config``, ``training`` and
            ``at`` hold.
        weights_of: the row whose weights it takes; None: it is trained. scales: where it runs, if anyone asks for it.
    """

    name: str
    base: str
    table: str
    changes: tuple[Change, ...]
    weights_of: str | None = None
    scales: tuple[str, ...] = SCALES

    @property
    def settings(self) -> dict[str, Any]:
        """Every changed setting, by its place in a row."""
        return {path: value for change in self.changes for path, value in change.settings.items()}

    def layers(self, part: str) -> list[Layer]:
        """What the changes lay over the base's ``config`` or ``training``, with the lines they stand in."""
        return [Layer(change.keys, change.of(part)) for change in self.changes]


@dataclasses.dataclass(frozen=True)
class Grid:
    """All rows by name, in the order of params.yaml, and the rows of each table, its base first.

    ``changes`` says of each table's rows what they change in the words of that table: a row that stands in several
    tables has the words of the first in ``rows``.
    """

    rows: dict[str, GridRow]
    tables: dict[str, tuple[str, ...]]
    changes: dict[str, dict[str, tuple[Change, ...]]]

    def sampled_from(self, name: str) -> tuple[str, ...]:
        """The rows that take the weights of row ``name``."""
        return tuple(row.name for row in self.rows.values() if row.weights_of == name)


def expand(file: YamlFile, entries: ParamsFile) -> Grid:
    """The grid of params.yaml. A combination of settings that stands in several tables is one row.

    Raises:
        SrledgerError: an unknown base, scale or setting, or two combinations that would share a name.
    """
    rows: dict[str, GridRow] = {}
    names: dict[str, str] = {}  # settings -> the name they got first
    tables: dict[str, dict[str, tuple[Change, ...]]] = {}
    for table, entry in entries.ablations.items():
        _check(file, table, entry, entries)
        of_table = tables.setdefault(table, {})
        here = SCALES if entry.scales == "all" else tuple(scale for scale in SCALES if scale in entry.scales)
        for label, changes in _combinations(file, table, entry):
            trained = tuple(change for change in changes if not change.at_sampling)
            row = GridRow(
                f"{entry.base}{ABLATION_MARK}{label}", entry.base, table, changes,
                names[_identity(entry, trained)] if trained != changes else None,  # the row without those came before
                tuple(scale for scale in here if all(scale in change.scales for change in changes)),
            )  # fmt: skip
            name = names.setdefault(_identity(entry, changes), row.name)
            first = rows.get(name, row)
            if name == row.name and (first.settings, first.weights_of) != (row.settings, row.weights_of):
                raise SrledgerError(
                    f"two ablations give the name '{name}' to different settings",
                    where=file.place(changes[-1].keys if changes else ("ablations", table)),
                    found=f"{row.settings} and, in {first.table}, {first.settings}",
                    expected="one meaning per factor and level", mend="rename the factor or the level",
                )  # fmt: skip
            runs_at = {*first.scales, *row.scales}
            rows[name] = dataclasses.replace(first, scales=tuple(scale for scale in SCALES if scale in runs_at))
            of_table.setdefault(name, changes)
    return Grid(rows, {table: tuple(of_table) for table, of_table in tables.items()}, tables)


def _check(file: YamlFile, table: str, entry: AblationEntry, entries: ParamsFile) -> None:
    here = ("ablations", table)
    if entry.base not in entries.variants:
        raise unknown_name("variant", entry.base, entries.variants, where=file.place((*here, "base")))
    if entry.task is not None and entry.task not in entries.tasks:
        raise unknown_name("task", entry.task, entries.tasks, where=file.place((*here, "task")))
    for scale in (*entry.at, *(entry.scales if entry.scales != "all" else ())):
        if scale not in SCALES:
            raise unknown_name(
                "scale", scale, SCALES, where=file.place((*here, "at" if scale in entry.at else "scales"))
            )
    for name, factor in entry.factors.items():
        for scale in factor.scales if factor.scales != "all" else ():
            if scale not in SCALES:
                raise unknown_name("scale", scale, SCALES, where=file.place((*here, "factors", name, "scales")))
    for name in (table, *entry.factors, *(level for factor in entry.factors.values() for level in factor.levels)):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or ABLATION_MARK in name:
            raise SrledgerError(
                "a name of an ablation must do as a part of a file name", where=file.place(here), found=name,
                expected=f"letters, digits, _ and -, without {ABLATION_MARK}",
            )  # fmt: skip
    if entry.questions and not entry.cross:
        raise SrledgerError(
            "a table with one factor at a time answers no questions", where=file.place((*here, "questions")),
            mend="add cross: true, or take the questions out",
        )  # fmt: skip
    for k, question in enumerate(entry.questions):
        for name in (question.factor, question.within):
            if name not in entry.factors:
                raise unknown_name("factor", name, entry.factors, where=file.place((*here, "questions", k)))


def _combinations(file: YamlFile, table: str, entry: AblationEntry) -> Iterator[tuple[str, tuple[Change, ...]]]:
    """(label, changes) of every row of a table: the base, then one factor at a time, or all of them crossed."""
    factors = [_levels(file, ("ablations", table, "factors", name), factor) for name, factor in entry.factors.items()]
    # A table with settings of its own shares no row with another: its name keeps them apart.
    own = f"{ABLATION_MARK}{table}" if entry.task or entry.config or entry.training or entry.at else ""
    yield f"base{own}", ()
    if entry.cross:
        chosen = itertools.product(*([None, *levels.items()] for levels in factors))
        picks = [[pick for pick in combination if pick] for combination in chosen]
    else:
        picks = [[level] for levels in factors for level in levels.items()]
    for pick in picks:
        if not pick:
            continue
        changes = tuple(change for _, change in pick)
        paths = [path for change in changes for path in change.settings]
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice:
            raise SrledgerError(
                "two crossed factors change one setting", where=file.place(changes[-1].keys), found=twice
            )
        yield ABLATION_MARK.join(label for label, _ in pick) + own, changes


def _levels(file: YamlFile, keys: KeyPath, factor: FactorEntry) -> dict[str, Change]:
    """Label (``gamma_0_5``) -> change, of one factor."""
    scales = SCALES if factor.scales == "all" else factor.scales
    name = str(keys[-1])
    levels = {
        level: Change((*keys, "levels", level), name, level, settings, factor.at_sampling, scales)
        for level, settings in factor.levels.items()
    }
    for value in factor.values:
        signed = re.sub(r"^-", "minus_", canonical_json(value))  # -0.5 is not called as 0.5 is
        level = re.sub(r"[^A-Za-z0-9]+", "_", signed).strip("_")
        if not level or level in levels:
            raise SrledgerError(
                "a value gives no name of its own", where=file.place((*keys, "values")), found=value,
                mend="give the levels names: levels: { name: { setting: value } }",
            )  # fmt: skip
        levels[level] = Change(
            (*keys, "values"), name, value_text(value), {str(factor.path): value}, factor.at_sampling, scales
        )
    for change in levels.values():
        where = file.place(change.keys if factor.levels else (*keys, "path"))
        if not change.settings:
            raise SrledgerError("a level changes nothing", where=where)
        for path in change.settings:
            if not SETTING.fullmatch(path):
                raise SrledgerError(
                    f"an ablation can't change '{path}'", where=where, found=path,
                    expected="prior, encoder, config.<setting> or training.<setting>",
                )  # fmt: skip
            if change.at_sampling and not path.startswith("config."):
                raise SrledgerError(
                    f"'{path}' is no setting of sampling", where=where, found=path, expected="config.<setting>",
                    mend="leave at_sampling out: the rows are trained then",
                )  # fmt: skip
    return {f"{name}_{level}": change for level, change in levels.items()}


def value_text(value: Any) -> str:
    """A setting's value as a level is called by it: ``v``, ``0.5``, ``true``."""
    return value if isinstance(value, str) else canonical_json(value)


def _identity(entry: AblationEntry, changes: Iterable[Change]) -> str:
    """Equal for rows that train and sample alike: 0 and 0.0 are one value, true and 1 are two."""
    trained: dict[str, Any] = {}
    sampled: dict[str, Any] = {}
    for change in changes:
        for path, value in change.settings.items():
            (sampled if change.at_sampling else trained)[path] = float(value) if type(value) is int else value
    at = {scale: overrides.model_dump() for scale, overrides in entry.at.items()}
    return canonical_json([entry.base, entry.task, trained, sampled, entry.config, entry.training, at])


def select(grid: Grid, only: Iterable[str]) -> tuple[str, ...]:
    """The rows that ``only`` names, itself or by their table, in grid order; nothing named: all of them.

    Raises:
        SrledgerError: a name that is neither, with the nearest.
    """
    wanted: set[str] = set()
    known = [*grid.rows, *grid.tables]
    for name in only:
        if name not in known:
            raise unknown_name("ablation row or table", name, known, where="params.yaml: ablations")
        wanted |= {name} if name in grid.rows else set(grid.tables[name])
    return tuple(row for row in grid.rows if row in wanted or not wanted)


def untrained(weights_of: str, why: str) -> str:
    """What the cells of a row say whose weights were not trained."""
    return f"the training of {weights_of}, whose weights it takes, failed: {why}"


def mark_failed(layout: Layout, row: str, why: str) -> None:
    """Leave word that a row has no result, so that its cells say ``failed: <why>`` and the report comes all the same.

    A result of earlier settings is dropped with it: the report must not show it as this row's.
    """
    shutil.rmtree(layout.result(row), ignore_errors=True)
    layout.run(row).parent.mkdir(parents=True, exist_ok=True)  # the report's stage depends on the folder
    write_json(layout.failure(row), {"row": row, "why": " ".join(why.split())[:WHY_CHARACTERS] or "no reason given"})


@dataclasses.dataclass(frozen=True)
class Absence:
    """Why a row has no result: it ``failed`` here, or, in a report that was made in parts, is ``stale`` or was not run.

    ``record`` is its entry in results.json where that was made elsewhere; None: it is made from what is known here.
    """

    why: str
    kind: Literal["failed", "stale", "unavailable"] = "failed"
    record: dict[str, Any] | None = None

    @property
    def status(self) -> str:
        """What its cells say: ``failed: the loss is not a number``."""
        return f"{self.kind}: {self.why}"


def absence_of(layout: Layout, row: str) -> Absence | None:
    """Why a row has no result; None where it has one, or nobody left word."""
    path = layout.failure(row)
    if (layout.result(row) / "result.json").exists() or not path.exists():
        return None
    found = read_json(path)
    return Absence(str(found["why"]), found.get("kind", "failed"), found.get("record"))


def clear_failures(layout: Layout, rows: Iterable[str]) -> None:
    """Forget the failures of rows that are no longer in the grid or have a result by now."""
    known = set(rows)
    for path in sorted(layout.failure(ABLATION_MARK).parent.glob("*.json")):
        if path.stem not in known or absence_of(layout, path.stem) is None:
            path.unlink()
