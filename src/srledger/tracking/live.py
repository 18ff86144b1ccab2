"""What MLflow shows while something runs: a RUNNING run per training, whose curves grow, and a run per sweep.

Nothing is kept but what was logged before; each look starts from scratch/ and from MLflow. So a look that fails, a
follower that is killed or a server that was down leave nothing that the next look does not mend. Runs whose process is
gone are ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from srledger.layout import Layout
from srledger.tracking.client import KEY, PARENT, REVISION, TRAINING, log_metrics
from srledger.tracking.owner import is_gone, of_tags, to_tags
from srledger.tracking.revision import revision
from srledger.tracking.sweep_runs import show_sweeps
from srledger.tracking.sweeps import sweeps
from srledger.tracking.trainings import Training, trainings

CURVE, SYSTEM = "curve/", "system/"  # MLflow's page has a tab for the second


class Live:
    """The trainings and sweeps of one scale, as they are now."""

    def __init__(self, root: Path, scale: str) -> None:
        self._root, self._scale = root, scale
        self._logged: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # run -> points of curves, samples
        self._ended: dict[str, str] = {}  # run -> row, of every training that was shown and came to its end

    def is_due(self) -> bool:
        """Whether there is something to show that may have changed; asks the disk alone."""
        running: Iterable[Any] = (*trainings(self._scale, self._root), *sweeps(self._root, self._scale))
        return any(each.state == "RUNNING" for each in running)

    def look(self, client: Any, experiment_id: str, gone: int | None = None) -> dict[str, str]:
        """Show how all stands now; returns row -> run of the newest sweep that it belongs to.

        Args:
            gone: the pid of a process that is about to end: what it has not ended itself was stopped.
        """
        parents = show_sweeps(client, experiment_id, self._root, self._scale, gone)
        running = {}
        for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=10000):
            running[run.data.tags.get(TRAINING, run.info.run_id)] = run
        for training in trainings(self._scale, self._root):
            state, run = training.state, running.pop(training.id, None)
            if state == "RUNNING":
                run = self._open(client, experiment_id, training, run, parents.get(training.row))
            if run is None:
                continue
            self._log(client, run, training)
            if state != "RUNNING":
                if state == "FINISHED":
                    self._ended[run.info.run_id] = training.row
                if state == "FAILED":
                    client.set_tag(run.info.run_id, "srledger.failed", training.process["failed"])
                client.set_terminated(run.info.run_id, state)
        for run in running.values():  # its folder was deleted, or a sync was killed
            owner = of_tags(run.data.tags)
            if owner is not None and is_gone(owner):
                client.set_terminated(run.info.run_id, "KILLED")
        return parents

    def lacks_numbers(self, client: Any) -> bool:
        """Whether a training that was shown has come to its end and has results on disk that its run does not hold."""
        layout = Layout(self._scale, self._root)
        return any(
            (layout.result(row) / "result.json").exists() and KEY not in client.get_run(run_id).data.tags
            for run_id, row in self._ended.items()
        )

    def _open(self, client: Any, experiment_id: str, training: Training, run: Any | None, parent: str | None) -> Any:
        """The run of a training that runs: its own, that of the training which this one goes on with, or a new one."""
        tags = {TRAINING: training.id, **to_tags(training.process), **({PARENT: parent} if parent else {})}
        if run is None:
            found = client.search_runs([experiment_id], f"tags.`{TRAINING}` = '{training.id}'")
            run = next((each for each in found if KEY not in each.data.tags), None)
            if run is not None:
                client.update_run(run.info.run_id, "RUNNING")
        if run is None:
            tags |= {"srledger.row": training.row, "srledger.seed": str(training.seed), REVISION: revision(self._root)}
            return client.create_run(experiment_id, run_name=f"{training.row} seed {training.seed}", tags=tags)
        for tag, value in tags.items():
            if run.data.tags.get(tag) != value:
                client.set_tag(run.info.run_id, tag, value)
        return run

    def _log(self, client: Any, run: Any, training: Training) -> None:
        """Log what has come since the last look."""
        run_id, started_ms = run.info.run_id, run.info.start_time
        curves, samples = training.curves(), training.samples()
        seen = self._logged[run_id]
        new = [(CURVE + name, value, step, started_ms) for name, value, step in curves[seen[0] :]]
        new += [(SYSTEM + name, value, number, unix_ms) for name, value, number, unix_ms in samples[seen[1] :]]
        log_metrics(client, run_id, new)
        self._logged[run_id] = [max(seen[0], len(curves)), max(seen[1], len(samples))]
