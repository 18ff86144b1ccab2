"""Real images through download, gates and packs: seconds and memory of each stage. `make bench` runs it.

Needs SRLEDGER_MIRROR; without it a line says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGETS = ("gate_manifests", "gate_pairs")
COPIED = ("src", "stages", "published", "params.yaml", "dvc.yaml", ".dvcignore", ".gitignore")


def peak_memory_mib(process: subprocess.Popen[bytes]) -> float:
    """The largest resident size of any process below ``process`` while it runs, sampled."""
    peak_kib = 0
    while process.poll() is None:
        for pid in descendants(process.pid):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            found = re.search(r"VmHWM:\s+(\d+)", status)
            peak_kib = max(peak_kib, int(found[1]) if found else 0)
        time.sleep(0.05)
    return peak_kib / 1024


def descendants(pid: int) -> list[int]:
    """``pid`` and every process below it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def main() -> None:
    """Print the table."""
    if not os.environ.get("SRLEDGER_MIRROR"):
        print("intake: SRLEDGER_MIRROR is not set, so there are no real images to take in")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in COPIED:
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copyfile
            copy(source, folder / part)
        params = folder / "params.yaml"
        params.write_text(re.sub(r"(?m)^scale: \w+", "scale: celeba_cpu", params.read_text()))
        environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "DVC_SITE_CACHE_DIR": str(folder / "site")}
        for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
            subprocess.run(command, cwd=folder, env=environment, check=True)
        subprocess.run([sys.executable, "-m", "compileall", "-q", "src"], cwd=folder, check=True)
        for title in ("first run", "second run"):
            started_s = time.perf_counter()
            process = subprocess.Popen(
                ["dvc", "repro", *TARGETS], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=sys.stderr
            )
            peak_mib = peak_memory_mib(process)
            assert process.stdout is not None
            said = process.stdout.read().decode()
            ran = len(re.findall(r"Running stage", said))
            print(f"intake, {title}: {time.perf_counter() - started_s:.1f} s, {ran} stages, peak {peak_mib:.0f} MiB")
            print("".join(f"  {line}\n" for line in said.splitlines() if re.match(r"(download|degrade|gate) ", line)))


if __name__ == "__main__":
    main()
