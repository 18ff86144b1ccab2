"""`srledger doctor` on a small project with a real DVC: each ailment made for real, found, left alone, mended."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from conftest import Workspace
from filelock import FileLock
from flow_tools import wait_for
from ruamel.yaml import YAML

from srledger.doctor import examine, orphans
from srledger.doctor.findings import Patient
from srledger.doctor.suggest import Setting, advice
from srledger.io import atomic_open, write_json
from srledger.layout import fresh_folder
from srledger.scales import scale_in_params
from srledger.services import birth
from srledger.training.checkpoint import CheckpointStore
from srledger.training.config import TrainingConfig

NOBODY = 2**22 + 1  # above the largest pid that Linux gives
GRAPH = """
stages:
  train:
    foreach: { quick_one: {}, long_one: {} }
    do: { cmd: "python stages/train.py ${key}", deps: [stages/train.py], outs: ["runs/${key}"] }
"""
TRAINER = """
import pathlib, signal, sys, time
def save(*_):
    pathlib.Path("saved").write_text("by SIGINT")
    sys.exit(130)
signal.signal(signal.SIGINT, save)
pathlib.Path("begun").touch()
time.sleep(600 if sys.argv[1] == "long_one" else 0)
pathlib.Path("runs", sys.argv[1]).mkdir(parents=True)
pathlib.Path("runs", sys.argv[1], "weights").write_text(sys.argv[1])
"""


class Project:
    """A folder with DVC and two stages, one of which takes for ever."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "stages").mkdir(parents=True)
        (folder / "params.yaml").write_text("scale: quick # or another\n", encoding="utf-8")
        (folder / "dvc.yaml").write_text(GRAPH, encoding="utf-8")
        (folder / "stages" / "train.py").write_text(TRAINER, encoding="utf-8")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
        self.env |= {"DVC_SITE_CACHE_DIR": str(folder / ".dvc-site"), "DVC_NO_ANALYTICS": "1"}
        self.run("git", "init", "--quiet")
        self.run("dvc", "init", "--quiet")

    def run(self, *command: str, status: int = 0) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == status, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def begin_long_stage(self) -> subprocess.Popen[bytes]:
        """DVC in the middle of the stage that takes for ever."""
        command = subprocess.Popen(
            ["dvc", "repro", "train@long_one"], cwd=self.folder, env=self.env, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for((self.folder / "begun").exists, 30.0, "the stage")
        return command

    def ails(self, *, fix: bool = False) -> tuple[int, str]:
        """How much is left, and what was said."""
        lines: list[str] = []
        return examine(self.folder, lines.append, fix=fix), "\n".join(lines)

    def is_mended_of(self, what: str) -> str:
        """``what`` is found and left alone, then mended and found no more; returns what was said at first."""
        before = snapshot(self.folder)
        left, said = self.ails()
        assert left == 1 and what in said, said
        assert snapshot(self.folder) == before
        left, mended = self.ails(fix=True)
        assert left == 0 and "1 found, 1 mended, 0 left" in mended, mended
        assert self.ails() == (0, well(self.ails()[1]))
        return said


def well(said: str) -> str:
    """What was said, when it is that nothing was found."""
    assert said.endswith("well: nothing was found"), said
    return said


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time, but for the memo that DVC keeps of hashes it has taken."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if ".dvc-site" not in path.parts
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name in [*os.environ]:
        if name.startswith(("PREFECT_", "MLFLOW_")) or name == "SRLEDGER_LEASES":
            monkeypatch.delenv(name)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "project" / ".dvc-site"))
    project = Project(tmp_path / "project")
    yield project
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(project.folder):
            process.kill()


def test_a_new_clone_is_well_and_nothing_is_written(workspace: Workspace) -> None:
    before = snapshot(workspace.folder)
    for options in ((), ("--fix",)):
        assert "well: nothing was found" in workspace.run("srledger", "doctor", *options).stdout
    assert snapshot(workspace.folder) == before


def test_the_status_says_whether_something_is_left(project: Project) -> None:
    (project.folder / ".dvc/tmp/rwlock").write_text('{"write": {"a', encoding="utf-8")
    assert "1 found" in project.run("srledger", "doctor", status=1)
    assert "1 mended" in project.run("srledger", "doctor", "--fix")
    assert "well" in project.run("srledger", "doctor")
    project.run("dvc", "status")


