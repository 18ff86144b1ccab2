"""Prefect's server, MLflow's page and two workers on this machine: started, found healthy, stopped.

Each is a process of its own with a record (pid, port) and a log in ``scratch/services/``; nothing is written outside
the project's folder. All addresses are loopback.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from srledger.errors import SrledgerError, unknown_name
from srledger.io import read_json, sha256_file, write_json
from srledger.orchestration import OrchestrationConfig

HOST = "127.0.0.1"
PREFECT_PORT, MLFLOW_PORT = 4200, 5000  # pyproject.toml names the first to every `prefect` typed in the project
PREFECT_URL = f"http://{HOST}:{PREFECT_PORT}"
POOLS = ("cpu", "gpu")
START_S = 90.0
STOP_S = 25.0  # a flow run gives its trainer 15 s to save a checkpoint
LOOK_EVERY_S = 0.2
SHOWN_LOG_LINES = 8


@dataclasses.dataclass(frozen=True)
class Service:
    """A program that is kept running.

    Attributes:
        command: its program and arguments.
        port: that it listens on; None when it does not.
        option: of `srledger services up`, which moves that port.
        health: an address that answers when it is ready; empty: ready as soon as it runs.
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    option: str = ""
    health: str = ""


class Services:
    """The services of one clone."""

    def __init__(self, root: Path, prefect_port: int | None = None, mlflow_port: int | None = None) -> None:
        """Ports: None is where the service runs, or the default where it doesn't."""
        self.root = root.resolve()
        self.folder = self.root / "scratch" / "services"
        prefect_port = prefect_port or self._known_port("prefect-server") or PREFECT_PORT
        mlflow_port = mlflow_port or self._known_port("mlflow") or MLFLOW_PORT
        self.prefect_url, self.mlflow_url = f"http://{HOST}:{prefect_port}", f"http://{HOST}:{mlflow_port}"
        tracking = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{self.root / 'mlflow.db'}")
        self.store = tracking if tracking.startswith("sqlite:") else ""
        if not self.store:
            self.mlflow_url = tracking  # somebody else keeps it running
        folder = Path(sys.executable).parent
        listen = ("--host", HOST, "--port")
        self.prefect, self.mlflow_program = str(folder / "prefect"), str(folder / "mlflow")
        self.servers = [
            Service(
                "prefect-server", (self.prefect, "server", "start", *listen, str(prefect_port)),
                prefect_port, "--prefect-port", f"{self.prefect_url}/api/health",
            )
        ]  # fmt: skip
        if self.store:
            command = (self.mlflow_program, "server", "--workers", "1", "--backend-store-uri", self.store, *listen)
            self.servers.append(
                Service(
                    "mlflow", (*command, str(mlflow_port)), mlflow_port, "--mlflow-port", f"{self.mlflow_url}/health"
                )
            )
        self.workers = [
            Service(
                f"worker-{pool}",
                (self.prefect, "worker", "start", "--pool", pool, "--type", "process", "--name", worker_name()),
            )
            for pool in POOLS
        ]

    @property
    def env(self) -> dict[str, str]:
        """The environment of every service: quiet, and at home in the project's folder."""
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "PREFECT_HOME": str(self.root / ".cache" / "prefect"),
            "PREFECT_API_URL": f"{self.prefect_url}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_PLUGINS_ENABLED": "true",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "2",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            "SRLEDGER_ROOT": str(self.root),
        }

    def up(self, settings: OrchestrationConfig, say: Callable[[str], None], pools: Sequence[str] = POOLS) -> None:
        """Start what does not run, wait until all is healthy, and make pools, limits and deployments known.

        ``pools`` are those that this machine works for.

        Raises:
            SrledgerError: an unknown pool, a port is taken by another program, or a service ended or stayed silent
                (with its log).
        """
        for pool in pools:
            if pool not in POOLS:
                raise unknown_name("pool", pool, POOLS, where="--pool")
        workers = [service for pool, service in zip(POOLS, self.workers, strict=True) if pool in pools]
        Path(self.env["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
        servers = [service for service in self.servers if not self._runs(service)]
        for service in servers:
            port = self._known_port(service.name)
            if port is not None:
                raise SrledgerError(
                    f"{service.name} runs at another port", where=f"{HOST}:{port}",
                    found=f"{service.option} {service.port}", expected=f"{service.option} {port}, or none",
                    mend="srledger services down, then up again",
                )  # fmt: skip
            end_left(self._record(service) or {})
            check_port(service)
        if any(service.name == "mlflow" for service in servers):
            from srledger.tracking.client import one_writer

            with one_writer(self.store, self.root):  # two that set up a new database at once break it
                self._run(self.mlflow_program, "db", "upgrade", self.store)
        for service in servers:
            say(f"starts {service.name}")
            self._start(service)
        for service in self.servers:
            self._await(service)
        self._introduce(settings, say)
        for service in workers:
            if not self._runs(service):
                end_left(self._record(service) or {})
                say(f"starts {service.name}")
                self._start(service)
        for service in workers:
            self._await(service)

    def down(self, say: Callable[[str], None]) -> None:
        """Stop everything that `up` started, the workers first: TERM, wait, then KILL, flow runs too."""
        for group in (self.workers, self.servers):
            found = [(service, record) for service in group if (record := self._record(service)) is not None]
            sessions = [record["pid"] for _, record in found if birth(record["pid"]) in (None, record["born"])]
            for pid in (record["pid"] for _, record in found if is_alive(record)):
                os.kill(pid, signal.SIGTERM)
            _wait_until(lambda records=found: not any(is_alive(record) for _, record in records), STOP_S)  # type: ignore[misc]
            signal_sessions(sessions, signal.SIGTERM)  # flow runs of a worker
            _wait_until(lambda pids=sessions: not members(pids), STOP_S)  # type: ignore[misc]
            signal_sessions(sessions, signal.SIGKILL)
            for service, _ in found:
                self._file(service).unlink(missing_ok=True)
                say(f"stopped {service.name}")

    def status(self) -> dict[str, str]:
        """Name -> what a person wants to know of it."""
        found = {}
        for service in (*self.servers, *self.workers):
            record = self._record(service)
            if record is None or not is_alive(record):
                found[service.name] = "down" if record is None else f"died; {self._log(service)} says why"
            else:
                well = "healthy" if is_healthy(service) else "does not answer"
                found[service.name] = f"{well}, pid {record['pid']}" + (
                    f", port {record['port']}" if service.port else ""
                )
        return found

    def _introduce(self, settings: OrchestrationConfig, say: Callable[[str], None]) -> None:
        """Make pools, limits and deployments known to the server, unless it knows these already."""
        mark = self.folder / "deployed.json"
        known = {
            "prefect_yaml": sha256_file(self.root / "prefect.yaml"),
            "server": self.prefect_url,
            **settings.model_dump(),
        }
        if mark.exists() and read_json(mark) == known and any(map(self._runs, self.workers)):
            return
        say("makes pools, limits and deployments known")
        for pool in POOLS:
            self._run(self.prefect, "work-pool", "create", pool, "--type", "process", "--overwrite")
        limits = {"cpu": settings.cpu_leases, "gpu": settings.stages_per_gpu}  # a flow that sees the GPUs corrects it
        for kind, limit in limits.items():
            with contextlib.suppress(SrledgerError):  # it is there
                self._run(self.prefect, "gcl", "create", kind, "--limit", str(limit))
        self._run(self.prefect, "--no-prompt", "deploy", "--all")
        write_json(mark, known)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stderr + done.stdout).strip().splitlines()[-SHOWN_LOG_LINES:]
            raise SrledgerError("a command of the set-up failed", where=" ".join(command[1:]), found="\n".join(said))

    def _start(self, service: Service) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log(service).open("ab") as log:
            process = subprocess.Popen(
                service.command, cwd=self.root, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        write_json(self._file(service), {"pid": process.pid, "born": birth(process.pid), "port": service.port})

    def _await(self, service: Service) -> None:
        record = self._record(service)
        ready = _wait_until(lambda: is_healthy(service) or not is_alive(record or {}), START_S)
        if not ready or not is_alive(record or {}):
            said = self._log(service).read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LOG_LINES:]
            raise SrledgerError(
                f"{service.name} {'is not healthy' if is_alive(record or {}) else 'ended'}", where=self._log(service),
                found="\n".join(said), mend="srledger services down, then up again",
            )  # fmt: skip

    def _runs(self, service: Service) -> bool:
        record = self._record(service)
        return record is not None and is_alive(record) and record["port"] == service.port

    def _known_port(self, name: str) -> int | None:
        """Where a service of this clone listens, when it runs."""
        path = self.folder / f"{name}.json"
        record = read_json(path) if path.exists() else {}
        return int(record["port"]) if is_alive(record) else None

    def _record(self, service: Service) -> dict[str, int] | None:
        return read_json(self._file(service)) if self._file(service).exists() else None

    def _file(self, service: Service) -> Path:
        return self.folder / f"{service.name}.json"

    def _log(self, service: Service) -> Path:
        return self.folder / f"{service.name}.log"


def check_port(service: Service) -> None:
    """Raises SrledgerError when another program listens where ``service`` should."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, service.port or 0))
        except OSError as error:
            raise SrledgerError(
                f"the port of {service.name} is taken", where=f"{HOST}:{service.port}", found=error.strerror,
                expected="a free port", mend=f"srledger services up {service.option} {(service.port or 0) + 1}",
            ) from None  # fmt: skip


def is_healthy(service: Service) -> bool:
    """Whether it answers; one without an address is healthy while it runs."""
    if not service.health:
        return True
    try:
        with urllib.request.urlopen(service.health, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def birth(pid: int) -> int | None:
    """When a living process began, in clock ticks of the machine: unique with its pid. None when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_alive(record: Mapping[str, int]) -> bool:
    """Whether the process of a record runs, and is not another that got its pid."""
    return bool(record) and birth(record["pid"]) == record["born"]


def members(sessions: Iterable[int]) -> list[int]:
    """Living processes of the sessions that these pids began."""
    wanted, found = set(sessions), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and birth(int(entry.name)) is not None:
            with contextlib.suppress(OSError):
                if os.getsid(int(entry.name)) in wanted:
                    found.append(int(entry.name))
    return found


def signal_sessions(sessions: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to all that lives of these sessions."""
    for pid in members(sessions):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def left_of(record: Mapping[str, int]) -> list[int]:
    """What a service left running that ended otherwise than by `down`: MLflow's child, a worker's flow runs."""
    if not record or birth(record["pid"]) is not None:  # it lives, or another process has its pid: then all have ended
        return []
    return members([record["pid"]])


def end_left(record: Mapping[str, int]) -> None:
    """End what a dead service left running: TERM, wait, then KILL."""
    if left_of(record):
        signal_sessions([record["pid"]], signal.SIGTERM)
        _wait_until(lambda: not left_of(record), STOP_S)
        signal_sessions([record["pid"]], signal.SIGKILL)


def worker_name() -> str:
    """A name for a new worker that tells its machine: flow runs keep it, and `srledger doctor` goes by it."""
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"


def host_of(worker: str) -> str:
    """The machine of a worker that was named by ``worker_name``."""
    return worker.rpartition("-")[0]


def _wait_until(true: Callable[[], bool], timeout_s: float) -> bool:
    give_up_s = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() >= give_up_s:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
