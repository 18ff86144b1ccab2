"""The shape of params.yaml: what may stand under each key. ``config`` makes settings of one scale from it."""

from __future__ import annotations

import functools
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from srledger.plugins import PluginConfig
from srledger.reporting.config import Question

SCALES = ("smoke", "quick", "celeba_cpu", "celeba_gpu", "paper")


class DatasetScale(PluginConfig):
    """A dataset at one scale: where it comes from, or why it can't be had yet (its rows then say so)."""

    source: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    unavailable: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.source is None) == (self.unavailable is None) or (self.unavailable is not None and self.config):
            raise ValueError("give source (and its config), or unavailable: <why>")
        return self


class DatasetEntry(PluginConfig):
    """A dataset's entry under ``datasets``."""

    description: str


class TaskScale(PluginConfig):
    """What one scale says of a task."""

    hr_size_px: int | None = Field(
        default=None, ge=8, description="HR images are reduced to this square; null: as they are"
    )
    metrics: tuple[str, ...] | None = Field(default=None, description="in place of the task's own; null: those")


class Jitter(PluginConfig):
    """How far the HR images of a task are moved: shifts and zooms of images are drawn evenly within these limits."""

    shift: float = Field(ge=0, lt=1, description="most, in each direction, as a part of the side")
    scale: float = Field(ge=0, lt=1, description="zooms lie in [1 - scale, 1 + scale]")


class TaskEntry(PluginConfig):
    """A task's entry under ``tasks``."""

    dataset: str
    degradation: str
    scale_factor: int = Field(ge=1)
    hr_size_px: int | None = Field(default=None, ge=8, description="where no scale says another")
    jitter: Jitter | None = Field(default=None, description="moves every HR image; null: as the dataset has it")
    config: dict[str, Any] = Field(default_factory=dict, description="of the degradation")
    metrics: tuple[str, ...] = Field(default=(), description="beside the metrics of every task")
    scales: tuple[str, ...] | Literal["all"] = Field(default="all", description="where its images are made")


class Overrides(PluginConfig):
    """What a row, an encoder or a table of the grid changes at one scale."""

    config: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


class EncoderEntry(PluginConfig):
    """An encoder's entry under ``encoders``."""

    encoder: str = Field(description="the plug-in")
    task: str = Field(description="whose training images it learns from")
    weights: Literal["trained", "random", "published", "rule", "none"] = Field(
        default="trained",
        description="random: the control, as it was drawn; published: of the weights catalogue; rule: it needs none; "
        "none: of `none` alone",
    )
    config: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    scales: tuple[str, ...] | Literal["all"] = Field(default="all", description="where it is made")
    at: dict[str, Overrides] = Field(default_factory=dict, description="changes at a scale")


class EncoderPairEntry(PluginConfig):
    """An entry under ``encoder_pairs``: what a row's ``encoder`` may name in the place of an encoder.

    The weights of both decide those of the row; a run saves those of the first.
    """

    encoder: str = Field(description="the frozen network that the method builds on")
    judge: str = Field(description="another that its loss alone compares images with")


class PriorEntry(PluginConfig):
    """A prior's entry under ``priors``."""

    prior: str | None = Field(default=None, description="the plug-in; null: the entry's own name")
    tasks: tuple[str, ...] | Literal["all"] = "all"
    config: dict[str, Any] = Field(
        default_factory=dict, description="`encoder` and `of` name an encoder and another prior that it is made from"
    )
    scales: tuple[str, ...] | Literal["all"] = Field(default="all", description="where its maps are made")


class VariantEntry(PluginConfig):
    """A row's entry under ``variants``."""

    method: str
    task: str
    prior: str
    encoder: str = Field(
        description="the frozen network that its method builds on, or a pair; none: it builds on no other"
    )
    config: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    scales: tuple[str, ...] | Literal["all"] = Field(default="all", description="where it runs, if all rows do")
    at: dict[str, Overrides] = Field(default_factory=dict, description="changes at a scale")


class StudentEntry(VariantEntry):
    """A row's entry under ``students``."""

    teacher: str


class TransferEntry(PluginConfig):
    """A trained row measured on a task that it was not trained on, or restoring with settings that are not its own."""

    row: str
    task: str
    prior: str
    config: dict[str, Any] = Field(
        default_factory=dict, description="settings that no training reads, changed when the row's weights restore"
    )
    scales: tuple[str, ...] | Literal["all"] = Field(default="all", description="where it runs, if all rows do")


class FactorEntry(PluginConfig):
    """What an ablation changes: one setting through ``values``, or several together through named ``levels``.

    A setting is named by its place in a row: ``prior``, ``encoder``, ``config.<setting>`` or ``training.<setting>``.
    """

    path: str | None = Field(default=None, description="the setting that takes each of `values`")
    values: tuple[Any, ...] = ()
    levels: dict[str, dict[str, Any]] = Field(default_factory=dict, description="level -> setting -> value")
    at_sampling: bool = Field(
        default=False, description="its rows are not trained: they restore with the weights of the row without it"
    )
    scales: tuple[str, ...] | Literal["all"] = Field(default="all", description="where its rows run")
    base: str | None = Field(
        default=None, min_length=1, description="what the base's own level is called; null: its value, if one changes"
    )
    published: dict[str, str] = Field(
        default_factory=dict, description="level -> papers' row beside it: `row`, `row/task` or `row/task/artefact`"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.path is None) != (not self.values) or bool(self.values) == bool(self.levels):
            raise ValueError("a factor has either `path` and `values`, or `levels`")
        return self


