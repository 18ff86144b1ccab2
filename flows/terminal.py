"""The same runs in one process without a server: `srledger pipeline` and `srledger sweep`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from flows.graph import Stage
from flows.leases import Lease, Leases
from flows.plan import Plan
from flows.process import Result, StagePool
from flows.run import Ended
from srledger.config import Params


class TerminalBoard:
    """Shows a run as lines, each with its stage's name."""

    def __init__(self) -> None:
        self._print = threading.Lock()

    def begin(self, plan: Plan, pool: StagePool, params: Params, leases: Leases) -> None:
        """Say the plan."""
        self._pool, self._settings = pool, params.orchestration
        self._threads = ThreadPoolExecutor(max_workers=len(leases.slots), thread_name_prefix="stage")
        self.say(plan.summary(leases.count("gpu") or leases.count("cpu")))

    def start(self, stage: Stage, lease: Lease) -> Future[Result]:
        """Run a stage in a thread, again when that may help."""
        return self._threads.submit(self._run, stage, lease)

    def _run(self, stage: Stage, lease: Lease) -> Result:
        def say(line: str) -> None:
            self.say(f"{stage.label}: {line}")

        result = self._pool.run(stage.name, keep=[lease.handle], env=lease.env, say=say)
        for _ in range(self._settings.retries):
            if not result.again:
                break
            say(f"failed: {result.why}; tried again in {self._settings.retry_delay_s:g} s")
            time.sleep(self._settings.retry_delay_s)
            result = self._pool.run(stage.name, keep=[lease.handle], env=lease.env, say=say)
        return result

    def note(self, stage: Stage, result: Result) -> None:
        """Only what is blocked is worth a line."""
        if result.outcome == "blocked":
            self.say(f"{stage.label}: {result.why}")

    def result(self, stage: Stage, future: Future[Result]) -> Result:
        """The thread's result."""
        return future.result()

    def ended(self, stage: Stage, result: Result) -> None:
        """Nothing follows from it here."""

    def held(self, leases: Leases) -> None:
        """Nothing to show."""

    def finish(self, ended: Ended) -> None:
        """Say how all ended."""
        self.say(ended.summary())

    def say(self, line: str) -> None:
        """Print one line, whole."""
        with self._print:
            print(line, flush=True)
