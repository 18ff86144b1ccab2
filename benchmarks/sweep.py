"""What leases buy: one sweep with 1 CPU lease and with 2, 1 thread each, trainings of a minute (`make bench-sweep`).

Prints seconds of both, their ratio, and the flow's own seconds per stage: what is neither a stage nor waiting for one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "stages", "flows", "published", "ablations")
FILES = ("params.yaml", "dvc.yaml", "prefect.yaml", "pyproject.toml", ".dvcignore", ".gitignore")
ROWS = "[landmark_unet__base, landmark_unet__heatmap_off, landmark_unet__gamma_0_5, landmark_unet__lambda_0_5]"
STEPS = 3400  # of the smallest network: over a minute on one thread
EDITS = (
    (r"(?m)^scale: \w+", "scale: smoke"),
    (r"(  smoke:(?:\n    .*)+?\n      rows: )\[.*\]", rf"\g<1>{ROWS}"),
    (r"training: \{ steps: 24, .* \}", f"training: {{ steps: {STEPS}, batch_size: 4, threads: 1, "
     "log_every_steps: 100, checkpoint_every_steps: 1000 }"),
)  # fmt: skip


def sweep(folder: Path, leases: int) -> tuple[float, dict[str, float]]:
    """(seconds of the whole command, seconds of each stage that ran) in a fresh copy whose data are already made."""
    for part in FOLDERS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "dvc.lock"))
    for part in FILES:
        shutil.copyfile(ROOT / part, folder / part)
    params = folder / "params.yaml"
    text = params.read_text(encoding="utf-8")
    for pattern, new in (*EDITS, (r"cpu_leases: \d+", f"cpu_leases: {leases}")):
        text, count = re.subn(pattern, new, text, count=1)
        assert count == 1, pattern
    params.write_text(text, encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "src"),
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def stages() -> dict[str, float]:
        return dict(json.loads((folder / "scratch/flows/seconds_smoke.json").read_text(encoding="utf-8")))

    for command in (("git", "init", "-q"), ("dvc", "init", "-q"), ("srledger", "ablations", "--write")):
        run(*command)
    run("srledger", "pipeline", "gate_priors")
    before = stages()
    started_s = time.perf_counter()
    run("srledger", "sweep")
    seconds = time.perf_counter() - started_s
    started_s = time.perf_counter()
    run("srledger", "sweep")
    print(f"a sweep with nothing to do: {time.perf_counter() - started_s:.1f} s")
    return seconds, {label: took_s for label, took_s in stages().items() if label not in before}


def main() -> None:
    """Print the table."""
    totals = {}
    for leases in (1, 2):
        with tempfile.TemporaryDirectory() as name:
            totals[leases], stages = sweep(Path(name) / "project", leases)
        trainings = [seconds for label, seconds in stages.items() if label.startswith("train@")]
        took = ", ".join(f"{seconds:.1f}" for seconds in trainings)
        print(f"sweep, {leases} CPU lease(s): {totals[leases]:.1f} s; trainings took {took} s")
        if leases == 1:
            beside = totals[1] - sum(stages.values())
            print(f"  beside the stages {beside:.1f} s: {beside / len(stages):.2f} s for each of {len(stages)}")
    print(f"ratio: {totals[2] / totals[1]:.3f}")


if __name__ == "__main__":
    main()
