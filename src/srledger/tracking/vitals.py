"""CPU, memory and GPU of a training, sampled while it runs into the scratch folder of the seed that trains.

A thread of the stage's own process that only reads counters: it draws nothing at random and no training waits for it.
Which seed trains is known from the lock file that the process holds open.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from srledger.io import read_json, write_json
from srledger.tracking.owner import this_process

PROCESS, SAMPLES = "process.json", "machine.csv"  # in the scratch folder of a seed
SEED_LOCK = re.compile(r".*/scratch/[^/]+/[^/]+/seed\d+/[0-9a-f]{16}/lock")
SHORTEST_S, LONGEST_S = 0.25, 60.0  # between two samples: a hundredth of what has passed, within these
MEGA = 1e6

# MLflow's page shows what is named like its own system metrics.
NAMES = (
    "cpu_utilization_percentage",
    "system_memory_usage_megabytes",
    "process_cpu_percentage",
    "process_memory_megabytes",
    "process_gpu_memory_megabytes",
    "gpu_0_utilization_percentage",
    "gpu_0_memory_usage_megabytes",
    "gpu_0_power_usage_watts",
)


class Vitals:
    """``with Vitals(): train()``: samples as long as the block runs, and leaves word when an error ends it."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vitals", daemon=True)
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(LONGEST_S)
        if isinstance(error, Exception) and self._folder is not None:
            path = self._folder / PROCESS
            with contextlib.suppress(OSError):  # a full disk: the error itself is what a person must see
                write_json(path, {**read_json(path), "failed": (str(error).splitlines() or [repr(error)])[0]})

    def _run(self) -> None:
        try:
            meter, started_s = Meter(), time.monotonic()
            while not self._over.wait(pause_s(time.monotonic() - started_s)):
                folder = seed_folder()
                if folder is None:
                    continue
                if folder != self._folder:
                    write_json(folder / PROCESS, this_process())
                    self._folder, started_s = folder, time.monotonic()
                append_sample(folder / SAMPLES, meter.read())
        except Exception as error:  # whatever happens to what is only shown must not stop a training
            print(f"no samples of this machine any more: {error}", file=sys.stderr)


def pause_s(passed_s: float) -> float:
    """Seconds to the next sample: a day gives some 2,000, and a short training its share."""
    return min(LONGEST_S, max(SHORTEST_S, passed_s / 100))


def seed_folder() -> Path | None:
    """The scratch folder whose lock this process holds open: that of the seed that trains now."""
    for handle in Path("/proc/self/fd").iterdir():
        try:
            target = handle.readlink()
        except OSError:
            continue  # closed while we looked
        if SEED_LOCK.fullmatch(str(target)):
            return target.parent
    return None


class Meter:
    """Reads the counters of this process and its machine; shares of CPU are since the last reading."""

    def __init__(self) -> None:
        import psutil

        self._psutil, self._process = psutil, psutil.Process()
        self._gpu: tuple[Any, Any] | None = None  # NVML, and its handle of the device that torch uses
        self._gpu_known = False
        self.read()

    def read(self) -> dict[str, float]:
        """Value by name; a GPU's once the process uses one."""
        values = {
            "cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system_memory_usage_megabytes": self._psutil.virtual_memory().used / MEGA,
            "process_cpu_percentage": self._process.cpu_percent(),
            "process_memory_megabytes": self._process.memory_info().rss / MEGA,
        }
        torch = sys.modules.get("torch")
        cuda = getattr(torch, "cuda", None)
        if torch is None or cuda is None or not cuda.is_initialized():
            return values
        if not self._gpu_known:
            self._gpu, self._gpu_known = open_gpu(str(cuda.get_device_properties(0).uuid)), True
        values["process_gpu_memory_megabytes"] = cuda.memory_reserved(0) / MEGA
        return values | (gpu_values(*self._gpu) if self._gpu else {})


def open_gpu(uuid: str) -> tuple[Any, Any] | None:
    """NVML and its handle of a device; None where there is no NVML, or it does not know the device."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")
    except pynvml.NVMLError:
        return None


def gpu_values(nvml: Any, handle: Any) -> dict[str, float]:
    """What NVML tells of a device; a part of a GPU (MIG) has no utilization or power of its own."""
    asked = {
        "gpu_0_utilization_percentage": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "gpu_0_memory_usage_megabytes": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used / MEGA,
        "gpu_0_power_usage_watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
    }
    values = {}
    for name, ask in asked.items():
        try:
            values[name] = float(ask())
        except nvml.NVMLError:
            continue
    return values


def append_sample(path: Path, values: dict[str, float]) -> None:
    """Add a line; a line that a kill tore is closed first, and readers pass over it."""
    line = ",".join([f"{time.time():.3f}", *(f"{values[name]:.1f}" if name in values else "" for name in NAMES)])
    with path.open("a+b") as file:
        if file.tell() == 0:
            line = ",".join(["unix_s", *NAMES]) + "\n" + line
        else:
            file.seek(-1, 2)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write(f"{line}\n".encode())


def read_samples(path: Path) -> list[tuple[str, float, int, int]]:
    """(name, value, number of the sample, unix time in ms) of every whole line; empty when there are none."""
    if not path.exists():
        return []
    header, *lines = path.read_text(encoding="utf-8").split("\n")[:-1] or [""]  # behind the last end: being written
    names, samples = header.split(",")[1:], []
    for k, line in enumerate(lines):
        when, *values = line.split(",")
        if len(values) == len(names):
            unix_ms = round(float(when) * 1000)
            samples += [(name, float(value), k, unix_ms) for name, value in zip(names, values, strict=True) if value]
    return samples
