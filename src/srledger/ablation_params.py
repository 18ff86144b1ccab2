"""The ablation grid as parameters of its own: its rows stand where the variants do, its tables in its report."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Literal

from srledger.ablations import GridRow, expand, value_text
from srledger.config import Params
from srledger.errors import SrledgerError, unknown_name
from srledger.evaluation.config import EvaluationConfig
from srledger.io import canonical_json
from srledger.reporting.config import Crossed, ReportConfig, TableConfig
from srledger.settings import Lazily, Row
from srledger.yamlmap import YamlFile


class AblationParams(Params):
    """``Params`` whose rows are the grid's. Get it by ``Params.ablations``.

    Over the settings of its base lie ``scales.<scale>.ablations.training``, then the table's ``config``, ``training``
    and ``at.<scale>``, then what the row changes.
    """

    which = "ablations"

    def __init__(self, file: YamlFile, scale: str) -> None:
        super().__init__(file, scale)
        self.ablations = self
        self.grid = expand(file, self.entries)
        here = ("scales", self.scale, "ablations")
        self._wanted = self._listed(self.block.ablations.rows, *here, "rows")
        self.evaluation = self._layered(
            EvaluationConfig, ("evaluation",), ("scales", self.scale, "evaluation"), (*here, "evaluation")
        )
        self.rows = Lazily(self.grid.rows, self._row)
        self.evaluations = Lazily(self.grid.rows, self._evaluation)
        self.table_configs = Lazily(self.grid.tables, self._table)

    def _listed(self, rows: tuple[str, ...] | Literal["all"], *keys: str) -> frozenset[str]:
        """The rows that a list of rows and tables asks for; of a table those whose factors run at this scale."""
        asked: set[str] = set(self.grid.rows) if rows == "all" else set()
        for name in rows if rows != "all" else ():
            self._must_be("ablation row or table", name, [*self.grid.rows, *self.grid.tables], *keys)
            asked.update(self.grid.tables.get(name, (name,)))
            if name in self.grid.rows and self.scale not in self.grid.rows[name].scales:
                raise SrledgerError(
                    f"ablation row '{name}' does not run at scale {self.scale}", where=self.file.place(keys),
                    mend=f"add {self.scale} to the scales of its factors, or leave it out",
                )  # fmt: skip
        return frozenset(name for name in asked if self.scale in self.grid.rows[name].scales)

    def _state(self, name: str) -> str:
        if name not in self.grid.rows:
            raise unknown_name("ablation row", name, self.grid.rows, where=self.file.path.name)
        row = self.grid.rows[name]
        base, table = self.entries.variants[row.base], self.entries.ablations[row.table]
        prior, encoder = (str(row.settings.get(key, getattr(base, key))) for key in ("prior", "encoder"))
        known = [*self.entries.encoders, *self.entries.encoder_pairs]
        self._must_be("encoder", encoder, known, *(row.changes[-1].keys if row.changes else ()))
        settings = dict(base.config)
        for layer in (base.at.get(self.scale), table, table.at.get(self.scale)):
            settings |= layer.config if layer else {}
        for change in row.changes:
            settings |= change.of("config")
        return self._state_on(table.task or base.task, prior, encoder, name in self._wanted, settings)

    def asked_for(self) -> frozenset[str]:
        """The rows of this scale, those too whose data or weights can't be had here."""
        return frozenset(name for name in self.grid.rows if self._state(name) != "left out")

    def runs(self) -> tuple[str, ...]:
        """Rows with a run of their own: not those that are sampled from another's weights."""
        return tuple(name for name, row in self.grid.rows.items() if row.weights_of is None)

    def active_rows(self) -> tuple[str, ...]:
        """The rows that run at this scale, in grid order; no plug-in is loaded for the answer."""
        return tuple(name for name in self.grid.rows if self.is_active(name))

    def tables(self) -> dict[str, tuple[str, ...]]:
        """Table -> its rows that run at this scale, where there is something to compare."""
        shown = {name: tuple(filter(self.is_active, rows)) for name, rows in self.grid.tables.items()}
        return {name: rows for name, rows in shown.items() if len(rows) > 1}

    @functools.cached_property
    def report(self) -> ReportConfig:
        """One table per ablation, each compared with its own base.

        Raises:
            SrledgerError: no ablation runs at this scale.
        """
        tables = {name: self.table_configs[name] for name in self.tables()}
        if not tables:
            known = ", ".join(self.grid.rows)
            raise SrledgerError(
                "no ablation runs at this scale", where=self.file.place(("scales", self.scale, "ablations", "rows")),
                expected=f"all, or some of {known}" if known else "entries under ablations",
            )  # fmt: skip
        links = {**self._report.links, f"main results of {self.scale}": f"../{self.scale}/index.html"}
        return self._report.model_copy(update={"tables": tables, "links": links, "referee": self.referee})

    def _table(self, name: str) -> TableConfig:
        entry = self.entries.ablations[name]
        base = self.rows[self.grid.tables[name][0]]
        rows = tuple(filter(self.is_active, self.grid.tables[name]))
        # Of crossed factors the names tell the rest: they are made of the rows with one change.
        listed = {row: self.grid.rows[row].settings for row in rows if len(self.grid.rows[row].changes) <= 1}
        changed = dict.fromkeys(path for row in rows for path in self.grid.rows[row].settings)
        listed[base.name] = {path: _setting(base, path) for path in changed}
        settings = "; ".join(
            f"{row}: " + ", ".join(f"{path} {canonical_json(value)}" for path, value in of_row.items())
            for row, of_row in listed.items()
        )
        seeds = ", ".join(str(seed) for seed in base.training.seeds)
        note = f"{entry.note} " if entry.note else ""
        note += f"{base.name} is {entry.base} on the budget of this table: {base.training.steps} steps, seeds {seeds}. "
        if len(base.training.seeds) == 1:
            note += "With one seed, how one training happens to end is part of every difference. "
        levels = self._levels(name, base)
        return TableConfig(
            title=entry.title, task=base.task.name, rows=rows, note=f"{note}{self._sampled(rows)}{settings}.",
            baseline=base.name, crossed=self._crossed(name, levels) if entry.cross else None,
            published=self._published(name, levels),
        )  # fmt: skip

    def _sampled(self, rows: tuple[str, ...]) -> str:
        """What a reader must know of the rows that are not trained."""
        sampled = [row for row in rows if self.grid.rows[row].weights_of]
        if not sampled:
            return ""
        changes = (change for row in sampled for change in self.grid.rows[row].changes if change.at_sampling)
        paths = dict.fromkeys(path for change in changes for path in change.settings)
        return (
            f"{len(sampled)} of the {len(rows)} rows are not trained: they change {', '.join(paths)} when they restore,"
            " with the weights and the noise of the row that is the same but for that. "
        )

    def _levels(self, table: str, base: Row) -> dict[str, tuple[str, ...]]:
        """Factor -> what its levels are called, the base's own first."""
        found = {}
        for name, factor in self.entries.ablations[table].factors.items():
            every = [change for changes in self.grid.changes[table].values() for change in changes]
            levels = {change.level: change for change in every if change.factor == name}
            paths = {path for change in levels.values() for path in change.settings}
            own = factor.base or (value_text(_setting(base, *paths)) if len(paths) == 1 else "base")
            found[name] = (f"{own} (base)" if own in levels else own, *levels)
            for level in factor.published:
                if level not in found[name]:
                    place = self.file.place(("ablations", table, "factors", name, "published", level))
                    raise unknown_name("level", level, found[name], where=place)
        return found

    def _crossed(self, table: str, levels: dict[str, tuple[str, ...]]) -> Crossed:
        """Every combination of the table's factors, those that do not run at this scale too."""
        rows = {}
        for row, changes in self.grid.changes[table].items():
            changed = {change.factor: change.level for change in changes}
            rows[row] = tuple(changed.get(name, own[0]) for name, own in levels.items())
        return Crossed(factors=levels, rows=rows, questions=self.entries.ablations[table].questions)

    def _published(self, table: str, levels: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Row -> papers' rows beside it, for the base and for rows that change one factor alone."""
        factors = self.entries.ablations[table].factors
        found = {}
        for row, changes in self.grid.changes[table].items():
            at = {change.factor: change.level for change in changes} or {
                name: own for name, (own, *_) in levels.items()
            }
            beside = [factors[name].published.get(level) for name, level in at.items()]
            if len(changes) < 2 and any(beside):
                found[row] = tuple(dict.fromkeys(filter(None, beside)))
        return found

    def _row(self, name: str) -> Row:
        grid_row = self.grid.rows[name]
        entry = self.entries.variants[grid_row.base]
        entry = entry.model_copy(update={"task": self.entries.ablations[grid_row.table].task or entry.task})
        prior_at: tuple[str | int, ...] = ("variants", grid_row.base, "prior")
        for change in grid_row.changes:
            if "prior" in change.settings:
                prior_at = change.keys
                self._check_prior(str(change.settings["prior"]), entry.task, *prior_at)
        changed = {key: value for key, value in grid_row.settings.items() if key in ("prior", "encoder")}
        entry = entry.model_copy(update=changed)
        config, training = (
            self._layers(*(("ablations", grid_row.table, *keys, part) for keys in ((), ("at", self.scale))))
            for part in ("config", "training")
        )
        row = self._made_row(
            name, "ablation", entry, ("variants", grid_row.base), [*config, *grid_row.layers("config")],
            [*self._layers(("scales", self.scale, "ablations", "training")), *training, *grid_row.layers("training")],
            prior_at,
        )  # fmt: skip
        self._check_when(row, grid_row)
        if row.active and grid_row.changes:
            self._check_beside(row, grid_row)
        return dataclasses.replace(row, weights_of=self.rows[grid_row.weights_of]) if grid_row.weights_of else row

    def _check_when(self, row: Row, grid_row: GridRow) -> None:
        """Refuse to train a network once more for settings that no training reads."""
        unread = {f"config.{name}" for name in getattr(row.config, "sampling_settings", ())}
        for change in grid_row.changes:
            if not change.at_sampling and unread.issuperset(change.settings):
                raise SrledgerError(
                    f"ablation row '{row.name}' would train the network of another row again",
                    where=self.file.place(change.keys), found=", ".join(change.settings),
                    expected="of settings that only restoring reads: a factor with `at_sampling: true`",
                    mend=f"add at_sampling: true to the factor {change.keys[3]}",
                )  # fmt: skip

    def _check_beside(self, row: Row, grid_row: GridRow) -> None:
        """A row stands beside the one that it is compared with, or takes its weights from, and differs from it."""
        base = next(name for name in self.grid.tables[grid_row.table] if not self.grid.rows[name].changes)
        other = grid_row.weights_of or base
        what = "the row whose weights it takes" if grid_row.weights_of else "its base"
        place = self.file.place(grid_row.changes[-1].keys)
        rows = f"scales.{self.scale}.ablations.rows"
        if not self.is_active(other):
            raise SrledgerError(
                f"ablation row '{row.name}' runs without {what}", where=place, mend=f"add {other} to {rows}"
            )
        if row.resolved() == self.rows[other].resolved():
            raise SrledgerError(
                f"ablation row '{row.name}' is {what} at scale {self.scale}", where=place, found=grid_row.settings,
                expected="settings that differ", mend=f"leave it out of {rows}, or take another level",
            )  # fmt: skip


def _setting(row: Row, path: str) -> Any:
    """What a row has at ``prior``, ``encoder``, ``config.<setting>`` or ``training.<setting>``."""
    resolved = row.resolved()
    if path == "encoder":
        return resolved.get("encoder_name", "none")
    part, _, setting = path.partition(".")
    if not setting:
        return resolved["prior_name"]
    kept: Mapping[str, Any] = resolved[part]
    return kept[setting] if setting in kept else getattr(row.config, setting)  # left out at its default
