"""Samples of a machine while it trains: which folder, whole lines, and nothing that can stop a training."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from srledger.io import read_json, write_json
from srledger.tracking.trainings import Training, trainings
from srledger.tracking.vitals import (
    LONGEST_S,
    NAMES,
    SHORTEST_S,
    Vitals,
    append_sample,
    pause_s,
    read_samples,
    seed_folder,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The scratch folder of a seed."""
    path = tmp_path / "scratch" / "smoke" / "rrdb" / "seed1" / "0123456789abcdef"
    path.mkdir(parents=True)
    return path


def hold_and_burn(folder: Path, seconds: float) -> None:
    """What a training does: hold the lock of its folder, and compute."""
    with FileLock(folder / "lock", timeout=0):
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            sum(range(1000))


def test_the_seed_that_trains_is_the_one_whose_lock_is_held(folder: Path) -> None:
    assert seed_folder() is None
    with FileLock(folder / "lock", timeout=0):
        assert seed_folder() == folder
    assert seed_folder() is None


def test_a_training_is_sampled_while_it_runs(folder: Path, tmp_path: Path) -> None:
    with Vitals():
        hold_and_burn(folder, 8 * SHORTEST_S)
        (training,) = trainings("smoke", tmp_path)
        assert training.state == "RUNNING" and training.process["pid"] == os.getpid()
    samples = training.samples()
    values = {name: [value for other, value, *_ in samples if other == name] for name in NAMES}
    assert len(values["process_cpu_percentage"]) >= 2 and max(values["process_cpu_percentage"]) > 1
    assert all(0 <= value <= 100 for value in values["cpu_utilization_percentage"])
    assert min(values["process_memory_megabytes"]) > 10 and max(values["system_memory_usage_megabytes"]) > 100
    assert (training.row, training.seed, training.id) == ("rrdb", 1, "smoke/rrdb/seed1/0123456789abcdef")
    assert abs(samples[-1][3] / 1000 - time.time()) < 60


def test_how_a_training_ended_is_known_when_its_process_is_gone(folder: Path) -> None:
    with pytest.raises(ValueError, match="no number"), Vitals():
        hold_and_burn(folder, 2 * SHORTEST_S)
        raise ValueError("the loss is no number\nand more")
    training, process = Training(folder), read_json(folder / "process.json")
    assert process["failed"] == "the loss is no number"
    write_json(folder / "process.json", {**process, "born": process["born"] - 1})  # another one had this pid
    assert training.state == "FAILED"
    write_json(folder / "process.json", {key: process[key] for key in ("host", "pid")} | {"born": process["born"] - 1})
    assert training.state == "KILLED"
    write_json(folder / "finished.json", {"curves": [[4, "loss_total", 0.5]]})
    assert training.state == "FINISHED" and training.curves() == [("loss_total", 0.5, 4)]


def test_a_torn_line_is_passed_over_and_the_next_one_is_whole(folder: Path) -> None:
    path = folder / "machine.csv"
    values = dict.fromkeys(NAMES[:4], 1.0)
    append_sample(path, values)
    with path.open("ab") as file:
        file.write(b"1700000000.0,5")  # a kill
    assert len(read_samples(path)) == 4
    append_sample(path, {**values, NAMES[0]: 2.0})
    found = [(value, number) for name, value, number, _ in read_samples(path) if name == NAMES[0]]
    assert found == [(1.0, 0), (2.0, 2)]


def test_samples_get_rarer_as_a_training_gets_longer() -> None:
    assert pause_s(1.0) == SHORTEST_S and pause_s(3600.0) == 36.0 and pause_s(1e6) == LONGEST_S


def test_a_full_disk_stops_no_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "machine.csv").mkdir()  # nothing can be written there
    with Vitals():
        hold_and_burn(folder, 3 * SHORTEST_S)
    assert "no samples of this machine any more" in capsys.readouterr().err
