"""Leases: freed by the kernel, handed on to what runs on them, composed with what an outer program allows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows import leases as module
from flows.leases import Leases, Slot, all_slots, held_in, machine_leases, visible_gpus
from srledger.errors import SrledgerError

HOLDER = """
import sys, time
from pathlib import Path
from flows.leases import Leases, Slot
lease = Leases(Path(sys.argv[1]), [Slot("cpu", 0)]).acquire("cpu", "train@rrdb")
print("held" if lease else "free", flush=True)
time.sleep(60)
"""
ROOT = Path(__file__).parents[2]


def test_a_lease_is_held_once_and_given_back(tmp_path: Path) -> None:
    leases = Leases(tmp_path, [Slot("cpu", 0)])
    lease = leases.acquire("cpu", "train@rrdb")
    assert lease is not None and leases.acquire("cpu", "train@imdn") is None
    assert leases.waiting_for("cpu") == f"waits for a cpu lease: 1 of 1 held by train@rrdb (pid {os.getpid()})"
    lease.close()
    assert held_in(tmp_path) == {} and leases.acquire("cpu", "train@imdn") is not None


def test_kill_9_of_its_holder_frees_a_lease(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    leases = Leases(tmp_path, [Slot("cpu", 0)])
    assert leases.acquire("cpu", "another") is None and leases.held("cpu") == [f"train@rrdb (pid {holder.pid})"]
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert leases.acquire("cpu", "another") is not None


def test_a_lease_is_held_as_long_as_a_process_that_inherited_it_lives(tmp_path: Path) -> None:
    leases = Leases(tmp_path, [Slot("cpu", 0)])
    lease = leases.acquire("cpu", "train@rrdb")
    assert lease is not None
    child = subprocess.Popen(["sleep", "60"], pass_fds=[lease.handle])
    lease.close()
    assert leases.acquire("cpu", "another") is None
    child.kill()
    child.wait()
    assert leases.acquire("cpu", "another") is not None


def test_a_gpu_lease_names_its_device_alone_and_a_cpu_lease_changes_nothing(tmp_path: Path) -> None:
    leases = Leases(tmp_path, all_slots(1, ["GPU-a", "GPU-b"], 2))
    order = [lease.env for lease in iter(lambda: leases.acquire("gpu", "stage"), None)]
    assert [env["CUDA_VISIBLE_DEVICES"] for env in order] == ["GPU-a", "GPU-b", "GPU-a", "GPU-b"]
    cpu = leases.acquire("cpu", "stage")
    assert cpu is not None and cpu.env == {}


def test_parts_of_a_gpu_are_taken_as_the_outer_program_named_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1f, MIG-2e")
    assert visible_gpus() == ["MIG-1f", "MIG-2e"]


def test_uuids_come_from_cuda_itself_under_the_outer_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    # a stand-in for torch on a machine with three GPUs of which the outer program shows two, in its own order
    script = "import json, os; print(json.dumps([f'uuid-{k}' for k in os.environ['CUDA_VISIBLE_DEVICES'].split(',')]))"
    monkeypatch.setattr(module, "LIST_GPUS", script)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert visible_gpus() == ["GPU-uuid-2", "GPU-uuid-0"]
    assert Slot("gpu", 0, visible_gpus()[0]).file_name == "gpu-GPU-uuid-2-0.json"


def test_no_gpu_where_one_is_needed_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SrledgerError) as error:
        machine_leases(tmp_path, 2, 1, needs_gpu=True)
    assert "device: cpu" in error.value.facts["mend"] and "CUDA_VISIBLE_DEVICES=''" in error.value.facts["found"]
    assert machine_leases(tmp_path, 2, 1, needs_gpu=False).count("cpu") == 2


def test_clones_share_leases_where_they_are_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRLEDGER_LEASES", str(tmp_path / "shared"))
    first = machine_leases(tmp_path / "a", 1, 1, needs_gpu=False)
    assert first.acquire("cpu", "train@rrdb") is not None
    assert machine_leases(tmp_path / "b", 1, 1, needs_gpu=False).acquire("cpu", "train@rrdb") is None
