"""The settings of one scale as values: what a stage is handed. ``config`` makes them from params.yaml."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from srledger.errors import unknown_name
from srledger.plugins import PluginConfig, plugin_class
from srledger.training.config import TrainingConfig

if TYPE_CHECKING:
    from srledger.entries import Jitter

Made = TypeVar("Made")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset at the current scale.

    ``source`` is None when the scale does without it, and when it can't be had yet: then ``unavailable`` says why.
    """

    name: str
    source: str | None
    config: PluginConfig | None
    unavailable: str | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """A task at the current scale. ``made`` is False where its entry names other scales."""

    name: str
    dataset: Dataset
    degradation: str
    config: PluginConfig
    scale_factor: int
    hr_size_px: int | None
    metrics: tuple[str, ...]
    jitter: Jitter | None = None
    made: bool = True

    @property
    def active(self) -> bool:
        """Whether the scale makes this task and has its dataset."""
        return self.made and self.dataset.source is not None

    @property
    def why_inactive(self) -> str | None:
        """What a scale does without that has no such task; None where it is active."""
        if self.dataset.source is None:
            return f"dataset {self.dataset.name}"
        return None if self.made else f"task {self.name}"

    @property
    def has_reference(self) -> bool:
        """Whether HR images are better than what is restored: only then can a metric compare with them."""
        return bool(plugin_class("degradations", self.degradation).gives_reference)

    def set_apart(self) -> dict[str, Any]:
        """Jitter and want of a reference as entries of a record; empty for most: what was recorded before tasks had
        them stays as it is."""
        moved = {"jitter": self.jitter.model_dump(mode="json")} if self.jitter else {}
        return moved if self.has_reference else {**moved, "reference": False}


@dataclasses.dataclass(frozen=True)
class EncoderSpec:
    """An encoder of the pipeline at the current scale: trained in it, left as it was drawn, published, or a rule.

    With a ``judge`` it is the first of a pair, of whose name it goes.
    """

    name: str
    plugin: str
    weights: Literal["trained", "random", "published", "rule", "none"]
    config: PluginConfig
    training: TrainingConfig
    task: Task
    judge: EncoderSpec | None = None

    def resolved(self) -> dict[str, Any]:
        """Everything that decides its weights, beside the images."""
        return {
            "plugin": self.plugin,
            "weights": self.weights,
            "config": self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json") if self.weights == "trained" else None,
            "task": self.task.name,
            **({"judge": self.judge.resolved()} if self.judge else {}),
        }


@dataclasses.dataclass(frozen=True)
class PriorSpec:
    """A prior and the tasks that it is computed for; what its maps are made from, beside the images."""

    name: str
    plugin: str
    config: PluginConfig
    tasks: tuple[str, ...]
    encoder: EncoderSpec | None = None
    of: PriorSpec | None = None

    def resolved(self) -> dict[str, Any]:
        """Everything that decides its maps, beside the images."""
        made_from = {
            key: spec.resolved() for key, spec in (("encoder", self.encoder), ("of", self.of)) if spec is not None
        }
        return {"plugin": self.plugin, "config": self.config.model_dump(mode="json"), **made_from}

    @property
    def has_tokens(self) -> bool:
        """Whether it gives a grid of tokens in the place of a map: its own, or those of the prior it is made from."""
        plugin = plugin_class("priors", self.plugin)
        return bool(plugin.gives_tokens or (plugin.takes_tokens and self.of is not None and self.of.has_tokens))

    @property
    def token_encoder(self) -> EncoderSpec | None:
        """The encoder whose tokens it gives; None for maps."""
        if not self.has_tokens:
            return None
        return self.encoder or (self.of.token_encoder if self.of else None)

    @property
    def has_prompts(self) -> bool:
        """Whether its tokens are prompts: of the whole image, in one column, without places."""
        if plugin_class("priors", self.plugin).needs_prompts:
            return True
        return self.has_tokens and self.of is not None and self.of.has_prompts

    @property
    def token_width(self) -> int | None:
        """Channels of a token, or of a prompt; None for maps."""
        if (encoder := self.token_encoder) is None:
            return None
        plugin = plugin_class("encoders", encoder.plugin)
        width: int = (plugin.prompt_width if self.has_prompts else plugin.token_width)(encoder.config)
        return width


@dataclasses.dataclass(frozen=True)
class Row:
    """A variant, a student or an ablation's row at the current scale: one row of the tables.

    ``weights_of`` is None, or the row whose weights it takes: then it is not trained, and restores with settings of
    its own.
    """

    name: str
    kind: Literal["variant", "student", "ablation"]
    method: str
    config: PluginConfig
    training: TrainingConfig
    task: Task
    prior: PriorSpec
    teacher: Row | None
    active: bool
    encoder: EncoderSpec | None = None  # the frozen network that it builds on
    weights_of: Row | None = None

    @property
    def trained(self) -> Row:
        """The row that is trained: itself, or the one whose weights it takes."""
        return self.weights_of or self

    def resolved(self) -> dict[str, Any]:
        """Everything that decides this row's weights (its own settings, where it takes another's), as JSON values."""
        return {
            "method": self.method,
            "config": self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json"),
            "task": self.task.name,
            "scale_factor": self.task.scale_factor,
            "prior_name": self.prior.name,
            "prior": self.prior.resolved(),
            "teacher_name": self.teacher.name if self.teacher else None,
            "teacher": self.teacher.resolved() if self.teacher else None,
            # Only where there is one: rows measured before rows named an encoder keep their hash.
            **({"encoder_name": self.encoder.name, "encoder": self.encoder.resolved()} if self.encoder else {}),
        }


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A row measured on a task: the row's own, or a transfer's."""

    name: str
    row: Row
    task: Task
    prior: PriorSpec
    active: bool
    unavailable: str | None = None  # why its data can't be had: the row stands in the tables and says so


@dataclasses.dataclass(frozen=True)
class ProbeSpec:
    """A probe of one report at the current scale."""

    name: str
    title: str
    plugin: str
    config: PluginConfig

    def resolved(self) -> dict[str, Any]:
        """Everything in params.yaml that decides its numbers and its words."""
        return {"title": self.title, "plugin": self.plugin, "config": self.config.model_dump(mode="json")}


class Lazily(Mapping[str, Made]):
    """Named things that are made, and so checked, when they are first asked for.

    A stage that trains nothing must not import the networks of all rows to read params.yaml.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], Made]) -> None:
        self._names = tuple(names)
        self._make = make
        self._made: dict[str, Made] = {}

    def __getitem__(self, name: str) -> Made:
        if name not in self._names:
            raise unknown_name("name", name, self._names, where="params.yaml")
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
