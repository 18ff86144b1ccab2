"""What a probe may look at: test images, prior maps, per-image rows, and every row's restored images.

Restored images are taken from what the evaluation saved, where it saved enough of them, and are made again from the
weights otherwise: by the evaluation's own function in the evaluation's own batches, and so to the same bit.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from srledger.config import Evaluation, Params
from srledger.io import read_json
from srledger.layout import Layout
from srledger.packs import Pack
from srledger.probes import ProbeUnavailable

if TYPE_CHECKING:
    import torch

    from srledger.diffusion.sampler import State
    from srledger.encoders import Encoder
    from srledger.evaluation.measure import Panel
    from srledger.methods import Method
    from srledger.training.batches import Examples

Images = list[np.ndarray]  # uint8 H x W x 3 each
RestoredKey = tuple[str, int, int]  # row, training seed, sample


@dataclasses.dataclass(frozen=True)
class Chains:
    """How the first images of a batch came about.

    Attributes:
        positions: among the test images. restored: uint8 ``B x 3 x H x W``, what the evaluation has.
        states: every step of every sample, in the method's own space, on the CPU.
    """

    positions: list[int]
    restored: torch.Tensor
    states: list[State]


class Source:
    """Everything of one task that a probe of a report looks at.

    Args:
        evaluations: row -> the evaluation of it on ``task`` that has results (its own, or a transfer), in the order
            in which a reader wants them.
        say: called with a few words before something that takes long.
        restored: images that were restored for other probes of this task; taken from, and added to.
        priors: those of the probe's priors that have maps at this scale.
        encoders: those of the probe's detectors, codecs or recognisers that were made at this scale.
    """

    def __init__(
        self,
        params: Params,
        layout: Layout,
        task: str,
        evaluations: Mapping[str, str],
        say: Callable[[str], None],
        restored: dict[RestoredKey, Images] | None = None,
        priors: Sequence[str] = (),
        encoders: Sequence[str] = (),
    ) -> None:
        self.params, self.layout, self.task = params, layout, task
        self.rows, self.priors, self.encoders = tuple(evaluations), tuple(priors), tuple(encoders)
        self.say = say
        self._evaluations = dict(evaluations)
        self._restored: dict[RestoredKey, Images] = {} if restored is None else restored

    def ids(self, count: int) -> list[str]:
        """Ids of the first ``count`` test images that the rows were measured on."""
        measured = min([count, *(self.result(row)["n_test"] for row in self.rows)])
        return self._pack("hr").ids[:measured]

    def hr(self, count: int) -> Images:
        """HR images, uint8 ``H x W x 3``."""
        return [np.asarray(self._pack("hr").by_id(image_id)) for image_id in self.ids(count)]

    def lr(self, count: int) -> Images:
        """LR images, uint8 ``h x w x 3``."""
        return [np.asarray(self._pack("lr").by_id(image_id)) for image_id in self.ids(count)]

    def maps(self, prior: str, count: int) -> list[np.ndarray]:
        """float64 ``H x W`` maps in [0, 1] of the first ``count`` test images; constant ones are spread."""
        maps = Pack(self.layout.prior(prior) / self.task / "test")
        hr = self._pack("hr")
        sizes = dict(zip(hr.ids, hr.shapes, strict=True))
        return [
            np.broadcast_to(maps.by_id(image_id)[..., 0].astype(np.float64), sizes[image_id][:2])
            for image_id in self.ids(count)
        ]

    def landmarks(self, count: int) -> list[np.ndarray | None]:
        """Landmarks of the first ``count`` test images, float64 ``5 x 2`` (x, y) in HR pixels; None where unknown."""
        found = self._landmarks("test")
        return [found[image_id] for image_id in self.ids(count)]

    def identities(self, count: int) -> list[str | None]:
        """Who is shown by the first ``count`` test images; None where unknown."""
        images = read_json(self.layout.packs(self.task) / "images.json")
        found = {image["id"]: image["identity"] for image in images if image["split"] == "test"}
        return [found[image_id] for image_id in self.ids(count)]

    def train_landmarks(self) -> list[np.ndarray]:
        """Landmarks of the training images that have some, float64 ``5 x 2`` in HR pixels."""
        return [points for points in self._landmarks("train").values() if points is not None]

    def encoder(self, name: str) -> Encoder:
        """A detector, codec or recogniser that was made at this scale, frozen."""
        from srledger.pipeline_encoders import load_encoder
        from srledger.training.determinism import prepare_torch

        prepare_torch(self.params.evaluation.threads, "cpu")
        return load_encoder(self.layout.encoder(name))

    def result(self, row: str) -> dict[str, Any]:
        """The record of a row's evaluation."""
        return read_json(self._folder(row) / "result.json")

    def seeds(self, row: str, count: int = 1) -> list[int]:
        """The first ``count`` training seeds of a row (all, where it has fewer)."""
        return list(self.result(row)["seeds"])[:count]

    def row_of(self, name: str) -> str | None:
        """The row behind a name that may be a transfer's; None where it has no results."""
        return next((row for row, evaluation in self._evaluations.items() if name in (row, evaluation)), None)

    def trained(self, seeds: int) -> Iterator[tuple[str, int]]:
        """(row, training seed): every row, with its first ``seeds`` seeds."""
        return ((row, seed) for row in self.rows for seed in self.seeds(row, seeds))

    def values(self, row: str) -> pa.Table:
        """Per-image metrics of a row: ``image_id``, ``seed`` and a column per metric."""
        import pyarrow.parquet as parquet

        return parquet.read_table(self._folder(row) / "rows.parquet")

    def panel(self, metrics: Sequence[str]) -> Panel:
        """The metrics of a list that can be had; the reasons of the others are in ``Panel.unavailable``."""
        from srledger.evaluation.measure import Panel
        from srledger.metrics import LandmarkMetric

        panel = Panel(metrics, self.params.block.weights, self.layout)
        for name, (_, metric) in list(panel.metrics.items()):
            if metric.reads == "float" or isinstance(metric, LandmarkMetric):
                panel.leave_out(name, f"{name} reads more than 8-bit images, and probes have no more")
        return panel

    def restored(self, row: str, seed: int, count: int, sample: int = 0) -> Images:
        """Restored images of the first ``count`` test images, uint8 ``H x W x 3``, by one training seed.

        ``sample`` 0 is the image that the tables were measured on; 1, 2, ... draw the noise of the method anew.
        """
        key = (row, seed, sample)
        ids = self.ids(count)
        if len(self._restored.get(key, ())) < len(ids):
            saved = self._saved(row, ids) if sample == 0 and seed == self.seeds(row)[0] else None
            self._restored[key] = saved or self._restore(row, seed, len(ids), sample)
        return self._restored[key][: len(ids)]

    def chains(self, row: str, seed: int, count: int) -> Iterator[Chains]:
        """How a row samples the first ``count`` test images; nothing for a method whose ``restore`` takes no trace.

        Noise and batches are the evaluation's, so the images are those that the tables were measured on.
        """
        from srledger.evaluation.restore import restore_batch

        method, test = self._ready(row, seed)
        if "trace" not in inspect.signature(method.restore).parameters:
            return
        noise = self._evaluation(row).row.trained.name
        count = len(self.ids(count))
        for positions in self._batches(test, row, count):
            wanted = [k for k in positions if k < count]
            states: list[State] = []

            def keep(state: State, kept: int = len(wanted), states: list[State] = states) -> None:
                parts = (part[:kept].cpu() for part in (state.mask, state.z.float(), state.z0.float()))
                states.append(type(state)(state.step, state.steps, *parts))

            traced = types.SimpleNamespace(restore=functools.partial(cast(Any, method).restore, trace=keep))
            sr, _ = restore_batch(cast("Method", traced), test, positions, noise, seed, self.params.evaluation)
            yield Chains(wanted, sr[: len(wanted)], states)

    def _evaluation(self, row: str) -> Evaluation:
        return self.params.evaluations[self._evaluations[row]]

    def _folder(self, row: str) -> Path:
        return self.layout.result(self._evaluations[row])

    def _pack(self, kind: str) -> Pack:
        return Pack(self.layout.packs(self.task) / f"test_{kind}")

    def _landmarks(self, split: str) -> dict[str, np.ndarray | None]:
        images = read_json(self.layout.packs(self.task) / "images.json")
        return {
            image["id"]: None if image["landmarks"] is None else np.array(image["landmarks"], np.float64)
            for image in images if image["split"] == split
        }  # fmt: skip

    def _saved(self, row: str, ids: Sequence[str]) -> Images | None:
        pack = Pack(self._folder(row) / "sr")
        return [np.array(pack.by_id(image_id)) for image_id in ids] if set(ids) <= set(pack.ids) else None

    def _restore(self, row: str, seed: int, count: int, sample: int) -> Images:
        from srledger.evaluation.restore import restore_batch

        self.say(f"{row}, seed {seed}" + (f", sample {sample}" if sample else ""))
        method, test = self._ready(row, seed)
        noise = self._evaluation(row).row.trained.name
        images: Images = []
        for positions in self._batches(test, row, count):
            sr, _ = restore_batch(method, test, positions, noise, seed, self.params.evaluation, sample)
            images += [image.permute(1, 2, 0).numpy() for image in sr]
        return images

    def _ready(self, row: str, seed: int) -> tuple[Method, Examples]:
        """A row's method with the weights of one training seed, and the test images with its prior's maps."""
        from srledger.evaluation.restore import load_method
        from srledger.training.batches import Examples
        from srledger.training.determinism import prepare_torch

        settings = self.params.evaluation
        prepare_torch(settings.threads, settings.device)
        evaluation = self._evaluation(row)
        run: Path = self.layout.run(evaluation.row.trained.name)
        if not (run / "run.json").exists():  # a row of another machine, kept with its numbers alone
            raise ProbeUnavailable(f"the restored images and the weights of '{row}' are not at hand")
        method = load_method(evaluation, self.layout, seed).to(settings.device)
        maps = self.layout.prior(evaluation.prior.name) / self.task
        return method, Examples(self.layout.packs(self.task), maps, "test")

    def _batches(self, test: Examples, row: str, count: int) -> Iterator[list[int]]:
        """The evaluation's own batches that hold the first ``count`` images; the last one whole.

        For the last bits of an image may hang on the size of its batch.
        """
        from srledger.evaluation.restore import batches_of_one_size

        batches = batches_of_one_size(test, self.result(row)["n_test"], self.params.evaluation.batch_size)
        return itertools.takewhile(lambda batch: batch[0] < count, batches)


def measure_images(panel: Panel, ours: Images, theirs: Images) -> Mapping[str, list[float]]:
    """Per-image values of every metric of ``panel`` that is a number per image; images may differ in size."""
    import torch

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]

    measured = panel.start_seed()
    for sr, hr in zip(ours, theirs, strict=True):
        panel.take(tensor(sr), tensor(hr), measured)
    return measured.images