class AblationEntry(PluginConfig):
    """A table of the ablation report, under ``ablations``."""

    title: str
    base: str = Field(description="the variant whose settings are changed; it is a row of the table too")
    note: str = Field(default="", description="what a reader must know of it, beside what is said of every table")
    task: str | None = Field(default=None, description="of every row of this table; null: the base's own")
    factors: dict[str, FactorEntry] = Field(min_length=1)
    cross: bool = Field(default=False, description="every combination of the factors, not one factor at a time")
    config: dict[str, Any] = Field(default_factory=dict, description="of every row of this table, its base too")
    questions: tuple[Question, ...] = Field(default=(), description="what a crossed table is asked first")
    training: dict[str, Any] = Field(default_factory=dict, description="of every row of this table, its base too")
    scales: tuple[str, ...] | Literal["all"] = Field(default="all", description="where its rows run")
    at: dict[str, Overrides] = Field(default_factory=dict, description="changes at a scale")


class ProbeScale(PluginConfig):
    """What a probe changes at one scale."""

    config: dict[str, Any] = Field(default_factory=dict)


class ProbeEntry(PluginConfig):
    """An analysis of restored images or prior maps, under ``probes``."""

    title: str
    probe: str | None = Field(default=None, description="the plug-in; null: the entry's own name")
    of: Literal["main", "ablations"] = Field(default="main", description="the report that it stands in")
    config: dict[str, Any] = Field(default_factory=dict)
    at: dict[str, ProbeScale] = Field(default_factory=dict, description="changes at a scale")


class QuestionEntry(PluginConfig):
    """A question that rows answer, each against a baseline."""

    question: str
    baseline: str = Field(description="a row of the report that the others are compared with")
    rows: tuple[str, ...] = Field(min_length=1, description="rows of the baseline's task")
    metrics: tuple[str, ...] = Field(default=(), description="what it is answered in; none: what a restoration costs")


class RefereeEntry(PluginConfig):
    """What a referee asked of a paper, under ``referee``."""

    title: str
    of: Literal["main", "ablations"] = Field(default="main", description="the report that it stands in")
    text: str = ""
    probes: tuple[str, ...] = Field(default=(), description="probes of that report; they stand here alone")
    questions: dict[str, QuestionEntry] = Field(default_factory=dict)


class AblationScale(PluginConfig):
    """The ablation grid at one scale: which rows run, and on what budget."""

    rows: tuple[str, ...] | Literal["all"] = Field(description="a table's name stands for all its rows")
    training: dict[str, Any]
    evaluation: dict[str, Any]


class ScaleEntry(PluginConfig):
    """A scale's block of sizes. Every key must be there: the stages of dvc.yaml depend on each by name."""

    description: str
    rows: tuple[str, ...] | Literal["all"] = Field(description="the rows that run at this scale")
    datasets: dict[str, DatasetScale | None]
    tasks: dict[str, TaskScale]
    training: dict[str, Any]
    evaluation: dict[str, Any]
    weights: tuple[str, ...] = Field(description="weights-catalogue entries that numbers may use")
    ablations: AblationScale


class ParamsFile(PluginConfig):
    """The shape of params.yaml."""

    scale: Literal["smoke", "quick", "celeba_cpu", "celeba_gpu", "paper"]
    datasets: dict[str, DatasetEntry]
    tasks: dict[str, TaskEntry]
    encoders: dict[str, EncoderEntry]
    encoder_pairs: dict[str, EncoderPairEntry] = Field(default_factory=dict)
    priors: dict[str, PriorEntry]
    ablation_priors: dict[str, PriorEntry] = Field(
        default_factory=dict, description="maps that rows of the ablation grid alone take: made by its own graph"
    )
    variants: dict[str, VariantEntry]
    students: dict[str, StudentEntry]
    transfers: dict[str, TransferEntry]
    ablations: dict[str, AblationEntry]
    probes: dict[str, ProbeEntry]
    referee: dict[str, RefereeEntry] = Field(default_factory=dict)
    metrics: tuple[str, ...]
    training: dict[str, Any]
    evaluation: dict[str, Any]
    report: dict[str, Any]
    orchestration: dict[str, Any]
    scales: dict[str, ScaleEntry]

    @functools.cached_property
    def all_priors(self) -> dict[str, PriorEntry]:
        """Priors of the graph and of the ablation grid."""
        return {**self.priors, **self.ablation_priors}

    def encoders_of(self, name: str) -> tuple[str, ...]:
        """The encoders that a row's ``encoder`` names: itself, or both of a pair."""
        pair = self.encoder_pairs.get(name)
        return (name,) if pair is None else (pair.encoder, pair.judge)
