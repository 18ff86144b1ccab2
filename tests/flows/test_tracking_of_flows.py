"""MLflow beside the flows: a new database is set up once, and a tracker that is down stops nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import Workspace
from flow_tools import with_flows


def test_new_databases_are_set_up_by_one_of_many(finished: Workspace, tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from srledger.tracking.client import connect, experiment_of\n"
        "with connect(Path()) as client: experiment_of(client, 'smoke', Path())\n"
    )
    env = {**finished.env, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/new.db"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program], cwd=finished.folder, env=env, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ended = [(process.communicate()[1], process.returncode) for process in started]
    assert all(status == 0 for _, status in ended), ended


def test_a_follower_meets_no_mlflow_and_the_flow_goes_on(finished: Workspace, tmp_path: Path) -> None:
    workspace = with_flows(finished.copy_to(tmp_path / "project"))
    workspace.env["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"  # nobody listens there
    (workspace.folder / "reports/smoke/machine.csv").unlink()
    said = workspace.run("srledger", "pipeline").stdout
    assert "MLflow can't be reached" in said and "mlflow-sync" in said and "1 ran" in said
