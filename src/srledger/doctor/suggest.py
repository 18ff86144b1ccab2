"""Faster precision and threads for this machine, measured on a short training of a small network.

Both are settings of params.yaml and part of a run's fingerprint: another value gives other bits. So nothing picks them
at run time, and this only prints lines to put there.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from srledger.config import Params
from srledger.io import canonical_json
from srledger.training.config import TrainingConfig
from srledger.yamlmap import YamlFile

WORTH = 1.1  # a setting that is less than a tenth faster is not worth other bits
MEASURED_S, ROUNDS = 0.3, 3  # the fastest round counts: what else runs here only slows
BUSY_LOAD = 0.5
WARM_UP_STEPS = 2
BATCH_SIZE, SIZE_PX, CHANNELS, BLOCKS = 4, 64, 32, 4
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # what fp32 and bf16 products can use


@dataclasses.dataclass(frozen=True)
class Setting:
    """Training settings that decide speed."""

    device: str
    precision: str
    threads: int

    @property
    def line(self) -> str:
        """As it stands in params.yaml."""
        device = f", device: {self.device}" if self.device != "cpu" else ""
        return f"{{ precision: {self.precision}, threads: {self.threads}{device} }}"


def suggest(root: Path, say: Callable[[str], None]) -> None:
    """Measure this machine and print the fastest settings, with what each setting was measured at.

    They are compared with what params.yaml in ``root`` says for its scale, on this machine's CPU.
    """
    cores = len(os.sched_getaffinity(0))
    flags = cpu_flags()
    shown = ", ".join(flag for flag in FLAGS if flag in flags) or "none of " + ", ".join(FLAGS)
    say(f"cpu: {cores} core{'s' * (cores != 1)}; {shown}")
    say(f"gpu: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none that CUDA shows'}")
    busy = os.getloadavg()[0]
    params = Params(YamlFile.read(root / "params.yaml"))
    said = TrainingConfig.model_validate_json(canonical_json({**params.entries.training, **params.block.training}))
    today = Setting("cpu", said.precision, min(said.threads, cores))
    speeds: dict[Setting, float] = {}
    say(f"images/s of a training step ({BLOCKS} convolutions of {CHANNELS} channels, {BATCH_SIZE} x {SIZE_PX} px):")
    for setting in dict.fromkeys([today, *settings(cores)]):
        speeds[setting] = images_per_s(setting)
        say(f"  {setting.device:5}{setting.precision:5}{setting.threads:3} threads  {speeds[setting]:10.1f}")
    if busy > BUSY_LOAD:
        say(f"no suggestion: other programs kept {busy:.1f} cores busy; measure again when they have ended")
        return
    for line in advice(speeds, today, cores):
        say(line)


def settings(cores: int) -> Iterator[Setting]:
    """What is measured: both precisions, with threads in powers of two up to every core; on a GPU too."""
    counts = sorted({cores, *(2**k for k in range(cores.bit_length()) if 2**k <= cores)})
    for precision in ("fp32", "bf16"):
        yield from (Setting("cpu", precision, threads) for threads in counts)
        if torch.cuda.is_available():
            yield Setting("cuda", precision, min(2, cores))


def advice(speeds: dict[Setting, float], today: Setting, cores: int) -> Iterator[str]:
    """Lines for params.yaml, from images per second of each setting. ``today``: what params.yaml says."""
    best = max(speeds, key=lambda setting: speeds[setting])
    gain = speeds[best] / speeds[today]
    if gain < WORTH:
        yield f"one training: nothing measured is {WORTH - 1:.0%} faster than {today.line}"
    else:
        yield f"one training, {gain:.1f} times as fast as with {today.line}:"
        yield f"  training: {best.line}"
    alone = {setting: speed for setting, speed in speeds.items() if setting.device == "cpu"}
    # Side by side: cores // threads trainings at once, each at the speed that it was measured at alone.
    together = {setting: speed * (cores // setting.threads) for setting, speed in alone.items()}
    widest = max(together, key=lambda setting: together[setting])
    if cores // widest.threads > 1:
        gain = together[widest] / max(alone.values())
        yield f"many trainings side by side, at most {gain:.1f} times as many images/s as one alone:"
        yield f"  training: {widest.line}"
        yield f"  orchestration: {{ cpu_leases: {cores // widest.threads} }}"
    yield "another precision or number of threads gives other bits: what was trained before is trained again"


def images_per_s(setting: Setting) -> float:
    """Images per second of a training step with one setting."""
    before = torch.get_num_threads()
    torch.set_num_threads(setting.threads)
    try:
        step = _training(setting)
        for _ in range(WARM_UP_STEPS):
            step()
        return max(_speed(step) for _ in range(ROUNDS))
    finally:
        torch.set_num_threads(before)


def _speed(step: Callable[[], None]) -> float:
    steps, started_s = 0, time.perf_counter()
    while (passed_s := time.perf_counter() - started_s) < MEASURED_S:
        step()
        steps += 1
    return steps * BATCH_SIZE / passed_s


def _training(setting: Setting) -> Callable[[], None]:
    """One step of a small network as ``training/loop.py`` takes it: channels last, autocast, AdamW."""
    generator = torch.Generator().manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, CHANNELS, 3, padding=1)]
    for _ in range(BLOCKS - 2):
        layers += [nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)]
    network = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(CHANNELS, 3, 3, padding=1))
    network = network.to(setting.device).to(memory_format=torch.channels_last)
    images = torch.rand(BATCH_SIZE, 3, SIZE_PX, SIZE_PX, generator=generator).to(setting.device)
    images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(setting.device, dtype=torch.bfloat16, enabled=setting.precision == "bf16"):
            loss = (network(images) - images).abs().mean()
        loss.backward()
        optimizer.step()
        float(loss.detach())  # waits for a GPU, as the loop does

    return step


def cpu_flags() -> set[str]:
    """The instruction sets of the processor; empty where /proc/cpuinfo names none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return set(line.partition(":")[2].split())
