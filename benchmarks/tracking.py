"""What tracking costs a training: the share of a core that sampling and MLflow take. `make bench` runs it.

Two ways to see it: CPU time of each part over the time between its calls, which is exact, and steps with and without
the sampler in turn, which is what a training feels but drowns in the noise of a busy machine.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from run import median_s, step_and_draw

from srledger.io import write_json
from srledger.tracking.client import connect, experiment_of
from srledger.tracking.follow import LOOK_EVERY_S
from srledger.tracking.live import Live
from srledger.tracking.owner import this_process
from srledger.tracking.vitals import SHORTEST_S, Meter, Vitals, append_sample, pause_s, seed_folder

PAIRS, STEPS = 6, 4
LOG_EVERY_STEPS, CURVES = 50, 4  # of scale celeba_cpu


def cpu_s(call: Callable[[], object], repeats: int) -> float:
    """CPU seconds of one call, all threads of this process."""
    call()
    started_s = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - started_s) / repeats


def sample_s(folder: Path) -> float:
    """CPU seconds of one sample of the machine."""
    meter = Meter()

    def sample() -> None:
        assert seed_folder() == folder
        append_sample(folder / "machine.csv", meter.read())

    with FileLock(folder / "lock"):
        return cpu_s(sample, 200)


def look_s(root: Path, folder: Path) -> float:
    """CPU seconds of one look that finds ten seconds' worth of new points in a training."""
    write_json(folder / "process.json", this_process())
    live, meter, step = Live(root, "quick"), Meter(), 0

    def look() -> None:
        nonlocal step
        step += LOG_EVERY_STEPS
        curves = [(at, f"loss_{k}", 0.5) for at in range(0, step, LOG_EVERY_STEPS) for k in range(CURVES)]
        write_json(folder / f"step_{step:08d}.json", {"state": {"curves": curves}})
        append_sample(folder / "machine.csv", meter.read())
        with connect(root) as client:
            live.look(client, experiment_of(client, "quick", root))

    return cpu_s(look, 20)


def slowdown(folder: Path) -> list[float]:
    """Step time with the sampler over that without it, in turn, one ratio per pair."""
    step, _ = step_and_draw(folder / "packs")
    ratios = []
    with FileLock(folder / "lock"):
        for _ in range(PAIRS):
            without_s = median_s(step, STEPS)
            with Vitals():
                time.sleep(2 * SHORTEST_S)
                with_s = median_s(step, STEPS)
            ratios.append(with_s / without_s)
    return ratios


def main() -> None:
    """Print one line per figure."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{root}/mlflow.db"
        folder = root / "scratch" / "quick" / "bench" / "seed0" / f"{0:016x}"
        folder.mkdir(parents=True)
        sample = sample_s(folder)
        print(f"{'a sample of the machine (ms of CPU)':45} {sample * 1e3:12.2f}")
        for label, passed_s in (("first 25 s", 0.0), ("after an hour", 3600.0)):
            print(f"{f'  share of a core, {label} (%)':45} {100 * sample / pause_s(passed_s):12.3f}")
        look = look_s(root, folder)
        print(f"{'a look of the follower (ms of CPU)':45} {look * 1e3:12.1f}")
        print(f"{'  share of a core, its own process (%)':45} {100 * look / LOOK_EVERY_S:12.3f}")
        spent = 100 * (sample / SHORTEST_S + look / LOOK_EVERY_S)
        print(f"{'tracking in all, at its dearest (%)':45} {spent:12.2f}", flush=True)
        low, middle, high = (100 * (q - 1) for q in statistics.quantiles(slowdown(folder), n=4))
    print(f"{'step with the sampler over without (%)':45} {middle:+12.2f}   (quartiles {low:+.2f} {high:+.2f})")
    if spent >= 1.0:
        sys.exit("tracking costs 1 % of a core or more")


if __name__ == "__main__":
    main()
