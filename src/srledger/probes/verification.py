"""Is a restored face still the same person? Face verification of restored images (OSDFace, figure of LFW; O-F1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from srledger.errors import SrledgerError
from srledger.evaluation.statistics import Interval
from srledger.evaluation.verification import (
    FARS,
    Curves,
    Pairs,
    auc_gain,
    curves,
    draw_pairs,
    single_images,
    verify,
)
from srledger.imresize import imresize_uint8
from srledger.probes import (
    Look,
    Measured,
    Probe,
    ProbeUnavailable,
    Quantity,
    RowsConfig,
    Shown,
    ShownCell,
    ShownFigure,
    ShownTable,
)
from srledger.probes._drawing import GREY, legend_beside, panels, style, svg
from srledger.probes._tables import arrays, names_in, table_of
from srledger.probing.source import Images, Source

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from srledger.encoders._recognition import Recogniser

CLEAN, DEGRADED = "clean HR", "degraded LR"  # the bounds, beside the rows
TYPES = {
    "recogniser": str, "row": str, "seed": int, "probe": str, "reference": str, "fold": int, "person": int,
    "other": int, "genuine": int, "score": float,
}  # fmt: skip


class Config(RowsConfig):
    """The rows, and who is to recognise."""

    images: int = Field(
        default=100_000,
        ge=1,
        description="the first test images; who is on one of them alone drops out",
    )
    recognisers: tuple[str, ...] = Field(
        min_length=1,
        description="entries of `encoders` that recognise; those that can't be had are named and passed over",
    )


class Verification(Probe):
    """Every genuine pair of test images and as many impostor pairs, in ten folds that share no person: the restored
    image of the one against the clean HR image of the other, by the cosine of a recogniser's vectors.

    The clean HR image in the place of the restored one is the upper bound, the degraded LR image (enlarged bicubic) the
    lower one. What a recogniser tells of clean faces stands first: by one that tells little, no method can be judged.
    Intervals are over people: both the genuine and the impostor pairs of a person come and go together.
    """

    config: Config

    def measure(self, source: Source) -> Measured:
        count = self.config.images
        identities = source.identities(count)
        known = [k for k, identity in enumerate(identities) if identity is not None]
        single = set(single_images([str(identities[k]) for k in known]))
        kept = [k for k in known if identities[k] not in single]
        try:
            pairs = draw_pairs([str(identities[k]) for k in kept], source.task)
        except SrledgerError as why:
            raise ProbeUnavailable(f"{why.problem}: {why.facts['found']}") from why
        every_id, every_hr, every_point = source.ids(count), source.hr(count), source.landmarks(count)
        ids, hr, points = [every_id[k] for k in kept], [every_hr[k] for k in kept], [every_point[k] for k in kept]
        facts: dict[str, Any] = {
            "images": len(kept), "people": len({identities[k] for k in kept}), "single": len(single),
            "unnamed": len(identities) - len(known), "genuine": int(pairs.genuine.sum()),
            "impostors": int((~pairs.genuine).sum()), "folds": len(set(pairs.fold.tolist())), "recognisers": {},
            "passed_over": {},
        }  # fmt: skip
        lines: list[tuple[object, ...]] = []
        for name in source.encoders:
            source.say(name)
            network: Any = source.encoder(name)
            if network.needs_landmarks and any(one is None for one in points):
                facts["passed_over"][name] = "it needs landmarks, and images have none"
                continue
            facts["recognisers"][name] = _about(source, name, hr[0].shape[0])
            references = _vectors(network, hr, points)
            for row, seed, images in self._probes(source, kept, hr):
                vectors = references if row == CLEAN else _vectors(network, images, points)
                scores = (vectors[pairs.probe] * references[pairs.reference]).sum(axis=1)
                lines += [(name, row, seed, *line) for line in _lines(ids, pairs, scores)]
        if not lines:
            raise ProbeUnavailable("none of its recognisers can look at these images")
        return Measured(table_of(TYPES, lines), facts)

    def _probes(self, source: Source, kept: Sequence[int], hr: Images) -> Iterator[tuple[str, int, Images]]:
        """(row, seed, images): the bounds, and what every row made of the images."""
        count = self.config.images
        lr = source.lr(count)
        yield CLEAN, 0, hr
        yield DEGRADED, 0, [imresize_uint8(lr[k], *image.shape[:2]) for k, image in zip(kept, hr, strict=True)]
        for row, seed in source.trained(self.config.seeds):
            restored = source.restored(row, seed, count)
            yield row, seed, [restored[k] for k in kept]

    def show(self, found: Measured, look: Look) -> Shown:
        columns = arrays(found.table)
        figures, lines = [], []
        for name in names_in(columns, "recogniser"):
            sets = {
                (row, seed): _of(columns, (columns["recogniser"] == name) & (columns["row"] == row), seed)
                for row in (CLEAN, DEGRADED, *look.rows)
                for seed in ((0,) if row in (CLEAN, DEGRADED) else look.seeds[row])
            }
            base = sets[DEGRADED, 0][0]
            for (row, seed), (scores, pairs) in sets.items():
                seen = "" if row in (CLEAN, DEGRADED) else seed
                lines.append((name, row, seen, *_numbers(scores, base, pairs, row, look)))
            first = {row: curves(scores, pairs.genuine) for (row, seed), (scores, pairs) in reversed(sets.items())}
            for kind, words in (("roc", "ROC curve, FAR on a logarithmic axis"), ("pr", "precision and recall")):
                drawn = _draw(kind, name, dict(reversed(first.items())), found.facts["impostors"], look)
                figures.append(ShownFigure(f"{kind}_{name}", f"{words}, by {name}", drawn))
        head = (
            "recogniser", "probe image", "seed", "AUC", "AUC minus that of LR", "average precision", "EER (%)",
            *(f"TAR at FAR {100 * far:g} % (%)" for far in FARS), "accuracy (%)",
        )  # fmt: skip
        table = ShownTable(
            "verification", "Face verification: the probe image against a clean HR image", head, tuple(lines),
            tuple(_notes(found.facts)),
        )  # fmt: skip
        return Shown(figures=tuple(figures), tables=(table,))


def _about(source: Source, name: str, side_px: int) -> str:
    from srledger.probing.networks import network_facts

    return f"{network_facts(source.params, name)['learned']}; it sees images of {side_px} px"


def _vectors(network: Recogniser, images: Images, landmarks: Sequence[np.ndarray | None]) -> np.ndarray:
    """float64 ``N x D``, image by image, so that a vector does not hang on the images beside it."""
    import torch

    from srledger.training.batches import to_tensor

    with torch.inference_mode():
        found = [
            network.embed_faces(to_tensor([image]), [points])[0]
            for image, points in zip(images, landmarks, strict=True)
        ]
    return torch.stack(found).double().numpy()


def _lines(ids: Sequence[str], pairs: Pairs, scores: np.ndarray) -> Iterator[tuple[object, ...]]:
    for k in range(len(pairs)):
        yield (
            ids[int(pairs.probe[k])], ids[int(pairs.reference[k])], int(pairs.fold[k]), int(pairs.person[k]),
            int(pairs.other[k]), int(pairs.genuine[k]), float(scores[k]),
        )  # fmt: skip


def _of(columns: Mapping[str, np.ndarray], mask: np.ndarray, seed: int) -> tuple[np.ndarray, Pairs]:
    """(scores, pairs) of a row and seed; images are numbered by their ids."""
    here = mask & (columns["seed"] == seed)
    both = np.stack([columns["probe"][here], columns["reference"][here]])
    probe, reference = np.unique(both, return_inverse=True)[1].reshape(both.shape)
    rest = [columns[key][here] for key in ("fold", "person", "other")]
    return columns["score"][here], Pairs(probe, reference, columns["genuine"][here] == 1, *rest)


def _numbers(scores: np.ndarray, base: np.ndarray, pairs: Pairs, row: str, look: Look) -> Iterator[ShownCell]:
    found = verify(scores, pairs, look.task, look.resamples, look.alpha)
    yield Quantity.of(found.auc, 4)
    yield (
        None
        if row == DEGRADED
        else Quantity.of(auc_gain(scores, base, pairs, look.task, look.resamples, look.alpha), 4)
    )
    yield Quantity.of(found.average_precision, 4)
    for one in (found.eer, *found.tar, found.accuracy):
        yield None if math.isnan(one.value) else Quantity.of(_percent(one), 1)


def _percent(one: Interval) -> Interval:
    low, high = (None if bound is None else 100 * bound for bound in (one.low, one.high))
    return Interval(100 * one.value, low, high, one.n)


def _draw(kind: str, name: str, found: Mapping[str, Curves], impostors: int, look: Look) -> str:
    bounds = {CLEAN: (GREY, "--"), DEGRADED: (GREY, ":")}
    with style():
        figure, (axes,) = panels(1, 2.2)
        for row, one in found.items():
            colour, line = bounds.get(row, (look.colours.get(row, GREY), "-"))
            _draw_curve(axes, kind, one, color=colour, linestyle=line, linewidth=1.3, label=row)
        axes.set_ylim(0, 1.02)
        if kind == "roc":
            axes.set_xscale("log")
            axes.set_xlim(1 / impostors, 1)
        axes.set_xlabel("FAR" if kind == "roc" else "recall", color=GREY)
        axes.set_ylabel("TAR" if kind == "roc" else "precision")
        axes.set_title(name)
        figure.set_figwidth(7.4)
        axes.set_position((0.11, axes.get_position().y0, 0.5, axes.get_position().height))
        legend_beside(axes)
        return svg(figure, look, f"{kind}_{name}")


def _draw_curve(axes: Axes, kind: str, one: Curves, **how: Any) -> None:
    if kind == "roc":
        axes.step(one.far, one.tar, where="post", **how)
    else:
        axes.step(one.tar[1:], one.precision[1:], where="pre", **how)


def _notes(facts: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{facts['genuine']} genuine and {facts['impostors']} impostor pairs of {facts['images']} images of "
        f"{facts['people']} people, in {facts['folds']} folds that share no person. Accuracy: by the threshold of the "
        "other folds."
    )
    if facts["single"] or facts["unnamed"]:
        yield (
            f"Left out: {facts['single']} people with one image, of whom there is no genuine pair, and "
            f"{facts['unnamed']} images of nobody knows whom."
        )
    for far in FARS:
        if facts["impostors"] * far < 1 - 1e-9:
            yield f"TAR at FAR {100 * far:g} %: {facts['impostors']} impostor pairs are too few to tell."
    for name, words in facts["recognisers"].items():
        yield f"{name}: {words}."
    for name, why in facts["passed_over"].items():
        yield f"{name}: unavailable: {why}"
