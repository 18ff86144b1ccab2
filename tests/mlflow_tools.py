"""What MLflow holds, asked of the real one in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from conftest import Workspace


def runs_of(workspace: Workspace, uri: str, scale: str = "smoke") -> list[dict[str, Any]]:
    """Every run of a scale's experiment: name, id, status, tags, params, metrics, lengths, inputs, files."""
    done = workspace.run(sys.executable, "-W", "ignore", __file__, uri, scale)
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the runs as JSON."""
    from mlflow import MlflowClient

    client = MlflowClient(sys.argv[1])
    experiment = client.get_experiment_by_name(f"srledger/{sys.argv[2]}")
    runs = client.search_runs([experiment.experiment_id], max_results=1000) if experiment else []
    found = [
        {
            "name": run.info.run_name,
            "id": run.info.run_id,
            "status": run.info.status,
            "tags": run.data.tags,
            "params": run.data.params,
            "metrics": run.data.metrics,
            "lengths": {name: len(client.get_metric_history(run.info.run_id, name)) for name in run.data.metrics},
            "datasets": sorted(
                (used.dataset.name, used.dataset.digest, sorted(tag.value for tag in used.tags))
                for used in run.inputs.dataset_inputs
            ),
            "files": [file.path for file in client.list_artifacts(run.info.run_id)],
        }
        for run in runs
    ]
    print(json.dumps(found))


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    sys.path.remove(str(Path(__file__).parent))  # what lies here are tests
    main()
