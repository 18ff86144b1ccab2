"""The ablation grid as parameters of its own: its rows stand where the variants do, its tables in its report."""

from __future__ import annotations

import functools
from typing import Any

from srledger.ablations import GridRow, expand
from srledger.config import Params
from srledger.errors import SrledgerError, unknown_name
from srledger.evaluation.config import EvaluationConfig
from srledger.io import canonical_json
from srledger.reporting.config import ReportConfig, TableConfig
from srledger.settings import Lazily, Row
from srledger.yamlmap import YamlFile


class AblationParams(Params):
    """``Params`` whose rows are the grid's. Get it by ``Params.ablations``.

    Over the settings of its base lie ``scales.<scale>.ablations.training``, then the table's ``training`` and
    ``at.<scale>.training``, then what the row changes.
    """

    which = "ablations"

    def __init__(self, file: YamlFile, scale: str) -> None:
        super().__init__(file, scale)
        self.ablations = self
        self.grid = expand(file, self.entries)
        here = ("scales", self.scale, "ablations")
        for name in self.block.ablations.rows if self.block.ablations.rows != "all" else ():
            self._must_be("ablation row", name, self.grid.rows, *here, "rows")
        self.evaluation = self._layered(
            EvaluationConfig, ("evaluation",), ("scales", self.scale, "evaluation"), (*here, "evaluation")
        )
        self.rows = Lazily(self.grid.rows, self._row)
        self.evaluations = Lazily(self.grid.rows, self._evaluation)

    def _state(self, name: str) -> str:
        if name not in self.grid.rows:
            raise unknown_name("ablation row", name, self.grid.rows, where=self.file.path.name)
        rows = self.block.ablations.rows
        base = self.entries.variants[self.grid.rows[name].base]
        prior = str(self.grid.rows[name].settings.get("prior", base.prior))
        return self._state_on(base.task, prior, rows == "all" or name in rows)

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
        tables = {name: self._table(name, rows) for name, rows in self.tables().items()}
        if not tables:
            known = ", ".join(self.grid.rows)
            raise SrledgerError(
                "no ablation runs at this scale", where=self.file.place(("scales", self.scale, "ablations", "rows")),
                expected=f"all, or some of {known}" if known else "entries under ablations",
            )  # fmt: skip
        links = {**self._report.links, f"main results of {self.scale}": f"../{self.scale}/index.html"}
        return self._report.model_copy(update={"tables": tables, "links": links})

    def _table(self, name: str, rows: tuple[str, ...]) -> TableConfig:
        entry = self.entries.ablations[name]
        base = self.rows[rows[0]]
        changed = dict.fromkeys(path for row in rows for path in self.grid.rows[row].settings)
        values = {row: self.grid.rows[row].settings for row in rows} | {
            base.name: {path: _setting(base, path) for path in changed}
        }
        listed = "; ".join(
            f"{row}: " + ", ".join(f"{path} {canonical_json(value)}" for path, value in values[row].items())
            for row in rows
        )
        seeds = ", ".join(str(seed) for seed in base.training.seeds)
        note = f"{base.name} is {entry.base} on the budget of this table: {base.training.steps} steps, seeds {seeds}. "
        if len(base.training.seeds) == 1:
            note += "With one seed, how one training happens to end is part of every difference. "
        return TableConfig(
            title=entry.title, task=base.task.name, rows=rows, note=f"{note}{listed}.", baseline=base.name
        )

    def _row(self, name: str) -> Row:
        grid_row = self.grid.rows[name]
        entry = self.entries.variants[grid_row.base]
        for change in grid_row.changes:
            if "prior" in change.settings:
                self._check_prior(str(change.settings["prior"]), entry.task, *change.keys)
        entry = entry.model_copy(update={"prior": grid_row.settings.get("prior", entry.prior)})
        training = [("scales", self.scale, "ablations", "training")]
        training += [("ablations", grid_row.table, *keys, "training") for keys in ((), ("at", self.scale))]
        row = self._made_row(
            name, "ablation", entry, ("variants", grid_row.base), grid_row.layers("config"),
            [*self._layers(*training), *grid_row.layers("training")],
        )  # fmt: skip
        if row.active and grid_row.changes:
            self._check_against_base(row, grid_row)
        return row

    def _check_against_base(self, row: Row, grid_row: GridRow) -> None:
        base = next(name for name in self.grid.tables[grid_row.table] if not self.grid.rows[name].changes)
        place = self.file.place(grid_row.changes[-1].keys)
        rows = f"scales.{self.scale}.ablations.rows"
        if not self.is_active(base):
            raise SrledgerError(
                f"ablation row '{row.name}' runs without its base", where=place, mend=f"add {base} to {rows}"
            )
        if row.resolved() == self.rows[base].resolved():
            raise SrledgerError(
                f"ablation row '{row.name}' is its base at scale {self.scale}", where=place, found=grid_row.settings,
                expected="settings that differ", mend=f"leave it out of {rows}, or take another level",
            )  # fmt: skip


def _setting(row: Row, path: str) -> Any:
    """What a row has at ``prior``, ``config.<setting>`` or ``training.<setting>``."""
    resolved = row.resolved()
    part, _, setting = path.partition(".")
    return resolved[part][setting] if setting else resolved["prior_name"]
