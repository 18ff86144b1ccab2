"""The probe of face verification: bounds and rows, people without pairs, recognisers that can't be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from probe_tools import MadeUp, look, noise
from sklearn.metrics import roc_auc_score

from srledger.config import Params
from srledger.errors import SrledgerError
from srledger.io import sha256_file, write_json
from srledger.layout import Layout
from srledger.packs import PackWriter
from srledger.probes import ProbeUnavailable, Quantity
from srledger.probes._tables import arrays
from srledger.probes.verification import CLEAN, DEGRADED, Config, Verification
from srledger.probing import run
from srledger.probing.source import Images
from srledger.seeds import numpy_generator
from srledger.training.batches import to_tensor
from srledger.yamlmap import YamlFile

PEOPLE, IMAGES = 12, 3


def person(k: int, image: int, spread: float = 12) -> np.ndarray:
    """A pattern of a person's own, with noise in every image: uint8 ``16 x 16 x 3``."""
    own = numpy_generator("person", k).normal(size=(4, 4, 3)).repeat(4, 0).repeat(4, 1)
    return (
        (128 + 40 * own + numpy_generator("image", k, image).normal(0, spread, own.shape)).clip(0, 255).astype(np.uint8)
    )


HR = [person(k, image) for k in range(PEOPLE) for image in range(IMAGES)]
NAMES: list[str | None] = [f"p{k}" for k in range(PEOPLE) for _ in range(IMAGES)]
LR = [np.ascontiguousarray(image[::8, ::8]) for image in HR]
RESTORED = {
    "bad": [noise(k) for k in range(len(HR))],
    "good": [((image.astype(int) + noise(k)) // 2).astype(np.uint8) for k, image in enumerate(HR)],
}


class Pixels:
    """A recogniser that compares pixels; ``embed_faces`` is all that the probe asks for."""

    def __init__(self, needs_landmarks: bool = False) -> None:
        self.needs_landmarks = needs_landmarks

    def embed_faces(self, images: torch.Tensor, landmarks: Any) -> torch.Tensor:
        return torch.nn.functional.normalize((images - images.mean()).flatten(1), dim=1)


class WithPeople(MadeUp):
    """Test images of people, and recognisers."""

    def __init__(self, names: list[str | None], recognisers: dict[str, Pixels], params: Params | None = None) -> None:
        super().__init__(HR[: len(names)], {row: images[: len(names)] for row, images in RESTORED.items()}, lr=LR)
        self.encoders, self._recognisers, self._names = tuple(recognisers), recognisers, names
        self.params = params or Params.load(scale="quick")

    def identities(self, count: int) -> list[str | None]:
        return self._names[:count]

    def landmarks(self, count: int) -> list[np.ndarray | None]:
        return [None] * len(self.ids(count))

    def encoder(self, name: str) -> Any:
        return self._recognisers[name]

    def lr(self, count: int) -> Images:
        return LR[:count]


def probe(**more: Any) -> Verification:
    return Verification(Config(**{"rows": ("bad", "good"), "recognisers": ("recogniser",), **more}))


def shown_of(found: Any, rows: tuple[str, ...] = ("bad", "good")) -> dict[str, dict[str, Any]]:
    table = probe().show(found, look(rows)).tables[0]
    return {line[1]: dict(zip(table.head, line, strict=True)) for line in table.lines}


@pytest.fixture(scope="module")
def found() -> Any:
    return probe().measure(WithPeople(NAMES, {"recogniser": Pixels()}))


def test_a_better_restorer_is_told_from_a_worse_one_between_the_bounds(found: Any) -> None:
    lines = shown_of(found)
    assert list(lines) == [CLEAN, DEGRADED, "bad", "good"]
    aucs = {row: line["AUC"].value for row, line in lines.items()}
    assert aucs[CLEAN] >= aucs["good"] > 0.9 > 0.7 > aucs["bad"] and aucs[DEGRADED] <= aucs[CLEAN]
    good, bad = lines["good"], lines["bad"]
    assert good["EER (%)"].value < bad["EER (%)"].value and good["accuracy (%)"].value > bad["accuracy (%)"].value
    assert bad["AUC minus that of LR"].value < -0.1 and lines[DEGRADED]["AUC minus that of LR"] is None
    assert good["AUC"].low <= good["AUC"].value <= good["AUC"].high
    assert good["TAR at FAR 1 % (%)"] is None, "36 impostor pairs say nothing about one in a hundred"


def test_the_score_is_of_the_restored_image_against_the_clean_one(found: Any) -> None:
    columns = arrays(found.table)
    here = columns["row"] == "good"
    assert here.sum() == found.facts["genuine"] + found.facts["impostors"] == 72
    places = {f"img_{k}": k for k in range(len(HR))}
    encoder = Pixels()
    for k in np.flatnonzero(here)[::7]:
        sr, hr = RESTORED["good"][places[columns["probe"][k]]], HR[places[columns["reference"][k]]]
        vectors = [encoder.embed_faces(to_tensor([one]), []) for one in (sr, hr)]
        assert columns["score"][k] == pytest.approx(float((vectors[0] * vectors[1]).sum()), abs=1e-5)
        same = NAMES[places[columns["probe"][k]]] == NAMES[places[columns["reference"][k]]]
        assert bool(columns["genuine"][k]) == same
    expected = roc_auc_score(columns["genuine"][here], columns["score"][here])
    assert shown_of(found)["good"]["AUC"].value == pytest.approx(expected)


def test_all_rows_and_bounds_see_the_same_pairs(found: Any) -> None:
    columns = arrays(found.table)
    pairs = [
        list(zip(columns["probe"][columns["row"] == row], columns["reference"][columns["row"] == row], strict=True))
        for row in (CLEAN, DEGRADED, "bad", "good")
    ]
    assert all(one == pairs[0] for one in pairs)


def test_curves_are_drawn_and_the_same_numbers_give_the_same_bytes(found: Any) -> None:
    first, second = (probe().show(found, look(("bad", "good"))) for _ in range(2))
    assert [figure.name for figure in first.figures] == ["roc_recogniser", "pr_recogniser"]
    assert first == second and all(figure.svg.count("<svg") == 1 for figure in first.figures)
    for row in (CLEAN, DEGRADED, "bad", "good"):
        assert all(row in figure.svg for figure in first.figures)
    again = probe().measure(WithPeople(NAMES, {"recogniser": Pixels()}))
    assert again.table.equals(found.table) and again.facts == found.facts


def test_people_without_a_pair_and_images_of_nobody_are_left_out_and_counted() -> None:
    names = [*NAMES[:-4], None, "lonely", "p1", "p1"]
    found = probe().measure(WithPeople(names, {"recogniser": Pixels()}))
    assert (found.facts["single"], found.facts["unnamed"], found.facts["images"]) == (1, 1, 34)
    assert {"img_32", "img_33"}.isdisjoint(arrays(found.table)["probe"].tolist())
    notes = probe().show(found, look(("bad", "good"))).tables[0].notes
    assert any("1 people with one image" in note and "1 images of nobody" in note for note in notes)


@pytest.mark.parametrize("names", [[None] * 12, [f"p{k}" for k in range(12)], ["a", "a", "b", "b", "c", "c"]])
def test_where_there_are_no_pairs_the_probe_is_unavailable(names: list[str | None]) -> None:
    with pytest.raises(ProbeUnavailable, match="there are no pairs to verify"):
        probe().measure(WithPeople(names, {"recogniser": Pixels()}))


def test_a_recogniser_that_needs_landmarks_is_passed_over_where_there_are_none() -> None:
    both = {"recogniser": Pixels(), "mobile_recogniser": Pixels(needs_landmarks=True)}
    found = probe().measure(WithPeople(NAMES, both))
    assert set(arrays(found.table)["recogniser"].tolist()) == {"recogniser"}
    notes = probe().show(found, look(("bad", "good"))).tables[0].notes
    assert "mobile_recogniser: unavailable: it needs landmarks, and images have none" in notes
    with pytest.raises(ProbeUnavailable, match="none of its recognisers"):
        probe().measure(WithPeople(NAMES, {"mobile_recogniser": Pixels(needs_landmarks=True)}))


PROBE = "{ title: t, probe: verification, config: { rows: [bicubic_on_faces_blind], recognisers: [RECOGNISERS] } }"


def params_with(folder: Path, recognisers: str) -> Params:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("\nprobes:\n", f"\nprobes:\n  mine: {PROBE.replace('RECOGNISERS', recognisers)}\n")
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return Params(YamlFile.read(folder / "params.yaml"), "quick")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny_dino_vit", "the encoder 'tiny_dino_vit' recognises nobody"),
        ("recognizer", "unknown encoder 'recognizer'"),
    ],
)
def test_what_recognises_nobody_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(SrledgerError) as error:
        params_with(tmp_path, name).probes["mine"]
    assert said in str(error.value) and "params.yaml:" in str(error.value)


