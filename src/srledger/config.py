"""params.yaml as frozen, typed models: everything wrong with it is said before any work begins.

Settings are laid over each other, the later winning key by key: ``training`` < ``scales.<scale>.training`` <
``variants.<row>.training`` < ``variants.<row>.at.<scale>.training``; a method's ``config`` likewise. What priors and
encoders are made from is resolved in ``prior_config``, the encoders of rows in ``row_encoders``, tasks in
``task_config``, transfers in ``transfer_config``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from srledger.entries import SCALES, ParamsFile, StudentEntry, VariantEntry
from srledger.errors import SrledgerError, nearest_name, unknown_name
from srledger.evaluation.config import EvaluationConfig
from srledger.io import sha256_file, sha256_json, write_json
from srledger.layout import ABLATION_MARK, ABLATIONS, is_ablation
from srledger.orchestration import OrchestrationConfig
from srledger.plugins import PACKAGE, plugin_class, plugin_config, plugin_names
from srledger.prior_config import (
    check_prior_of_graph,
    check_scales,
    encoder_spec,
    is_made,
    place_of_prior,
    prior_spec,
    tasks_of,
    why_no_encoder,
    why_no_prior,
    why_no_weights_of,
)
from srledger.references import demand_reference
from srledger.reporting.config import RefereeConfig, ReportConfig
from srledger.row_encoders import check_pairs, encoder_of_row
from srledger.settings import Dataset, EncoderSpec, Evaluation, Lazily, PriorSpec, ProbeSpec, Row, Task
from srledger.task_config import task_of_entry
from srledger.token_priors import check_crop, check_reader
from srledger.training.config import TrainingConfig
from srledger.transfer_config import transfer_of
from srledger.weights import catalogue
from srledger.yamlmap import KeyPath, Layer, YamlFile, parse

if TYPE_CHECKING:
    from srledger.ablation_params import AblationParams


class Params:
    """params.yaml, validated and resolved for one scale. Build it with ``Params.load``."""

    which: ClassVar[Literal["main", "ablations"]] = "main"  # the report that these parameters make

    def __init__(self, file: YamlFile, scale: str | None = None) -> None:
        self.file = file
        self.entries = parse(file, ParamsFile, [Layer((), file.values)])
        self.scale = scale or self.entries.scale
        if self.scale not in self.entries.scales:
            raise unknown_name("scale", self.scale, self.entries.scales, where=file.place(("scales",)))
        self.block = self.entries.scales[self.scale]
        self._check_names()
        self.evaluation = self._layered(EvaluationConfig, ("evaluation",), ("scales", self.scale, "evaluation"))
        self.orchestration = self._layered(OrchestrationConfig, ("orchestration",))
        self._report: ReportConfig = self._layered(ReportConfig, ("report",))
        self._must_be(
            "row", self._report.baseline, [*self.entries.variants, *self.entries.students], "report", "baseline"
        )
        self.datasets = Lazily(self.entries.datasets, self._dataset)
        self.tasks: Lazily[Task] = Lazily(self.entries.tasks, lambda name: task_of_entry(self, name))
        self.encoders: Lazily[EncoderSpec] = Lazily(self.entries.encoders, lambda name: encoder_spec(self, name))
        self.priors: Lazily[PriorSpec] = Lazily(self.entries.all_priors, lambda name: prior_spec(self, name))
        self.rows = Lazily([*self.entries.variants, *self.entries.students], self._row)
        self.evaluations = Lazily([*self.rows, *self.entries.transfers], self._evaluation)
        self.probes = Lazily([name for name, one in self.entries.probes.items() if one.of == self.which], self._probe)

    @classmethod
    def load(cls, root: Path | None = None, scale: str | None = None) -> Params:
        """Read ``params.yaml`` of ``root`` (the working folder) for ``scale`` (the file's own).

        The whole file is checked, every plug-in's settings too; what was found whole once is not checked again until
        it or the code of a plug-in changes.
        """
        root = root or Path()
        params = cls(YamlFile.read(root / "params.yaml"), scale)
        mark = root / "scratch" / "params_checked" / f"{params._fingerprint()}.json"
        if not mark.exists():
            grid = params.ablations
            parts = (params.datasets, params.tasks, params.encoders, params.priors, params.evaluations, params.probes)
            for part in (*parts, grid.rows, grid.probes, grid.table_configs):
                for name in part:
                    part[name]
            params.referee, grid.referee  # noqa: B018
            write_json(mark, {"scale": params.scale})
        return params

    def _fingerprint(self) -> str:
        code = [sha256_file(path) for path in sorted(PACKAGE.rglob("*.py"))]
        return sha256_json([self.scale, sha256_file(self.file.path), code])[:32]

    @functools.cached_property
    def referee(self) -> dict[str, RefereeConfig]:
        """What referees asked of the report."""
        from srledger.referee import referee_of

        return referee_of(self)

    @functools.cached_property
    def report(self) -> ReportConfig:
        """What the report shows."""
        shown: dict[str, Any] = {"referee": self.referee}
        if self.block.ablations.rows:
            ablations = {f"ablations of {self.scale}": f"../{self.scale}{ABLATIONS}/index.html"}
            shown["links"] = {**self._report.links, **ablations}
        return self._report.model_copy(update=shown)

    @functools.cached_property
    def ablations(self) -> AblationParams:
        """The ablation grid of this scale, as parameters of its own."""
        from srledger.ablation_params import AblationParams

        return AblationParams(self.file, self.scale)

    def runs(self) -> tuple[str, ...]:
        """Rows with a run of their own."""
        return tuple(self.rows)

    def holding(self, name: str) -> Params:
        """The parameters among whose rows ``name`` is: these, or those of the ablation grid."""
        return self.ablations if is_ablation(name) else self

    def row(self, name: str) -> Row:
        """A variant, student or ablation row by name. Raises SrledgerError with the nearest name."""
        rows = self.holding(name).rows
        if name not in rows:
            raise unknown_name("row", name, rows, where=self.file.path.name)
        return rows[name]

    def is_active(self, name: str) -> bool:
        """Whether a row or transfer runs at this scale; no plug-in is loaded for the answer.

        Raises SrledgerError with the nearest name.
        """
        return self.holding(name)._state(name) == "runs"

    def _state(self, name: str) -> str:
        """``runs``, ``left out`` of this scale, or why the data of a row or transfer can't be had."""
        entries = self.entries
        transfer = entries.transfers.get(name)
        if transfer is not None and not self.is_active(transfer.row):
            return "left out"
        entry = transfer or entries.variants.get(name) or entries.students.get(name)
        if entry is None:
            raise unknown_name("row", name, self.evaluations, where=self.file.path.name)
        rows = self.block.rows
        wanted = is_made(entry, self.scale) if rows == "all" else name in rows
        if not isinstance(entry, VariantEntry):
            return self._state_on(entry.task, entry.prior, None, wanted)
        at = entry.at.get(self.scale)
        settings = {**entry.config, **(at.config if at else {})}
        return self._state_on(entry.task, entry.prior, entry.encoder, wanted, settings)

    def _state_on(
        self, task: str, prior: str, encoder: str | None, wanted: bool, settings: Mapping[str, Any] | None = None
    ) -> str:
        """A row is left out where its task, prior or encoder is not made; where weights can't be had, it says so."""
        data = self.block.datasets[self.entries.tasks[task].dataset]
        made = is_made(self.entries.tasks[task], self.scale) and is_made(self.entries.all_priors[prior], self.scale)
        parts = () if encoder is None else self.entries.encoders_of(encoder)
        made = made and all(is_made(self.entries.encoders[one], self.scale) for one in parts)
        if data is None or not wanted or not made:
            return "left out"
        no_encoder = None if encoder is None else why_no_encoder(self, encoder)
        no_weights = why_no_weights_of(self, settings or {})
        return data.unavailable or why_no_prior(self, prior) or no_encoder or no_weights or "runs"

    def why_unavailable(self, name: str) -> str | None:
        """Why data or prior of a row or transfer that this scale wants can't be had; None otherwise."""
        state = self.holding(name)._state(name)
        return None if state in ("runs", "left out") else state

    def metrics_of(self, task: Task) -> tuple[str, ...]:
        """Metrics of a task, those of every task first."""
        return tuple(dict.fromkeys((*self.entries.metrics, *task.metrics)))

    def _layered(self, model: type[Any], *paths: KeyPath) -> Any:
        return parse(self.file, model, self._layers(*paths))

    def _layers(self, *paths: KeyPath) -> list[Layer]:
        return [Layer(path, self._at(path)) for path in paths]

    def _at(self, keys: KeyPath) -> Mapping[str, Any]:
        node: Any = self.file.values
        for key in keys:
            node = node.get(key) if isinstance(node, Mapping) else None
        return {} if node is None else node

    def _must_be(self, kind: str, name: str, allowed: Mapping[str, Any] | list[str], *keys: str | int) -> None:
        if name not in allowed:
            raise unknown_name(kind, name, allowed, where=self.file.place(keys))

    def _check_names(self) -> None:
        entries = self.entries
        for name in entries.scales:
            self._must_be("scale", name, list(SCALES), "scales", name)
        row_names = [*entries.variants, *entries.students, *entries.transfers]
        for name in row_names:
            if row_names.count(name) > 1:
                raise SrledgerError("a row's name stands twice", where=self.file.place(("students", name)), found=name)
            if is_ablation(name):
                raise SrledgerError(
                    f"'{ABLATION_MARK}' stands in the names of ablation rows alone",
                    where=self.file.place(("variants", name)), found=name, mend="rename the row",
                )  # fmt: skip
        for scale, block in entries.scales.items():
            for name in entries.datasets:
                if name not in block.datasets:
                    raise SrledgerError(
                        f"scale '{scale}' says nothing of dataset '{name}'",
                        where=self.file.place(("scales", scale, "datasets")),
                        expected=f"an entry '{name}' (null: this scale does without it)",
                    )
            for name in block.datasets:
                self._must_be("dataset", name, entries.datasets, "scales", scale, "datasets", name)
            for name in block.tasks:
                self._must_be("task", name, entries.tasks, "scales", scale, "tasks", name)
            for name in block.rows if block.rows != "all" else ():
                self._must_be("row", name, row_names, "scales", scale, "rows")
        for kind, group in (
            ("variants", entries.variants), ("students", entries.students), ("probes", entries.probes)
        ):  # fmt: skip
            for name, entry in group.items():
                for scale in entry.at:
                    self._must_be("scale", scale, list(SCALES), kind, name, "at", scale)
        for name in entries.encoders:
            if name in row_names or is_ablation(name):
                raise SrledgerError("a row and an encoder share a name", where=self.file.place(("encoders", name)))
        check_pairs(self)
        check_scales(self)
        for name in entries.metrics:
            self._check_metric(name, ("metrics",))
        known_weights = catalogue()
        for scale, block in entries.scales.items():
            for name in block.weights:
                self._must_be("weights", name, known_weights, "scales", scale, "weights")

    def _check_metric(self, name: str, keys: KeyPath) -> None:
        plugins = plugin_names("metrics")
        plugin = name.rpartition("_crop")[0] if name.rpartition("_crop")[2].isdigit() else name
        if plugin not in plugins:
            raise SrledgerError(
                f"unknown metric '{name}'",
                where=self.file.place(keys),
                found=name,
                expected="one of " + ", ".join(plugins) + ", each also with _crop<px>",
                nearest=nearest_name(plugin, plugins),
            )

    def _dataset(self, name: str) -> Dataset:
        entry = self.block.datasets[name]
        if entry is None or entry.source is None:
            return Dataset(name, None, None, entry.unavailable if entry else None)
        keys = ("scales", self.scale, "datasets", name)
        self._must_be("source", entry.source, plugin_names("data"), *keys, "source")
        return Dataset(name, entry.source, self._layered(plugin_config("data", entry.source), (*keys, "config")))

    def _check_prior(self, prior: str, task: str, *keys: str | int) -> None:
        self._must_be("prior", prior, self.priors, *keys, "prior")
        if task not in tasks_of(self, prior):
            raise SrledgerError(
                f"prior '{prior}' is not made for task '{task}'", where=self.file.place((*keys, "prior")), found=prior,
                expected="one of " + ", ".join(name for name in self.priors if task in tasks_of(self, name)),
                mend=f"add {task} to {'.'.join(place_of_prior(self, prior))}.tasks",
            )  # fmt: skip

    def _row(self, name: str) -> Row:
        kind: Literal["variant", "student"] = "variant" if name in self.entries.variants else "student"
        group = f"{kind}s"
        return self._made_row(name, kind, getattr(self.entries, group)[name], (group, name))

    def _made_row(
        self,
        name: str,
        kind: Literal["variant", "student", "ablation"],
        entry: VariantEntry,
        here: tuple[str, ...],
        more_config: Sequence[Layer] = (),
        more_training: Sequence[Layer] = (),
        prior_at: tuple[str | int, ...] = (),
    ) -> Row:
        """The row of an entry that stands at ``here``, with further layers over its own settings.

        ``prior_at``: where its prior is named, if not there.
        """
        self._must_be("method", entry.method, plugin_names("methods"), *here, "method")
        self._must_be("task", entry.task, self.tasks, *here, "task")
        self._check_prior(entry.prior, entry.task, *here)
        if kind != "ablation":
            check_prior_of_graph(self, entry.prior, *here)
        at = (*here, "at", self.scale)
        config = parse(
            self.file,
            plugin_config("methods", entry.method),
            [*self._layers((*here, "config"), (*at, "config")), *more_config],
        )
        defaults = ("training",), ("scales", self.scale, "training")
        training = parse(
            self.file,
            TrainingConfig,
            [*self._layers(*defaults, (*here, "training"), (*at, "training")), *more_training],
        )
        task = self.tasks[entry.task]
        if plugin_class("methods", entry.method).trainable:
            demand_reference(self, task, "a row that is trained", *here, "task")
        crop = training.crop_px
        if crop is not None and crop % task.scale_factor:
            raise SrledgerError(
                "the scale factor does not divide the crop", where=self.file.place((*here, "training")),
                found=f"crop_px {crop}, scale_factor {task.scale_factor}",
                expected=f"a multiple of {task.scale_factor}",
            )  # fmt: skip
        check_reader(self, entry.method, config, self.priors[entry.prior], prior_at or (*here, "prior"))
        check_crop(self, training, self.priors[entry.prior], task, (*here, "training"))
        encoder = encoder_of_row(self, entry, config, here)
        teacher = self._teacher(name, entry, training) if isinstance(entry, StudentEntry) else None
        return Row(
            name, kind, entry.method, config, training, task, self.priors[entry.prior], teacher, self.is_active(name),
            encoder,
        )  # fmt: skip

    def _teacher(self, name: str, entry: StudentEntry, training: TrainingConfig) -> Row:
        here = ("students", name)
        self._must_be("teacher", entry.teacher, self.entries.variants, *here, "teacher")
        teacher = self.rows[entry.teacher]
        same = ("method", "task", "prior", "encoder")
        ours, theirs = (
            [getattr(one, key) for key in same] for one in (entry, self.entries.variants[entry.teacher])
        )  # fmt: skip
        if ours != theirs:
            raise SrledgerError(
                "a student must have its teacher's method, task, prior and encoder", where=self.file.place(here),
                found=", ".join(ours), expected=", ".join(theirs),
            )  # fmt: skip
        if self.is_active(name) and not self.is_active(entry.teacher):
            raise SrledgerError(
                "a student runs without its teacher", where=self.file.place(("scales", self.scale, "rows")), found=name,
                expected=f"{entry.teacher} beside it",
            )  # fmt: skip
        missing = sorted(set(training.seeds) - set(teacher.training.seeds))
        if missing:
            raise SrledgerError(
                "a student has seeds that its teacher lacks", where=self.file.place((*here, "training")), found=missing,
                expected=f"some of {list(teacher.training.seeds)}",
            )  # fmt: skip
        return teacher

    def _evaluation(self, name: str) -> Evaluation:
        if name not in self.rows:
            return transfer_of(self, name)
        row = self.rows[name]
        return Evaluation(name, row, row.task, row.prior, row.active, self.why_unavailable(name))

    def _probe(self, name: str) -> ProbeSpec:
        from srledger.probing.spec import probe_spec

        return probe_spec(self, name)
