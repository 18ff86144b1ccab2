"""Speeds of this machine, printed as a table: medians of repeated runs. `make bench` runs it; it is not a test."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from srledger.methods import Batch
from srledger.methods.landmark_unet import Config, LandmarkUnet
from srledger.packs import Pack, PackWriter
from srledger.training.batches import Examples, draw_batch
from srledger.training.config import TrainingConfig
from srledger.training.determinism import prepare_torch

ROOT = Path(__file__).parents[1]


def median_s(call: Callable[[], object], repeats: int) -> float:
    """Median seconds of ``call``, after one warm-up."""
    call()
    seconds = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started_s)
    return statistics.median(seconds)


def crops_per_second(folder: Path) -> float:
    """192 px crops of 480 px images, one core, from the memory-mapped pack into a batch buffer."""
    rng = np.random.default_rng(0)
    with PackWriter(folder / "pack", np.uint8) as writer:
        for k in range(64):
            writer.add(f"i{k}", rng.integers(0, 256, (480, 480, 3), np.uint8))
    pack, buffer = Pack(folder / "pack"), np.empty((256, 192, 192, 3), np.uint8)

    def fill() -> None:
        for k in range(len(buffer)):
            top, left = rng.integers(0, 288, 2)
            buffer[k] = pack[int(rng.integers(len(pack)))][top : top + 192, left : left + 192]

    return len(buffer) / median_s(fill, 9)


def step_and_draw(folder: Path) -> tuple[Callable[[], None], Callable[[], object]]:
    """A training step and the drawing of its batch, to be called often: 16 faces of 128 px, 2 threads, bf16."""
    rng = np.random.default_rng(0)
    with (
        PackWriter(folder / "t" / "train_hr", np.uint8) as hr,
        PackWriter(folder / "t" / "train_lr", np.uint8) as lr,
        PackWriter(folder / "p" / "train", np.float16) as prior,
    ):
        for k in range(64):
            hr.add(f"i{k}", rng.integers(0, 256, (128, 128, 3), np.uint8))
            lr.add(f"i{k}", rng.integers(0, 256, (16, 16, 3), np.uint8))
            prior.add(f"i{k}", np.ones((1, 1, 1), np.float16))
    config = TrainingConfig(precision="bf16")
    prepare_torch(config.threads, config.device)
    examples = Examples(folder / "t", folder / "p", "train")
    method = LandmarkUnet(Config(width=40, up_widths=(64, 32, 16), refine_blocks=1, pixel_loss="l1"), 8)
    method = method.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-4)
    steps = iter(range(10**6))

    def draw() -> tuple[torch.Tensor, ...]:
        return draw_batch(examples, config, 8, "bench", 0, next(steps))

    def step() -> None:
        low, high, weights = (tensor.to(memory_format=torch.channels_last) for tensor in draw())
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            total = method.loss(Batch(low, high, weights, 0.5, torch.Generator()))["total"]
        total.backward()
        optimizer.step()

    return step, draw


def command_s(*command: str) -> float:
    """Median seconds of a command in the project's folder."""
    return median_s(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=True), 3)


def main() -> None:
    """Print one line per figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'192 px crops per second and core':45} {crops_per_second(folder):12,.0f}")
        step, loading = (median_s(call, 15) for call in step_and_draw(folder))
        print(f"{'training step, 16 faces of 128 px, bf16 (ms)':45} {step * 1e3:12.1f}")
        print(f"{'  of which loading (%)':45} {100 * loading / step:12.1f}")
    if (ROOT / "dvc.lock").exists():
        print(f"{'dvc status, nothing to do (s)':45} {command_s('dvc', 'status'):12.2f}")
    print(f"{'srledger --help (s)':45} {command_s('srledger', '--help'):12.2f}")


if __name__ == "__main__":
    main()