def test_the_weights_and_the_identities_decide_whether_it_is_asked_again(tmp_path: Path) -> None:
    params, layout = params_with(tmp_path, "recogniser, mobilefacenet"), Layout("quick", tmp_path)
    write_json(layout.encoder("recogniser") / "encoder.json", {"name": "recogniser"})
    write_json(layout.packs("faces_blind") / "images.json", [{"id": "a", "identity": "p"}])
    with PackWriter(layout.packs("faces_blind") / "test_hr", np.uint8) as pack:
        pack.add("a", HR[0])
    result = {"row": "bicubic", "seeds": [0], **dict.fromkeys(run.HASHES, "0")}
    write_json(layout.result("bicubic_on_faces_blind") / "result.json", result)
    record = run._prepare(params, layout, params.probes["mine"])
    assert record is not None and record["encoders"] == ["recogniser"] and record["rows"] == ["bicubic"]
    assert record["inputs"]["all"] == sha256_file(layout.packs("faces_blind") / "images.json")
    assert "recogniser" in record["inputs"] and "mobilefacenet" not in record["inputs"]
    before = run._fingerprint(record, params)
    write_json(layout.encoder("recogniser") / "encoder.json", {"name": "another"})
    again = run._prepare(params, layout, params.probes["mine"])
    assert again is not None and run._fingerprint(again, params) != before
    assert run._why_not(params.probes["mine"], {**record, "encoders": []}) == "none of its recognisers is at hand"


def test_quantities_are_percent_where_the_head_says_so(found: Any) -> None:
    line = shown_of(found)[CLEAN]
    assert isinstance(line["accuracy (%)"], Quantity) and 50 < line["accuracy (%)"].value <= 100
    assert 0 <= line["EER (%)"].value <= 50
