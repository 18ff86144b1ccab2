"""The probe of detectors against resolution: distances by hand, the mean's predictor, and what it says in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from probe_tools import MadeUp, look

from srledger.encoders._detection import Asked, Detections
from srledger.probes._detection import found_in, iod_px, points_of
from srledger.probes.detector_resolution import MEAN, Config, DetectorResolution

FACE = np.array([[20.0, 30], [40, 30], [30, 40], [24, 50], [36, 50]])


def boxes(*lines: tuple[str, float, float, float, float]) -> Detections:
    """Boxes (class, x, y, half side, confidence) around points as landmarks are counted."""
    corners = [(x - half, y - half, x + half, y + half) for _, x, y, half, _ in lines]
    return Detections(
        np.array(corners, np.float64).reshape(-1, 4) + 0.5,
        tuple(line[0] for line in lines),
        np.array([r[4] for r in lines]),
    )


def test_distances_are_in_units_of_the_eyes_distance() -> None:
    assert iod_px(FACE) == 20 and points_of("mouth", FACE).tolist() == [[30, 50]]
    found = found_in(boxes(("nose", 33, 44, 2, 0.9), ("nose", 30, 41, 3, 0.2)), "nose", FACE, 64)
    assert found.boxes == 2 and found.detected and found.inside and found.near and found.loose
    assert found.nme_top == pytest.approx(5 / 20)  # the most confident box is not the nearest one
    assert found.nme_best == pytest.approx(1 / 20)
    assert found.precision == 0.5  # 0.25 IOD is no hit
    assert found.area == pytest.approx((16 + 36 - 4) / 64**2)


def test_two_eyes_want_two_boxes_and_their_best_pairing() -> None:
    one = found_in(boxes(("eye", 20, 30, 2, 0.9)), "eyes", FACE, 64)
    assert not one.detected and not one.inside and math.isnan(one.nme_top) and one.nme_best == pytest.approx(0.5)
    both = found_in(boxes(("eye", 41, 30, 2, 0.9), ("eye", 20, 32, 2, 0.5)), "eyes", FACE, 64)
    assert both.detected and both.nme_top == pytest.approx((1 + 2) / 2 / 20)
    same = found_in(boxes(("eye", 20, 30, 2, 0.9), ("eye", 20, 30, 2, 0.8)), "eyes", FACE, 64)
    assert same.detected and not same.inside and same.nme_top == pytest.approx(0.5)


def test_nothing_found_is_no_error() -> None:
    found = found_in(boxes(), "mouth", FACE, 64)
    assert (found.boxes, found.detected, found.area) == (0, False, 0.0) and math.isnan(found.precision)


class Faces(MadeUp):
    """Faces that stand elsewhere in each image, and a detector whose eyesight ends below 32 px."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self._points = [FACE + rng.uniform(-8, 8, 2) for _ in range(count)]
        # Stripes of two pixels: gone once the image was reduced to half its side or less.
        sharp = np.zeros((64, 64, 3), np.uint8)
        sharp[::2] = 255
        super().__init__([sharp for _ in range(count)], {})
        self.encoders = ("made_up",)

    def landmarks(self, count: int) -> list[np.ndarray | None]:
        return list(self._points[:count])

    def train_landmarks(self) -> list[np.ndarray]:
        return [FACE, FACE + 2]

    def encoder(self, name: str) -> Faces:  # type: ignore[override]
        return self

    def detect(
        self, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None], asked: Asked
    ) -> list[Detections]:
        assert asked == Asked(0.001, 0.1)
        found = []
        for image, points in zip(images, landmarks, strict=True):
            assert points is not None
            blind = float(image.std()) < 30
            shift = 15.0 if blind else 0.5
            found.append(
                boxes(
                    *[("eye", x + shift, y, 3, 0.9) for x, y in points[:2]],
                    *[("nose", x + shift, y, 3, 0.01) for x, y in points[2:3]],
                )
            )
        return found


def test_the_tables_tell_where_the_detector_fails_and_who_is_closer() -> None:
    probe = DetectorResolution(Config(task="faces", detectors=("made_up",), images=40, sides_px=(128, 64, 16)))
    found = probe.measure(Faces(40))
    shown = probe.show(found, look())
    eyes = {(line[1], line[2]): line for line in shown.tables[0].lines}
    assert {side for side, _ in eyes} == {64, 16}  # an image is never made larger than it is
    rate, inside, near, loose, precision, nearest, top, count, _ = eyes[64, "0.001"][3:]
    assert [one.value for one in (rate, inside, near, loose, precision, count)] == [1, 1, 1, 1, 1, 2]
    assert nearest.value == top.value == pytest.approx(0.5 / 20, rel=1e-5)
    assert eyes[16, "0.001"][3].value == 1 and eyes[16, "0.001"][7].value < 1  # a rate of one, and wrong
    noses = {(line[1], line[2]): line for line in shown.tables[1].lines}
    assert noses[64, "0.25"][3].value == 0 and noses[64, "0.25"][7] is None and noses[64, "0.001"][3].value == 1
    against = {(line[0], line[1]): line for line in shown.tables[3].lines}
    closer, further = against["eyes", "made_up at 64 px"], against["eyes", "made_up at 16 px"]
    assert closer[2].high < 0 and closer[3].value < 0.05 and further[2].low > 0
    assert against["mouth", "made_up at 64 px"][2].value == 0  # without a box the mean answers
    assert any("eyes: found by made_up at 64 px lie closer to" in note for note in shown.notes)
    assert any("mouth: made_up at 64 px is not told from the training mean" in note for note in shown.notes)
    table = found.table.to_pylist()
    assert {line["detector"] for line in table} == {MEAN, "made_up"}
    assert shown.figures[0].svg == probe.show(found, look()).figures[0].svg


def test_without_landmarks_it_cannot_be_had() -> None:
    from srledger.probes import ProbeUnavailable

    source = Faces(2)
    source._points = [None, None]  # type: ignore[list-item]
    probe = DetectorResolution(Config(task="faces", detectors=("made_up",)))
    with pytest.raises(ProbeUnavailable, match="no landmarks"):
        probe.measure(source)
