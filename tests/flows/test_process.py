"""Stages as processes: nothing outlives its master, a training is asked first, the words of a failure are found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from flow_tools import wait_for

from flows import supervisor
from flows.process import StagePool, is_mistake, outcome_of, why

# A stand-in for DVC and its trainer: a shell that leaves a child of its own behind.
FAMILY = "sleep 301 & echo $!; sleep 302 & echo $!; exec sleep 303"
POLITE = "trap 'echo saved; exit 130' INT; echo ready; while :; do sleep 0.05; done"
STUBBORN = "trap '' INT; echo ready; while :; do sleep 0.05; done"


def supervised(command: str, grace_s: float = 15.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__, str(grace_s), "sh", "-c", command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def lives(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_all_of_a_stage_dies_when_its_master_is_killed() -> None:
    master = subprocess.Popen(
        [sys.executable, "-c", MASTER, supervisor.__file__, FAMILY], stdout=subprocess.PIPE, text=True
    )
    assert master.stdout is not None
    pids = [int(master.stdout.readline()) for _ in range(3)]
    assert all(map(lives, pids))
    master.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(lives, pids)), 5.0, "the end of all processes")


MASTER = """
import subprocess, sys, time
process = subprocess.Popen([sys.executable, "-I", "-S", sys.argv[1], "1.0", "sh", "-c", sys.argv[2]],
                           stdin=subprocess.PIPE, start_new_session=True)
print(process.pid, flush=True)
time.sleep(60)
"""


def test_a_training_is_asked_before_it_is_killed() -> None:
    stage = supervised(POLITE)
    assert stage.stdin is not None and stage.stdout is not None and stage.stdout.readline() == "ready\n"
    stage.stdin.close()
    assert stage.stdout.read() == "saved\n" and stage.wait(5.0) == 130


def test_one_that_does_not_listen_is_killed_after_the_grace() -> None:
    stage = supervised(STUBBORN, grace_s=0.5)
    assert stage.stdin is not None and stage.stdout is not None and stage.stdout.readline() == "ready\n"
    started_s = time.monotonic()
    stage.stdin.close()
    assert stage.wait(5.0) == 128 + signal.SIGKILL and 0.4 < time.monotonic() - started_s < 3.0


def test_what_a_command_leaves_behind_ends_with_it() -> None:
    stage = supervised("sleep 305 & echo $!")
    assert stage.stdout is not None
    left = int(stage.stdout.readline())
    assert stage.wait(5.0) == 0 and not lives(left)


def test_the_status_of_a_command_is_passed_on() -> None:
    assert supervised("exit 7").wait(5.0) == 7
    assert supervised("kill -9 $$").wait(5.0) == 128 + signal.SIGKILL


def test_a_killed_supervisor_leaves_nothing_for_long(tmp_path: Path) -> None:
    script = tmp_path / "dvc"
    script.write_text(f"#!/bin/sh\n{FAMILY}\n", encoding="utf-8")
    script.chmod(0o755)
    pool, lines = StagePool(tmp_path, dvc=str(script)), []
    keywords = {"keep": [], "env": {}, "say": lines.append}
    runner = threading.Thread(target=pool.run, args=("train@x",), kwargs=keywords, daemon=True)
    runner.start()
    wait_for(lambda: len(lines) == 2, 5.0, "its lines")
    children = [int(line) for line in lines]
    session = os.getsid(children[0])
    os.kill(session, signal.SIGKILL)
    wait_for(lambda: not any(map(lives, children)), 5.0, "the end of its children")
    runner.join(5.0)
    assert not runner.is_alive()


def test_stop_ends_every_stage_and_lets_none_start(tmp_path: Path) -> None:
    script = tmp_path / "dvc"
    script.write_text(f"#!/bin/sh\n{POLITE}\n", encoding="utf-8")
    script.chmod(0o755)
    pool, lines, results = StagePool(tmp_path, dvc=str(script)), [], []
    say = lines.append
    threads = [
        threading.Thread(target=lambda: results.append(pool.run("x", keep=[], env={}, say=say))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    wait_for(lambda: lines.count("ready") == 2, 5.0, "two stages")
    pool.stop()
    for thread in threads:
        thread.join(5.0)
    assert lines.count("saved") == 2 and [result.why for result in results] == ["stopped", "stopped"]
    assert pool.run("x", keep=[], env={}, say=say).why == "stopped"


RUN = ["Running stage 'train@x':", "> python stages/train.py x"]
ENDED = "ERROR: failed to reproduce 'train@x': failed to run: python stages/train.py x, exited with "


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        ([*RUN, "srledger: the loss is no number", "  where: step 3", ENDED + "1"], 1, "the loss is no number"),
        ([*RUN, "Traceback:", "RuntimeError: CUDA out of memory", ENDED + "1"], 1, "RuntimeError: CUDA out of memory"),
        ([*RUN, ENDED + "-9"], 255, "killed by SIGKILL"),
        (["Collecting", "ERROR: unexpected error - no such bucket"], 255, "no such bucket"),
        ([], 137, "ended with status 137"),
    ],
    ids=["a mistake", "an exception", "a kill", "DVC's own", "silence"],
)
def test_the_line_that_says_most_is_found(lines: list[str], status: int, said: str) -> None:
    assert why(lines, status) == said
    assert is_mistake(lines) == any(line.startswith("srledger:") for line in lines)


def test_what_dvc_did_is_read_from_its_words() -> None:
    assert outcome_of(["Stage 'train@x' didn't change, skipping"]) == "skipped"
    assert outcome_of(["Stage 'train@x' is cached - skipping run, checking out outputs"]) == "restored"
    assert outcome_of(["Running stage 'train@x':"]) == "ran"
