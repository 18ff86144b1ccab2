"""Sweeps in MLflow: a run per sweep, the parent of the runs of its rows, with plan, revision, outcome and report."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from srledger.io import sha256_json
from srledger.layout import Layout
from srledger.tracking.client import REVISION, SWEEP, log_metrics
from srledger.tracking.owner import to_tags
from srledger.tracking.sweeps import Sweep, sweeps
from srledger.tracking.trainings import State

SHOWN = "srledger.shown"  # the hash of what a sweep's run shows
REPORT_STAGE = "ablations/report"
NOTE_CHARACTERS = 5000  # MLflow takes 8,000 bytes in a tag


def show_sweeps(client: Any, experiment_id: str, root: Path, scale: str, gone: int | None = None) -> dict[str, str]:
    """Bring the runs of all sweeps of a scale up to date; returns row -> run of the newest sweep it belongs to."""
    every = list(sweeps(root, scale))
    if not every:
        return {}
    found = client.search_runs([experiment_id], f"tags.`{SWEEP}` LIKE '%'", max_results=10000)
    known = {run.data.tags[SWEEP]: run for run in found}
    parents = {}
    for sweep in every:
        state = sweep.state(gone)
        run = known.get(sweep.id) or _new_run(client, experiment_id, sweep)
        shown = sha256_json([dict(sweep.record), state])
        if run.data.tags.get(SHOWN) != shown:
            _show(client, run.info.run_id, sweep, state, Layout(scale, root, ablations=True), newest=sweep is every[-1])
            client.set_tag(run.info.run_id, SHOWN, shown)
        parents.update(dict.fromkeys(sweep.record["rows"], run.info.run_id))
    return parents


def _new_run(client: Any, experiment_id: str, sweep: Sweep) -> Any:
    record = sweep.record
    tags = {SWEEP: sweep.id, REVISION: record["revision"], **to_tags(record)}
    started_ms = round(record["started_s"] * 1000)
    return client.create_run(experiment_id, started_ms, tags, f"{record['name']} {sweep.id.partition('_')[0]}")


def _show(client: Any, run_id: str, sweep: Sweep, state: State, layout: Layout, *, newest: bool) -> None:
    record, report = sweep.record, layout.report() / "index.html"
    plan, outcomes = plan_table(sweep), record.get("stages", {})
    client.log_text(run_id, plan, "plan.md")
    lines = [record.get("summary") or {"KILLED": "It was stopped.", "RUNNING": "It runs."}.get(state, state)]
    # The report of an older sweep is gone: there is one on disk.
    if newest and outcomes.get(REPORT_STAGE) in ("ran", "restored", "skipped") and report.exists():
        client.log_artifact(run_id, str(report), "report")
        client.set_tag(run_id, "srledger.report", report.resolve().as_uri())
        lines.append(f"Report: `report/index.html` under Artifacts, and {report.resolve().as_uri()}")
    note = "\n\n".join([*lines, f"Revision {record['revision'] or 'unknown'}", plan])
    client.set_tag(run_id, "mlflow.note.content", note if len(note) <= NOTE_CHARACTERS else "\n\n".join(lines))
    if state != "RUNNING":
        ended_ms = round(record["ended_s"] * 1000) if "ended_s" in record else None
        if ended_ms is not None:
            counts = {f"stages/{outcome}": float(count) for outcome, count in Counter(outcomes.values()).items()}
            counts["seconds"] = record["ended_s"] - record["started_s"]
            log_metrics(client, run_id, ((name, value, 0, ended_ms) for name, value in counts.items()))
        client.set_terminated(run_id, state, ended_ms)


def plan_table(sweep: Sweep) -> str:
    """The plan as markdown: every stage that may run, why, how long it took last time, and how it ended."""
    record = sweep.record
    outcomes, failed = record.get("stages", {}), record.get("failed", {})
    lines = ["| stage | why | seconds last time | ended |", "| --- | --- | --- | --- |"]
    for stage in record["plan"]:
        label = stage["stage"]
        ended = " ".join(filter(None, (outcomes.get(label, ""), failed.get(label, ""))))
        seconds = "not known" if stage["seconds"] is None else f"{stage['seconds']:g}"
        cells = (label, stage["why"], seconds, ended)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