def test_another_folder_is_no_patient(tmp_path: Path) -> None:
    done = subprocess.run(["srledger", "doctor"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "top folder" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["", '{"write": {"runs/a": {"pid": 1', "[]", '{"write": {"a": 7}}'])
def test_a_rwlock_that_cannot_be_read_is_removed(project: Project, text: str) -> None:
    path = project.folder / ".dvc/tmp/rwlock"
    path.write_text(text, encoding="utf-8")
    assert "rwlock" in project.run("dvc", "repro", "train@quick_one", status=255)
    project.is_mended_of("rwlock can't be read")
    assert not path.exists()
    project.run("dvc", "repro", "train@quick_one")


def test_a_broken_rwlock_waits_for_a_dvc_that_works(project: Project) -> None:
    command = project.begin_long_stage()
    path = project.folder / ".dvc/tmp/rwlock"
    path.write_text("{", encoding="utf-8")
    left, said = project.ails(fix=True)
    assert left == 1 and path.exists() and f"pid {command.pid}" in said
    assert command.poll() is None


def test_entries_of_dead_processes_leave_the_rwlock_and_those_of_living_ones_stay(project: Project) -> None:
    command = project.begin_long_stage()
    path = project.folder / ".dvc/tmp/rwlock"
    held = json.loads(path.read_text(encoding="utf-8"))
    stranger = subprocess.Popen(["sleep", "600"])  # it got the pid of a DVC that was killed
    gone = {"runs/x": {"pid": NOBODY, "cmd": "dvc repro x"}, "runs/y": {"pid": stranger.pid, "cmd": "dvc repro y"}}
    path.write_text(json.dumps({**held, "write": {**held["write"], **gone}}), encoding="utf-8")
    said = project.is_mended_of("dvc repro x")
    assert "dvc repro y" in said and str(command.pid) not in said
    assert json.loads(path.read_text(encoding="utf-8"))["write"] == held["write"]
    stranger.kill()
    stranger.wait()


def test_a_trainer_whose_dvc_was_killed_is_named_and_asked_to_save(project: Project) -> None:
    command = project.begin_long_stage()
    assert project.ails()[0] == 0, "its DVC lives"
    command.send_signal(signal.SIGKILL)
    command.wait()
    left, said = project.ails()
    trainers = orphans.orphans(Patient(project.folder))
    assert "orphan of stage train@long_one" in said and str(trainers[0].pid) in said
    assert "stages/train.py long_one" in said
    assert left == 2 and "rwlock" in said  # the DVC's entries
    assert project.ails(fix=True)[0] == 0
    assert (project.folder / "saved").read_text(encoding="utf-8") == "by SIGINT"
    assert orphans.orphans(Patient(project.folder)) == []
    well(project.ails()[1])


def test_one_that_does_not_listen_is_killed() -> None:
    stubborn = subprocess.Popen(["sh", "-c", "trap '' INT; echo; while :; do sleep 0.05; done"], stdout=subprocess.PIPE)
    assert stubborn.stdout is not None and stubborn.stdout.readline() == b"\n"
    orphans.end([stubborn.pid], grace_s=0.3)
    assert not psutil.pid_exists(stubborn.pid)


LEADER = """
import subprocess, time
print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""


def test_a_dead_service_is_cleared_with_what_it_left_and_a_living_one_stays(project: Project) -> None:
    records = {}
    for name in ("mlflow", "prefect-server"):
        leader = subprocess.Popen([sys.executable, "-c", LEADER], stdout=subprocess.PIPE, start_new_session=True)
        assert leader.stdout is not None
        child = int(leader.stdout.readline())
        record = project.folder / "scratch/services" / f"{name}.json"
        write_json(record, {"pid": leader.pid, "born": birth(leader.pid), "port": 1})
        records[name] = leader, child, record
    dead, left_alone, record = records["mlflow"]
    dead.kill()
    dead.wait()
    said = project.is_mended_of("service mlflow has died")
    assert str(left_alone) in said and birth(left_alone) is None and not record.exists()
    living, child, record = records["prefect-server"]
    assert living.poll() is None and birth(child) is not None and record.exists()
    os.killpg(living.pid, signal.SIGKILL)
    living.wait()


def test_only_a_lease_that_is_held_for_a_dead_flow_is_found(project: Project) -> None:
    folder = project.folder / "scratch/leases"
    write_json(folder / "cpu-0.json", {"holder": "train@x", "pid": NOBODY})
    write_json(folder / "cpu-1.json", {"holder": "train@y", "pid": os.getpid()})
    well(project.ails()[1])  # the first is free: what it says is of the past
    handles = [os.open(folder / name, os.O_RDWR) for name in ("cpu-0.json", "cpu-1.json")]
    for handle in handles:
        fcntl.flock(handle, fcntl.LOCK_EX)
    holder = subprocess.Popen(["sleep", "600"], pass_fds=handles[:1], cwd=folder)
    os.close(handles[0])
    left, said = project.ails(fix=True)
    assert left == 1 and "held for train@x" in said and f"pid {holder.pid}" in said
    assert holder.poll() is None
    holder.kill()
    holder.wait()
    well(project.ails()[1])
    os.close(handles[1])


def seed_folder(project: Project) -> Path:
    """Scratch of a seed with two checkpoints as a training leaves them."""
    folder = project.folder / "scratch/smoke/rrdb/seed0/0123456789abcdef"
    store = CheckpointStore(folder)
    for step in (10, 20):
        store.save(step, {"method/weight": torch.full((8,), float(step))}, {"step": step})
    return folder


def tear_tensors(folder: Path) -> None:
    path = folder / "step_00000020.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def tear_mark(folder: Path) -> None:
    (folder / "step_00000020.json").write_text('{"step": 2', encoding="utf-8")


def lose_mark(folder: Path) -> None:
    (folder / "step_00000020.json").unlink()


def lose_tensors(folder: Path) -> None:
    (folder / "step_00000020.safetensors").unlink()


@pytest.mark.parametrize("tear", [tear_tensors, tear_mark, lose_mark, lose_tensors])
def test_a_torn_checkpoint_is_moved_aside(project: Project, tear: object) -> None:
    folder = seed_folder(project)
    well(project.ails()[1])
    assert callable(tear)
    tear(folder)
    names = {path.name for path in folder.glob("step_00000020.*")}
    project.is_mended_of("a checkpoint torn")
    torn = project.folder / "scratch/torn/smoke/rrdb/seed0/0123456789abcdef"
    assert {path.name for path in torn.iterdir()} == names
    found = CheckpointStore(folder).newest_valid()
    assert found is not None and found[1]["step"] == 10 and found[2] == []


def test_checkpoints_of_a_training_that_runs_are_left_alone(project: Project) -> None:
    folder = seed_folder(project)
    lose_mark(folder)
    with FileLock(folder / "lock"):
        well(project.ails(fix=True)[1])
    assert project.ails()[0] == 1


def test_torn_finished_weights_are_moved_aside(project: Project) -> None:
    folder = seed_folder(project)
    (folder / "weights.safetensors").write_bytes(b"not what was saved")
    write_json(folder / "finished.json", {"weights_sha256": "0" * 64, "curves": []})
    project.is_mended_of("finished weights torn")
    assert not (folder / "finished.json").exists() and not (folder / "weights.safetensors").exists()


def test_what_a_run_at_another_scale_put_aside_is_put_back(project: Project) -> None:
    params, lock = project.folder / "params.yaml", project.folder / "dvc.lock"
    project.run("dvc", "repro", "train@quick_one")
    before = params.read_bytes(), lock.read_bytes()
    cut_short = scale_in_params("smoke", project.folder)
    cut_short.__enter__()
    lock.write_text("schema: '2.0'\nstages: {}\n", encoding="utf-8")
    command = project.begin_long_stage()
    well(project.ails(fix=True)[1])  # that may be the run that put them aside
    os.killpg(command.pid, signal.SIGINT)
    command.wait()
    said = project.is_mended_of("params.yaml, dvc.lock of before lie in scratch/repro_before")
    assert "scale: quick" in said and (params.read_bytes(), lock.read_bytes()) == before


def test_only_what_is_older_than_every_process_at_work_is_half_made(project: Project) -> None:
    final = project.folder / "data/smoke/raw/faces"
    part = final.parent / ".faces.part"
    with fresh_folder(final) as folder:
        assert folder == part
        (folder / "train.bin").write_bytes(b"0" * 2048)
    for folder in (part, part / "inner"):
        folder.mkdir()
    (part / "inner" / "train.bin").write_bytes(b"0" * 2048)
    for path in (part / "inner" / "train.bin", part / "inner", part):
        os.utime(path, (time.time() - 60.0,) * 2)
    writer = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from srledger.io import atomic_open\n"
        "with atomic_open(Path('reports/smoke/cells.csv')) as file:\n"
        "    file.write(b'table,row'); file.flush(); print(flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", writer, str(Path(examine.__code__.co_filename).parents[2])]
    killed = subprocess.Popen(command, cwd=project.folder, stdout=subprocess.PIPE)
    assert killed.stdout is not None and killed.stdout.readline() == b"\n"
    left, said = project.ails(fix=True)
    assert left == 0 and "data/smoke/raw/.faces.part" in said and ".cells.csv" not in said
    assert not part.exists() and (final / "train.bin").exists()
    killed.kill()
    killed.wait()
    project.is_mended_of("reports/smoke/.cells.csv.")
    assert list((project.folder / "reports/smoke").iterdir()) == []


def objects(project: Project) -> list[Path]:
    return [path for path in (project.folder / ".dvc/cache/files/md5").rglob("*") if path.is_file()]


def test_missing_cache_objects_are_named_with_the_command_that_brings_them_back(project: Project) -> None:
    assert "nothing of dvc.lock was made here yet" not in well(project.ails()[1])
    project.run("dvc", "repro", "train@quick_one")
    well(project.ails()[1])
    for path in objects(project):
        path.unlink()
    left, said = project.ails(fix=True)
    assert left == 1 and "`dvc commit --force train@quick_one`" in said
    project.run("dvc", "commit", "--force", "train@quick_one")
    well(project.ails()[1])
    weights = project.folder / "runs/quick_one/weights"
    weights.unlink()
    next(path for path in objects(project) if path.suffix != ".dir").unlink()
    left, said = project.ails()
    assert left == 1 and "`dvc repro train@quick_one`" in said
    project.run("dvc", "repro", "train@quick_one")
    assert weights.exists()
    well(project.ails()[1])


def test_missing_cache_objects_are_pulled_where_there_is_a_remote(project: Project, tmp_path: Path) -> None:
    project.run("dvc", "repro", "train@quick_one")
    project.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    project.run("dvc", "push", "train@quick_one")
    shutil.rmtree(project.folder / "runs")
    for path in objects(project):
        path.unlink()
    assert "dvc pull (remote store)" in well(project.ails()[1])  # nothing at all is here: a new clone
    (project.folder / "runs/quick_one").mkdir(parents=True)
    (project.folder / "runs/quick_one/weights").write_text("another", encoding="utf-8")
    left, said = project.ails()
    assert left == 1 and "`dvc pull train@quick_one`" in said
    project.run("dvc", "pull", "--force", "train@quick_one")
    well(project.ails()[1])


def test_runs_of_mlflow_whose_process_is_gone_are_ended(project: Project) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.create_experiment("srledger/smoke")
    here, own = {"srledger.host": socket.gethostname()}, {"srledger.born": str(birth(os.getpid()))}
    tags = {
        "gone": {**here, **own, "srledger.pid": str(NOBODY)},
        "reused pid": {**here, "srledger.pid": str(os.getpid()), "srledger.born": "1"},
        "living": {**here, **own, "srledger.pid": str(os.getpid())},
        "elsewhere": {**own, "srledger.pid": str(NOBODY), "srledger.host": "another-machine"},
        "untold": {},
    }
    runs = {name: client.create_run(experiment, run_name=name, tags=of).info.run_id for name, of in tags.items()}
    other = client.create_run(client.create_experiment("not ours")).info.run_id
    left, said = project.ails()
    assert left == 3 and all(f"'{name}' is RUNNING" in said for name in ("gone", "reused pid", "untold"))
    assert project.ails(fix=True)[0] == 0
    states = {name: client.get_run(run).info.status for name, run in runs.items()}
    running = {"living": "RUNNING", "elsewhere": "RUNNING"}
    assert states == {"gone": "KILLED", "reused pid": "KILLED", "untold": "KILLED", **running}
    assert client.get_run(other).info.status == "RUNNING"


def test_a_server_that_does_not_answer_is_said_and_is_no_ailment(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    said = well(project.ails()[1])
    assert "Prefect's server does not answer" in said and "MLflow does not answer" in said


def test_advice_is_the_fastest_of_what_was_measured() -> None:
    today = Setting("cpu", "fp32", 2)
    speeds = {today: 100.0, Setting("cpu", "fp32", 1): 80.0, Setting("cpu", "bf16", 2): 105.0}
    said = "\n".join(advice(speeds, today, cores=2))
    assert "nothing measured is 10% faster" in said and "cpu_leases: 2" in said and "1.5 times" in said
    said = "\n".join(advice({**speeds, Setting("cuda", "bf16", 2): 5000.0}, today, cores=2))
    assert "training: { precision: bf16, threads: 2, device: cuda }" in said and "50.0 times" in said
    said = "\n".join(advice({today: 100.0, Setting("cpu", "bf16", 1): 300.0}, today, cores=1))
    assert "cpu_leases" not in said


def test_suggestions_are_lines_that_params_yaml_takes(workspace: Workspace) -> None:
    said = workspace.run("srledger", "doctor", "--suggest").stdout
    assert "images/s" in said and "cpu: " in said
    lines = [line for line in said.splitlines() if line.startswith("  training: ")]
    for line in lines:
        values = YAML(typ="safe").load(line)["training"]
        assert TrainingConfig(**values).threads <= len(os.sched_getaffinity(0))
    assert lines or "nothing measured is" in said or "no suggestion: other programs kept" in said


def test_an_unwritable_part_is_said_and_left(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.folder / "scratch/.x.part"
    with pytest.raises(KeyboardInterrupt), atomic_open(project.folder / "scratch/y"):
        raise KeyboardInterrupt
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        left, said = project.ails(fix=True)
    assert left == 1 and "not mended" in said and "Permission denied" in said
