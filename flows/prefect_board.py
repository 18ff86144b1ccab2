"""Runs shown in Prefect: a task per stage, named like it, with its lines; the plan, progress and results as artifacts.

Prefect is a mirror: the schedule, the leases and what is out of date are decided elsewhere (``scheduler``, DVC).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed, State
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows import supervisor
from flows.graph import Stage
from flows.leases import Kind, Lease, Leases
from flows.plan import Plan
from flows.process import Result, StagePool
from flows.run import Ended
from srledger.config import Params
from srledger.errors import SrledgerError

# Wide enough for every stage that leases let run, and for those that are only noted.
STAGE_THREADS: TaskRunner[PrefectFuture[Any]] = ThreadPoolTaskRunner(max_workers=64)  # type: ignore[assignment]
KINDS: tuple[Kind, ...] = ("cpu", "gpu")


class StageFailedError(Exception):
    """A stage failed; the message is why."""


class PrefectBoard:
    """Shows a run in the flow run that it is made in."""

    def __init__(self) -> None:
        self._log = get_run_logger()
        self._futures: dict[str, PrefectFuture[Any]] = {}
        self._results: dict[str, Result] = {}
        self._mirror_off = False

    def begin(self, plan: Plan, pool: StagePool, params: Params, leases: Leases) -> None:
        """Show the plan."""
        self._pool, self._settings, self._scale = pool, params.orchestration, params.scale
        self._total, self._ended = len(plan.stages) + plan.up_to_date, 0
        self._progress: UUID | None = None
        self.say(plan.summary(leases.count("gpu") or leases.count("cpu")))
        if plan.stages:
            made = create_progress_artifact(0.0, key="progress", description="stages that have ended")
            assert isinstance(made, UUID)  # outside an event loop
            self._progress = made
            create_table_artifact(
                [
                    {"stage": each.label, "why": each.why, "seconds last time": each.seconds or "not known"}
                    for each in plan.stages
                ],
                key="plan",
                description=plan.summary(leases.count("gpu") or leases.count("cpu")),
            )

    def start(self, stage: Stage, lease: Lease) -> PrefectFuture[Any]:
        """Run a stage in a task."""
        task = self._task(stage, lambda: self._run(stage, lease), tags_of(stage), self._settings.retries)
        self._futures[stage.name] = task.submit(return_state=False, wait_for=self._good_ones(stage))
        return self._futures[stage.name]

    def note(self, stage: Stage, result: Result) -> None:
        """A task that only says why its stage did not run."""

        def say_why() -> State[Any]:  # made inside the task: the server drops a state that is older than its start
            if result.outcome == "blocked":
                return Cancelled(name="UpstreamFailed", message=result.why)
            return Completed(name="Skipped", message="up to date")

        self._results[stage.name] = result
        # Without tags: Prefect asks its server for leave for every tag.
        task = self._task(stage, say_why)
        self._futures[stage.name] = task.submit(return_state=False, wait_for=self._good_ones(stage))
        self._futures[stage.name].wait()  # a flow that ends cancels what has not ended

    def result(self, stage: Stage, future: PrefectFuture[Any]) -> Result:
        """The stage's own result; a task that ended without one broke down."""
        made = self._results.get(stage.name)
        return made if made is not None else Result("failed", f"its task broke down: {future.state.message}")

    def ended(self, stage: Stage, result: Result) -> None:
        """Move the progress bar."""
        self._ended += 1
        if self._progress is not None and result.outcome != "skipped":
            update_progress_artifact(self._progress, 100.0 * self._ended / self._total)

    def finish(self, ended: Ended) -> None:
        """The flow run's state says how all ended."""

    def held(self, leases: Leases) -> None:
        """Mirror the leases as Prefect's global concurrency limits ``cpu`` and ``gpu``; they decide nothing."""
        if self._mirror_off:
            return
        try:
            with get_client(sync_client=True) as client:
                for kind in KINDS:
                    if total := leases.count(kind):
                        slots = GlobalConcurrencyLimitUpdate(limit=total, active_slots=len(leases.held(kind)))
                        client.update_global_concurrency_limit(kind, slots)
        except Exception as error:  # whatever a mirror has must not stop a training
            self._mirror_off = True
            self._log.warning("the limits `cpu` and `gpu` are not shown (`srledger services up` makes them): %s", error)

    def say(self, line: str) -> None:
        """A line in the flow run's log."""
        self._log.info("%s", line)

    def refused(self, error: SrledgerError) -> State[Any]:
        """The end of a flow run that could not begin: what is wrong, and what mends it."""
        self._log.error("%s", error)
        return Failed(message=str(error))

    def _run(self, stage: Stage, lease: Lease) -> State[Any]:
        log = get_run_logger()
        result = self._pool.run(stage.name, keep=[lease.handle], env=lease.env, say=lambda line: log.info("%s", line))
        self._results[stage.name] = result
        if result.outcome == "failed":
            raise StageFailedError(result.why)
        if result.outcome == "skipped":
            return Completed(name="Skipped", message="nothing that it reads has changed")
        if result.outcome == "restored":
            return Completed(name="Restored", message="from DVC's run cache")
        return Completed()

    def _task(
        self, stage: Stage, work: Callable[[], State[Any]], tags: Iterable[str] = (), retries: int = 0
    ) -> Task[..., Any]:
        def may_help(task: object, run: object, state: object) -> bool:
            return self._results[stage.name].again

        return Task(
            work, name=stage.label, task_run_name=stage.label, tags=tags, cache_policy=NO_CACHE,
            persist_result=False, retries=retries, retry_delay_seconds=self._settings.retry_delay_s,
            retry_condition_fn=may_help,
        )  # fmt: skip

    def _good_ones(self, stage: Stage) -> list[PrefectFuture[Any]]:
        """Tasks before this one that ended well, for the page's picture; Prefect starts none after a failure."""
        return [self._futures[name] for name in stage.after if name in self._futures and self._results[name].good]


def follow_worker() -> None:
    """End this flow run when the worker that started it is killed: nobody could cancel it any more."""
    if "PREFECT__FLOW_RUN_ID" in os.environ:
        supervisor.die_with_parent(signal.SIGTERM)


def tags_of(stage: Stage) -> list[str]:
    """``train``, and the row or task or dataset that it is about."""
    return [tag for tag in (stage.group, stage.item) if tag]


def show_results(root: Path, reports: str) -> None:
    """The result tables of ``reports/<reports>`` as markdown, and a link to its page."""
    folder = root / "reports" / reports
    tables = [f"## {path.stem}\n\n{path.read_text(encoding='utf-8')}" for path in sorted(folder.glob("tables/*.md"))]
    if tables:
        create_markdown_artifact("\n\n".join(tables), key="tables", description=f"reports/{reports}/tables")
    if (folder / "index.html").exists():
        create_link_artifact((folder / "index.html").resolve().as_uri(), f"reports/{reports}/index.html", key="report")


def end_state(ended: Ended) -> State[Any]:
    """Completed, or Failed with the stages that failed by name."""
    return Failed(message=ended.summary()) if ended.failures else Completed(message=ended.summary())
